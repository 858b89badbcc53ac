"""Frames as Binance sends them, and sessions to send them to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ctdaemon_binance.driver import BinanceDriver

from ctcore.contracts.driver import ConnectionPlan, Effect, Fetch, HttpResponse, StreamSession
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.model.instrument import Catalogue

SPOT = InstrumentId("binance", Market.SPOT, "BTC/USDT")
FUTURES = InstrumentId("binance", Market.FUTURES, "BTC/USDT")
MS = 1_770_000_000_000
US = MS * 1000

Levels = Iterable[tuple[str, str]]


def combined(stream: str, data: Any) -> bytes:
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()


def spot_depth(first: int, last: int, bids: Levels = (), asks: Levels = ()) -> bytes:
    data = {"e": "depthUpdate", "E": MS, "s": "BTCUSDT", "U": first, "u": last, "b": [*bids], "a": [*asks]}
    return combined("btcusdt@depth@100ms", data)


def futures_depth(previous: int, first: int, last: int, bids: Levels = (), asks: Levels = ()) -> bytes:
    data = {
        "e": "depthUpdate", "E": MS + 2, "T": MS, "s": "BTCUSDT", "U": first, "u": last, "pu": previous,
        "b": [*bids], "a": [*asks],
    }  # fmt: skip
    return combined("btcusdt@depth@100ms", data)


def answer(fetch: Fetch, body: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(fetch.request, status, json.dumps(body).encode())


def snapshot(
    fetch: Fetch, at: int, bids: Levels = (("100", "1"),), asks: Levels = (("101", "1"),)
) -> HttpResponse:
    return answer(fetch, {"lastUpdateId": at, "bids": [*bids], "asks": [*asks]})


def wanted(instrument: InstrumentId, *channels: Channel, depth: int = 0) -> set[Subscription]:
    return {Subscription(instrument, channel, depth=depth) for channel in channels}


def opened(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue], wants: set[Subscription]
) -> tuple[ConnectionPlan, StreamSession, list[Effect]]:
    """The one plan that serves ``wants``, its session, and what that says when connected at time 0."""
    (plan,) = driver.plan(wants, catalogues)
    session = driver.session(plan, catalogues[plan.market])
    return plan, session, list(session.connected(0))


def recorded(driver: BinanceDriver, market: Market) -> StreamSession:
    return driver.session(driver.recorded(market), Catalogue("binance", market))
