"""Tests of one kind; see CONTRIBUTING.md."""
