"""Tests of ctcore.feed."""
