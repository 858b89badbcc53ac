"""Offline replay: recorded lines through the shipped session, as if they came from the venue. Pure; no I/O, no clock.

What the runner does live is done here from the recording: ``in`` lines go to ``session.received``, ``http`` lines
answer the session's own :class:`Fetch`. Three rules differ from live, because a recording is finite and was made by
somebody else's client:

1. An answer belongs to a Fetch with the same path and the same instrument; host and limit are not compared. An
   answer without URL is the order book of the recording's only symbol.
2. An answer that stands before the session asked is held and given when it asks, the oldest first.
3. A Fetch waits for no delay: it is answered by the next line that fits.

``received_us`` of every event is the line's ``us``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs
import msgspec

from ctcore.book.order_book import OrderBook
from ctcore.contracts.driver import (
    BookStatistics,
    Close,
    Control,
    Driver,
    Effect,
    Fetch,
    HttpRequest,
    HttpResponse,
    Retire,
    StreamSession,
)
from ctcore.errors import CtcoreError, DecodeError, VenueError
from ctcore.model.ids import Channel, InstrumentId, Market
from ctcore.model.instrument import Catalogue
from ctcore.model.market import BookDelta, BookSnapshot, Gap, MarketEvent
from ctcore.model.message import to_json
from ctcore.wire.codec import inflater
from ctcore.wire.recording import CloseLine, HttpLine, InLine, OpenLine, OutLine, RecordedLine

HELD_ANSWERS = 256
"""How many unasked answers are kept; the oldest is dropped and counted beyond it."""


@attrs.frozen
class Replayed:
    """An effect of the session and the line it came from."""

    line: int
    effect: Effect


@attrs.frozen
class Refused:
    """A line that could not be read, by us or by the session."""

    line: int
    error: CtcoreError


Outcome: TypeAlias = Replayed | Refused


@attrs.frozen
class ReplayStatistics:
    """``unasked``: answers nobody asked for, still held; ``unanswered``: Fetches no line answered."""

    lines: int
    refused: int
    unasked: int
    unasked_dropped: int
    unanswered: int


class Replay:
    """One replay of one market. Feed it lines in order; ask it for the books at any time."""

    def __init__(self, driver: Driver, market: Market, catalogue: Catalogue | None = None) -> None:
        self._driver = driver
        self._catalogue = catalogue if catalogue is not None else Catalogue(driver.info.id, market)
        self._plan = driver.recorded(market)
        self._inflate = inflater(self._plan.codec)
        self._session = driver.session(self._plan, self._catalogue)
        self._connected = False
        self._open = 0
        self._pending: list[Fetch] = []
        self._held: deque[HttpLine] = deque()
        self._books: dict[InstrumentId, OrderBook] = {}
        self._ended: dict[InstrumentId, BookStatistics] = {}
        self._lines = self._refused = self._unasked_dropped = 0

    def run(self, lines: Iterable[tuple[int, RecordedLine | DecodeError]]) -> Iterator[Outcome]:
        """Feed every line, as :func:`ctcore.wire.recording.parse_lines` gives them."""
        for number, line in lines:
            yield from self.feed(number, line)

    def message(self, frame: bytes, us: int = 0) -> list[Outcome]:
        """Feed one raw message (already decompressed, or as the venue compresses it) as line 1."""
        return self._receive(1, frame, us)

    def feed(self, number: int, line: RecordedLine | DecodeError) -> list[Outcome]:
        """Feed one line; returns what the session made of it."""
        self._lines += 1
        match line:
            case DecodeError():
                return [self._refuse(number, line)]
            case InLine():
                return self._receive(number, line.frame(), line.us)
            case HttpLine():
                return self._answered(number, line)
            case OpenLine():
                return self._opened(number, line.us)
            case CloseLine():
                self._open = max(0, self._open - 1)
                return []
            case OutLine():
                return []

    def books(self) -> dict[InstrumentId, BookStatistics]:
        """Counts of every order book, over all connections of the recording."""
        return _added(self._ended, self._session.books())

    def summaries(self, levels: int) -> list[dict[str, Any]]:
        """One ``{"type":"book", ...}`` an instrument, with at most ``levels`` levels a side (0 = all).

        A book that is out of sync has no levels: what it held before its gap is not the book any more.
        """
        return [self._summary(instrument, counts, levels) for instrument, counts in self.books().items()]

    def statistics(self) -> ReplayStatistics:
        """Counts so far."""
        return ReplayStatistics(
            self._lines, self._refused, len(self._held), self._unasked_dropped, len(self._pending)
        )

    def _opened(self, number: int, us: int) -> list[Outcome]:
        """After every socket was closed, an opened one is a new connection: it gets a fresh session."""
        if self._connected and not self._open and self._closed_before:
            self._ended = self.books()
            self._session = self._driver.session(self._plan, self._catalogue)
            self._pending.clear()
            self._connected = False
        self._open += 1
        return self._connect(number, us)
