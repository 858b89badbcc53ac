"""Tests of ctcore.wire."""
