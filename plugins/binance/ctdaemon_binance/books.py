"""The order books of one Binance connection.

Order of a book from the diff stream (web-socket-streams.md, "How to manage a local order book correctly"; the
numbers stand in the code where each step is done, here or in :mod:`ctcore.book.sequence`):

1. Open the stream ``<symbol>@depth@100ms`` and buffer its events.
2. Get ``/depth``; the first event buffered triggers it.
3. If the snapshot's ``lastUpdateId`` is below the first event's ``U``, get it again.
4. Drop buffered events with ``u <= lastUpdateId`` (futures: ``u < lastUpdateId``).
5. The first event kept must hold ``lastUpdateId + 1`` (futures: ``lastUpdateId``) in ``[U, u]``.
6. Each event follows the one before: ``U == u + 1`` (futures: ``pu == u``), or the book starts again from 2.

A snapshot holds at most ``limit`` levels a side; before the market reaches the last of them, another is
fetched and spliced in (:mod:`ctcore.book.edge`).

The partial streams carry the whole window each time: every message is a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias

from ctcore.book.edge import BookEdge
from ctcore.book.sequence import PREVIOUS_ID_RANGE, SNAPSHOT_IN_STREAM, SNAPSHOT_THEN_RANGE
from ctcore.contracts.driver import BookStatistics, BookStream, Effect, Fetch
from ctcore.errors import DecodeError
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import BookDelta, BookSnapshot
from ctcore.model.time import US_PER_MS, US_PER_SEC
from ctdaemon_binance import rest, wire
from ctdaemon_binance.events import InstrumentOf
from ctdaemon_binance.plans import PARTIAL_DEPTHS

BOOK = "book"
"""The purpose of a Fetch that gets a snapshot."""

PROBE = "book_probe"
"""The purpose of a Fetch that checks a quiet book: only the id of the answer counts."""

EDGE = "book_edge"
"""The purpose of a Fetch that gets the levels beyond what is known; see :mod:`ctcore.book.edge`."""

_PROBE_LEVELS = 5
"""The least weight: 5 on spot, 2 on futures."""

Restart: TypeAlias = Callable[[str, int], Iterable[Effect]]
"""Unsubscribe and subscribe the stream of a symbol's book, at a time in microseconds."""

_QUIET_US = 3 * US_PER_SEC
"""A book whose stream has brought nothing for so long gets its snapshot without waiting for a first event."""


