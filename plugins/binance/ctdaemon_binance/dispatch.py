"""Telling frames apart: by the stream's name where there is one, else by what is in the payload."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

import msgspec

from ctcore.contracts.driver import Control, Effect, Retire
from ctcore.errors import DecodeError
from ctcore.model.ids import Market
from ctdaemon_binance import events, rest, wire
from ctdaemon_binance.books import Books
from ctdaemon_binance.names import Names
from ctdaemon_binance.plans import PARTIAL_DEPTHS

Read: TypeAlias = Callable[[bytes, int], Iterable[Effect]]
Answered: TypeAlias = Callable[[wire.Head, int], Iterable[Effect]]

PARSERS: dict[str, events.Parse] = {
    "trade": events.trade,
    "aggTrade": events.agg_trade,
    "bookTicker": events.book_ticker,
    "24hrTicker": events.day_ticker,
    "24hrMiniTicker": events.day_ticker,
    "1hTicker": events.window_ticker,
    "4hTicker": events.window_ticker,
    "1dTicker": events.window_ticker,
    "kline": events.kline,
}
"""Event name ``e`` -> what reads it, in both markets."""

FUTURES_PARSERS: dict[str, events.Parse] = {
    "continuous_kline": events.kline,
    "forceOrder": events.force_order,
}
"""The same, of futures only."""

_EVENT_OF_STREAM = {"ticker": "24hrTicker", "miniTicker": "24hrMiniTicker", "markPrice": "markPriceUpdate"}
"""Where the kind in a stream's name is not the event's own name."""

_PARTIAL_KINDS = frozenset(f"depth{depth}" for depth in PARTIAL_DEPTHS)

_NOTICES = frozenset({"contractInfo", "assetIndexUpdate", "compositeIndex", "avgPrice", "referencePrice"})
"""Events that are documented and no market data of ours."""


class Dispatch:
    """What reads each stream and each event of one connection.

    ``answered`` reads the answers to our own requests.
    """

    def __init__(self, market: Market, books: Books, names: Names, answered: Answered) -> None:
        self._market = market
        self._books = books
        self._names = names
        self._answered = answered
        self._diff: Read = books.spot_diff if market is Market.SPOT else books.futures_diff
        parsers = PARSERS if market is Market.SPOT else PARSERS | FUTURES_PARSERS
        self._reads = {event: self._parsing(parse) for event, parse in parsers.items()}
        self._reads["depthUpdate"] = self._diff
        if market is Market.FUTURES:
            self._reads["markPriceUpdate"] = self._mark

    def reader(self, name: bytes) -> Read:
        """What reads the frames of a stream; raises :class:`DecodeError` for a name that is no text."""
        try:
            return self._reader_of(name.decode())
        except UnicodeDecodeError:
            raise DecodeError(f"binance: stream name {name[:80]!r} is no text", kind="frame") from None

    def unusual(self, frame: bytes, now_us: int) -> Iterable[Effect]:
        """Raw frames, arrays, answers, and combined frames of an unexpected shape."""
        if frame[:1] == b"[":
            return self._rows(frame, now_us)
        head = rest.decode(wire.HEAD, frame, "frame")
        if head.stream:
            return self.reader(head.stream.encode())(bytes(head.data), now_us)
        return self._by_head(head, frame, now_us)

    def bare(self, payload: bytes, now_us: int) -> Iterable[Effect]:
        """A payload whose kind its stream's name does not tell."""
        if payload[:1] == b"[":
            return self._rows(payload, now_us)
        return self._by_head(rest.decode(wire.HEAD, payload, "frame"), payload, now_us)

    def _parsing(self, parse: events.Parse) -> Read:
        instrument_of = self._names.instrument_of
        return lambda payload, now_us: parse(payload, now_us, instrument_of)

    def _mark(self, payload: bytes, now_us: int) -> Iterable[Effect]:
        """One stream serves two channels: what was not asked for is left out."""
        told = events.mark_price(payload, now_us, self._names.instrument_of)
        return [event for event in told if self._names.wants(event)]

    def _reader_of(self, name: str) -> Read:
        symbol, _, kind = name.partition("@")
        kind = kind.partition("@")[0]
        if kind == "depth":
            return self._diff
        if kind in _PARTIAL_KINDS:
            if self._market is Market.FUTURES:
                return self._books.futures_window
            return partial(self._books.spot_window, self._names.symbol_of_stream(symbol))
        event = "kline" if kind.startswith("kline_") else _EVENT_OF_STREAM.get(kind, kind)
        return self._reads.get(event, self.bare)

    def _rows(self, payload: bytes, now_us: int) -> Iterable[Effect]:
        """All-market streams: an array of events."""
        effects: list[Effect] = []
        for raw in rest.decode(wire.ROWS, payload, "array"):
            row = bytes(raw)
            effects += self._by_head(rest.decode(wire.HEAD, row, "array"), row, now_us)
        return effects

    def _by_head(self, head: wire.Head, payload: bytes, now_us: int) -> Iterable[Effect]:
        if head.e:
            return self._event(head.e, payload, now_us)
        if head.code is not None or head.error is not msgspec.UNSET or head.result is not msgspec.UNSET:
            return self._answered(head, now_us)
        if head.u is not msgspec.UNSET:
            return self._reads["bookTicker"](payload, now_us)
        if head.lastUpdateId is not msgspec.UNSET:
            raise DecodeError("binance: partial book without symbol or stream", kind="unattributed")
        raise DecodeError(f"binance: unknown frame {payload[:120]!r}", kind="unknown")

    def _event(self, event: str, payload: bytes, now_us: int) -> Iterable[Effect]:
        read = self._reads.get(event)
        if read is not None:
            return read(payload, now_us)
        if event == "serverShutdown":
            return (Retire("serverShutdown"),)
        if event in _NOTICES:
            return (Control(event, {}),)
        raise DecodeError(f"binance: unknown event {event[:40]!r}: {payload[:120]!r}", kind="unknown")
