"""Lockstep's executor service."""
