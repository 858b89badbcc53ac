"""Binance driver for ctcore."""
