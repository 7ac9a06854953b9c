"""The manager door: one dispatcher, over HTTP and over the line protocol."""
