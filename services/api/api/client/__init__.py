"""The client REST door (specifications 1, 2 and 4): one file a noun."""
