"""A small market that every test can build."""

from __future__ import annotations

import pytest

from ctcore.model.ids import Market
from ctcore.sim import Row, SimMarket, default_listings

START_US = 1_780_000_123_456_789

SPOT = (
    Row(symbol="BTCUSDT", base="BTC", tick="0.01", lot="0.00001"),
    Row(symbol="XRPUSDT", base="XRP", tick="0.0001", lot="0.1"),
)
FUTURES = (
    Row(symbol="BTCUSDT", base="BTC", tick="0.1", lot="1", contract_size="0.01"),
    Row(symbol="ETHUSDT", base="ETH", tick="0.01", lot="0.001"),
)


@pytest.fixture
def start_us():
    return START_US


@pytest.fixture
def make_market(start_us):
    def make(kind=Market.SPOT, *, seed=1, activity=30.0, **options):
        rows = SPOT if kind is Market.SPOT else FUTURES
        listings = default_listings("acme", kind, rows, activity=activity)
        return SimMarket(listings, seed=seed, start_us=start_us, **options)

    return make
