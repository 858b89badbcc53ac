"""Stream names of the simulated Binance, and the feed that each stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ctcore.errors import RequestRefused
from ctcore.model.ids import Market
from ctcore.sim import INTERVALS
from ctdaemon_binance.plans import PARTIAL_DEPTHS, part_of_kind
from ctdaemon_binance.simulator_rows import Printer
from ctdaemon_binance.simulator_streams import (
    SECOND_US,
    AggregateFeed,
    BestFeed,
    CandleFeed,
    DayFeed,
    DiffFeed,
    EveryFeed,
    Feed,
    ForcedFeed,
    MarkFeed,
    SilentFeed,
    TradeFeed,
    WindowFeed,
)

_MS = 1_000

_DEPTH_SPEEDS = {
    Market.SPOT: {"": 1000 * _MS, "1000ms": 1000 * _MS, "100ms": 100 * _MS},
    Market.FUTURES: {"": 250 * _MS, "250ms": 250 * _MS, "500ms": 500 * _MS, "100ms": 100 * _MS},
}
_SILENT = (
    "ticker_1h", "ticker_4h", "ticker_1d", "avgPrice", "rpiDepth", "compositeIndex", "contractInfo",
    "assetIndex",
)  # fmt: skip
"""Streams of the venue that have nothing to say here."""

Printers: TypeAlias = Mapping[str, Printer]
"""By the symbol's form in stream names."""

Maker: TypeAlias = Callable[[Printer], Feed]


def make_feed(part: str, name: str, printers: Printers) -> Feed:
    """The feed of a stream; silent for an unknown symbol and for a stream that another path carries.

    Raises :class:`RequestRefused` for what is no stream name at all.
    """
    market = Market.SPOT if part == "spot" else Market.FUTURES
    symbol, at, kind = name.partition("@")
    if name.startswith("!"):
        return _every(part, market, symbol[1:], kind, printers)
    kind, _, speed = kind.partition("@")
    maker = _maker(market, kind, speed)
    if not at or maker is None:
        raise RequestRefused("Invalid request: invalid stream", code="2")
    printer = printers.get(symbol)
    if printer is None or part_of_kind(market, kind) != part:
        return SilentFeed()
    return maker(printer)


def _every(part: str, market: Market, kind: str, rest: str, printers: Printers) -> Feed:
    form, _, speed = rest.partition("@")
    maker = _maker(market, kind, speed)
    if maker is None or form not in ("", "arr"):
        raise RequestRefused("Invalid request: invalid stream", code="2")
    retired = market is Market.SPOT and kind in ("ticker", "bookTicker")
    if retired or kind in _SILENT or part_of_kind(market, kind) != part:
        return SilentFeed()
    as_array = kind not in ("bookTicker", "forceOrder")
    return EveryFeed([maker(printer) for printer in printers.values()], as_array=as_array)


def _maker(market: Market, kind: str, speed: str) -> Maker | None:
    """What makes the feed of a kind at a speed, None when the venue has none such."""
    if kind.startswith("depth"):
        return _depth_maker(kind.removeprefix("depth"), _DEPTH_SPEEDS[market].get(speed))
    if kind == "markPrice" and market is Market.FUTURES and speed in ("", "1s"):
        return lambda printer: MarkFeed(printer, SECOND_US if speed else 3 * SECOND_US)
    if speed:
        return None
    if kind.startswith("kline_"):
        interval = kind.removeprefix("kline_")
        every_us = SECOND_US if market is Market.SPOT else 250 * _MS
        known = interval in INTERVALS and (market is Market.SPOT or interval != "1s")
        return (lambda printer: CandleFeed(printer, every_us, interval)) if known else None
    day_us = SECOND_US if market is Market.SPOT else 2 * SECOND_US
    makers: dict[str, Maker] = {
        "trade": TradeFeed,
        "aggTrade": AggregateFeed,
        "bookTicker": BestFeed,
        "ticker": lambda printer: DayFeed(printer, day_us, mini=False),
        "miniTicker": lambda printer: DayFeed(printer, SECOND_US, mini=True),
        **dict.fromkeys(_SILENT, lambda _: SilentFeed()),
    }
    if market is Market.FUTURES:
        makers["forceOrder"] = ForcedFeed
    return makers.get(kind)


def _depth_maker(depth: str, every_us: int | None) -> Maker | None:
    if every_us is None:
        return None
    if not depth:
        return lambda printer: DiffFeed(printer, every_us)
    if depth in map(str, PARTIAL_DEPTHS):
        return lambda printer: WindowFeed(printer, every_us, int(depth))
    return None
