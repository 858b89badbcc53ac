"""Contracts between ctcore and its plugins."""
