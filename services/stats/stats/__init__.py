"""Lockstep's stats service."""
