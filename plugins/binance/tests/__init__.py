"""Tests of the Binance driver."""
