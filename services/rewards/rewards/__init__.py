"""Lockstep's rewards service."""
