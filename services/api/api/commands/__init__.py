"""What may be done to the configuration, whoever asks: each command checks, changes, tells and records in one transaction."""
