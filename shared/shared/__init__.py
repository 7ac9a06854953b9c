"""What every service shares: values, contracts, the numbered log."""