class Books:
    """Books by symbol, each a :class:`BookStream`.

    ``limit`` is how many levels a side a snapshot has. ``instrument_of`` names the instrument of a symbol
    seen for the first time, or refuses it.
    """

    def __init__(
        self,
        market: Market,
        base: str,
        limit: int,
        instrument_of: InstrumentOf,
        quiet_sec: float,
        restart: Restart,
    ) -> None:
        self._market = market
        self._base = base
        self._limit = limit
        self._instrument_of = instrument_of
        self._quiet_sec = quiet_sec
        self._restart = restart
        self._rule = SNAPSHOT_THEN_RANGE if market is Market.SPOT else PREVIOUS_ID_RANGE
        self._diffs: dict[str, BookStream] = {}
        self._windows: dict[str, BookStream] = {}
        self._quiet_since_us: dict[str, int] = {}
        self._refused: set[str] = set()

    def __iter__(self) -> Iterator[BookStream]:
        yield from self._diffs.values()
        yield from self._windows.values()

    @property
    def in_sync(self) -> bool:
        """Every book that was not refused is."""
        return all(book.in_sync or book.symbol in self._refused for book in self)

    def statistics(self) -> dict[InstrumentId, BookStatistics]:
        """Counts of every book."""
        return {book.instrument: book.statistics() for book in self}

    def of(self, instrument: InstrumentId) -> BookStream | None:
        """The book of an instrument, if this connection keeps it."""
        return next((book for book in self if book.instrument == instrument), None)

    def expect(self, symbol: str, *, window: int = 0, levels: int = 0) -> BookStream:
        """Keep a book from the diff stream, or from the partial one of ``window`` levels.

        A window that has gone quiet is compared with ``/depth`` of as many levels. ``levels`` is how many a
        side are wanted of the book from the diff stream, 0 being no number in particular.
        """
        instrument = self._instrument_of(symbol)
        restart = partial(self._restart, symbol)
        if window:
            ask = partial(self._ask, BOOK, symbol, instrument, window)
            book = BookStream(symbol, instrument, SNAPSHOT_IN_STREAM, ask, snapshot_in_stream=True,
                              quiet_sec=self._quiet_sec, restart=restart)
            return self._windows.setdefault(symbol, book)
        self._windows.pop(symbol, None)
        book = BookStream(
            symbol,
            instrument,
            self._rule,
            partial(self._ask, BOOK, symbol, instrument, self._limit),
            quiet_sec=self._quiet_sec,
            probe=partial(self._ask, PROBE, symbol, instrument, _PROBE_LEVELS),
            restart=restart,
            edge=BookEdge(self._limit, levels),
            extend=partial(self._ask, EDGE, symbol, instrument, self._limit),
        )
        return self._diffs.setdefault(symbol, book)

    def subscribed(self, symbol: str, now_us: int) -> None:
        """The venue acknowledged the stream."""
        if symbol in self._diffs:
            self._quiet_since_us[symbol] = now_us

    def fetched(
        self, purpose: str, instrument: InstrumentId, snapshot: BookSnapshot, now_us: int
    ) -> Iterable[Effect]:
        """The answer of ``/depth``; a window that its stream has renewed meanwhile needs it no more."""
        book = self.of(instrument)
        if book is None or (book.snapshot_in_stream and book.in_sync):
            return ()
        if purpose == PROBE:
            return book.probed(snapshot.seq, now_us)
        return book.extended(snapshot, now_us) if purpose == EDGE else book.snapshot(snapshot, now_us)

    def fetch_failed(self, purpose: str, instrument: InstrumentId, now_us: int) -> Iterable[Effect]:
        """There was no answer: ask again later, unless it is not needed any more."""
        book = self.of(instrument)
        if book is None or (book.snapshot_in_stream and book.in_sync):
            return ()
        if purpose == BOOK:
            return book.snapshot_failed(now_us)
        if purpose == PROBE:
            book.probe_failed(now_us)
        else:
            book.extend_failed()
        return ()

    def refuse(self, symbol: str) -> None:
        """The venue does not give this book: it is no longer waited for."""
        self._refused.add(symbol)

    def tick(self, now_us: int) -> list[Effect]:
        """Ask for the snapshot of books whose stream is quiet from the start (2. without a first event), and
        doubt those that have gone quiet.
        """
        due = [s for s, since_us in self._quiet_since_us.items() if now_us - since_us >= _QUIET_US]
        effects = [effect for book in self for effect in book.tick(now_us)]
        for symbol in due:
            del self._quiet_since_us[symbol]
            effects += self._diffs[symbol].request_snapshot(now_us)
        return effects

    def spot_diff(self, payload: bytes, now_us: int) -> Iterable[Effect]:
        """An event of spot's diff stream."""
        try:
            told = wire.DEPTH.decode(payload)
        except wire.NOT_JSON as error:
            raise DecodeError(f"binance depth: {error}: {payload[:160]!r}", kind="depth") from None
        book = self._diffs.get(told.s) or self.expect(told.s)
        first, last = told.U, told.u
        if first > last:
            raise DecodeError(f"binance depth {told.s}: U {first} above u {last}", kind="depth")
        exchange_us = told.E * US_PER_MS
        delta = BookDelta(book.instrument, exchange_us, now_us, first, first - 1, last, told.b, told.a)
        return book.delta(delta, now_us)

    def futures_diff(self, payload: bytes, now_us: int) -> Iterable[Effect]:
        """An event of the futures' diff stream."""
        try:
            told = wire.DEPTH.decode(payload)
        except wire.NOT_JSON as error:
            raise DecodeError(f"binance depth: {error}: {payload[:160]!r}", kind="depth") from None
        book = self._diffs.get(told.s) or self.expect(told.s)
        first, last, prev = told.U, told.u, told.pu
        if first > last or prev < 0:
            raise DecodeError(f"binance depth {told.s}: U {first}, u {last}, pu {prev}", kind="depth")
        exchange_us = (told.T or told.E) * US_PER_MS
        delta = BookDelta(book.instrument, exchange_us, now_us, first, prev, last, told.b, told.a)
        return book.delta(delta, now_us)

    def spot_window(self, symbol: str, payload: bytes, now_us: int) -> Iterable[Effect]:
        """A message of spot's partial stream: the symbol is known from the stream's name, the time from
        nowhere."""
        told = rest.decode(wire.PARTIAL_DEPTH, payload, "partialDepth")
        return self._window(symbol, now_us, told.lastUpdateId, told.bids, told.asks, now_us)

    def futures_window(self, payload: bytes, now_us: int) -> Iterable[Effect]:
        """A message of the futures' partial stream, of the diff stream's shape."""
        told = rest.decode(wire.DEPTH, payload, "partialDepth")
        return self._window(told.s, (told.T or told.E) * US_PER_MS, told.u, told.b, told.a, now_us)

    def _window(
        self, symbol: str, exchange_us: int, seq: int, bids: wire.Levels, asks: wire.Levels, now_us: int
    ) -> Iterable[Effect]:
        """Levels of quantity 0 have no place in a window; an older window than the last is dropped."""
        if symbol in self._diffs:
            return ()
        book = self._windows.get(symbol) or self.expect(symbol, window=max(PARTIAL_DEPTHS))
        book.heard()
        if book.in_sync and seq < book.sequence.at:
            book.sequence.dropped += 1
            return ()
        return book.snapshot(BookSnapshot(book.instrument, exchange_us, now_us, seq, bids, asks), now_us)

    def _ask(
        self, purpose: str, symbol: str, instrument: InstrumentId, limit: int, delay_sec: float
    ) -> Iterable[Effect]:
        self._quiet_since_us.pop(symbol, None)
        request = rest.build_depth(self._base, self._market, symbol, limit)
        return (Fetch(request, purpose, instrument, delay_sec),)
