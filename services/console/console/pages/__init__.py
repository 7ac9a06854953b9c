"""What traders see."""
