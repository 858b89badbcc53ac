"""The shipped driver on the shipped feed against the simulated venue, in virtual time."""

from __future__ import annotations

import pytest
import trio
from ctdaemon_binance.plugin import ctcore_register_drivers
from trio.testing import MockClock

from ctcore.model.ids import Channel, Subscription
from ctcore.model.market import (
    Candle,
    FundingRate,
    Liquidation,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
)
from ctcore.testing import conformance
from ctcore.testing.rig import open_rig

from .frames import FUTURES, SPOT

(PLUGIN,) = ctcore_register_drivers()
BOOKS = [Subscription(instrument, Channel.ORDERBOOK) for instrument in (SPOT, FUTURES)]


async def test_books_of_both_markets_stay_equal(autojump_clock: MockClock) -> None:
    await conformance.check_clean(PLUGIN, seconds=20.0)


async def test_windows_of_twenty_levels_stay_equal(autojump_clock: MockClock) -> None:
    wanted = [Subscription(instrument, Channel.ORDERBOOK, depth=20) for instrument in (SPOT, FUTURES)]
    await conformance.check_clean(PLUGIN, seconds=20.0, levels=20, wanted=wanted)


@pytest.mark.parametrize("fault", ["gap", "duplicate", "disconnect", "slow_http"])
async def test_a_fault_is_noticed_and_mended(autojump_clock: MockClock, fault: str) -> None:
    await conformance.check_fault(PLUGIN, fault, wanted=BOOKS)


async def test_every_channel_arrives(autojump_clock: MockClock) -> None:
    offered = {SPOT: PLUGIN.info.capabilities[SPOT.market], FUTURES: PLUGIN.info.capabilities[FUTURES.market]}
    wanted = [
        Subscription(instrument, channel)
        for instrument, capabilities in offered.items()
        for channel in capabilities.channels
    ]
    seen: set[tuple[type[MarketEvent], str]] = set()
    async with open_rig(PLUGIN, wanted) as rig:
        rig.bus.subscribe(lambda event: seen.add((type(event), event.instrument.market)), types=[MarketEvent])
        await rig.wait_in_sync()
        await trio.sleep(200)
        await rig.settle()
        rig.check_witness()
    everywhere: set[type[MarketEvent]] = {Trade, Ticker, Candle}
    futures_only: set[type[MarketEvent]] = {MarkPrice, FundingRate, OpenInterest, Liquidation}
    assert everywhere <= {kind for kind, market in seen if market == "spot"}
    assert everywhere | futures_only <= {kind for kind, market in seen if market == "futures"}
    assert not futures_only & {kind for kind, market in seen if market == "spot"}
