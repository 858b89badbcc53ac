"""Tests of the API through its own door: HTTP."""
