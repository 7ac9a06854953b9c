"""Lockstep's api service."""
