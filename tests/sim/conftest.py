"""Small markets, and a small dialect served over a network in memory."""

from __future__ import annotations

import pytest

from ctcore.model.ids import Market
from ctcore.sim import Faults, Row, SimClock, SimMarket, default_listings
from ctcore.testing.memory_network import MemoryNetwork

from .acme import Acme, Venue

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


@pytest.fixture
async def open_venue(make_market, start_us, nursery):
    """Serve a dialect; the tasks of the server must all have ended with the test."""
    opened = []

    async def serve(kind=Acme, *, speed=1.0, plan=None):
        network = MemoryNetwork()
        markets = {market: make_market(market) for market in Market}
        server = kind(markets, SimClock(speed, start_us), Faults(plan))
        await nursery.start(server.run, [network.listen("acme", 80)])
        venue = Venue(server, network)
        opened.append(venue)
        return venue

    yield serve
    for venue in opened:
        await venue.http.aclose()
    nursery.cancel_scope.cancel()


@pytest.fixture
async def venue(open_venue):
    return await open_venue()
