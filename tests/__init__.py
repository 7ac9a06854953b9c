"""Lockstep's tests, by kind."""
