"""Tests of the OKX driver."""
