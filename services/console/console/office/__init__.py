"""What managers see: the back office."""
