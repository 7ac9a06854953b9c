"""Lockstep's gateway service."""
