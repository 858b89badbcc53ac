"""Offline replay: recorded lines through the shipped session, as if they came from the venue. No clock.

What the runner does live is done here from the recording: ``in`` lines go to ``session.received``, ``http``
lines answer the session's own :class:`Fetch` (see :mod:`ctcore.feed.answers`). A Fetch waits for no delay: it
is answered by the next line that fits. ``received_us`` of every event is the line's ``us``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

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
    Retire,
)
from ctcore.errors import CtcoreError, DecodeError, VenueError
from ctcore.feed.answers import AnswerDesk, RecordedAnswer, read_answer
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.instrument import Catalogue
from ctcore.model.market import BookDelta, BookSnapshot, MarketEvent
from ctcore.model.message import to_json
from ctcore.wire.codec import inflater
from ctcore.wire.recording import CloseLine, HttpLine, InLine, OpenLine, OutLine, RecordedLine


@attrs.frozen
class Replayed:
    """An effect of the session, the line it came from and that line's time."""

    line: int
    us: int
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
    """One replay of one market. Feed it lines in order; ask it for the books at any time.

    Without a ``catalogue`` instruments are named by the venue's own symbols.
    """

    def __init__(self, driver: Driver, market: Market, catalogue: Catalogue | None = None) -> None:
        self._driver = driver
        self._market = market
        self._catalogue = catalogue if catalogue is not None else Catalogue(driver.info.id, market)
        self._plan = driver.recorded(market)
        self._inflate = inflater(self._plan.codec)
        self._session = driver.session(self._plan, self._catalogue)
        self._connected = False
        self._open_sockets = 0
        self._ended: dict[InstrumentId, BookStatistics] = {}
        self._books: dict[InstrumentId, OrderBook] = {}
        self._answers = AnswerDesk(self._symbol, lambda instrument: instrument in self._session.books())
        self._lines = self._refused = 0

    def run(self, lines: Iterable[tuple[int, RecordedLine | DecodeError]]) -> Iterator[Outcome]:
        """Feed every line, as :func:`ctcore.wire.recording.parse_lines` gives them."""
        for number, line in lines:
            yield from self.feed(number, line)

    def feed(self, number: int, line: RecordedLine | DecodeError) -> list[Outcome]:
        """Feed one line; returns what the session made of it."""
        match line:
            case DecodeError():
                self._lines += 1
                return [self._refuse(number, line)]
            case InLine():
                return self.message(line.frame(), line.us, number=number, compressed=line.b64 is not None)
            case HttpLine():
                self._lines += 1
                return [*self._connect(number, line.us), *self._answered(number, line)]
            case OpenLine():
                self._lines += 1
                self._open_sockets += 1
                return self._connect(number, line.us)
            case CloseLine():
                self._lines += 1
                self._closed()
                return []
            case OutLine():
                self._lines += 1
                return []

    def message(
        self, frame: bytes, us: int = 0, *, number: int = 1, compressed: bool | None = None
    ) -> list[Outcome]:
        """Feed one raw message; unless told, JSON text is not taken for compressed."""
        self._lines += 1
        outcomes = self._connect(number, us)
        if compressed is None:
            compressed = frame[:1] not in (b"{", b"[")

        def receive() -> Iterable[Effect]:
            data = self._inflate(frame) if compressed and self._inflate is not None else frame
            return self._session.received(data, us)

        return outcomes + self._perform(number, us, receive)

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
            self._lines, self._refused, self._answers.held, self._answers.dropped, self._answers.pending
        )

    def to_json(self, outcome: Replayed) -> bytes | None:
        """One line of JSON: an event's unified message, or ``control`` for what the venue said besides.

        None for what the session wants sent or fetched: the recording has done it.
        """
        effect = outcome.effect
        if isinstance(effect, MarketEvent):
            return to_json(effect)
        if isinstance(effect, Control):
            return self._control(effect.kind, dict(effect.data), outcome.us)
        if isinstance(effect, Retire | Close):
            kind = "retire" if isinstance(effect, Retire) else "close"
            return self._control(kind, {"reason": effect.reason}, outcome.us)
        return None

    def _control(self, kind: str, data: dict[str, Any], us: int) -> bytes:
        return msgspec.json.encode({
            "type": "control", "exchange": self._driver.info.id, "market": self._market, "received": us,
            "kind": kind, "data": data,
        })  # fmt: skip

    def _connect(self, number: int, us: int) -> list[Outcome]:
        if self._connected:
            return []
        self._connected = True
        return self._perform(number, us, lambda: self._session.connected(us))

    def _closed(self) -> None:
        """When the last socket has closed, what follows is a new connection with a fresh session."""
        self._open_sockets = max(0, self._open_sockets - 1)
        if not self._open_sockets and self._connected:
            self._ended = self.books()
            self._session = self._driver.session(self._plan, self._catalogue)
            self._answers.forget_pending()
            self._connected = False

    def _answered(self, number: int, line: HttpLine) -> list[Outcome]:
        try:
            answer = read_answer(line)
        except DecodeError as error:
            return [self._refuse(number, error)]
        fetch = self._answers.answer(answer)
        if fetch is None:
            return []
        return self._perform(number, line.us, partial(self._give, fetch, answer, line.us), fetch)

    def _perform(
        self, number: int, us: int, call: Callable[[], Iterable[Effect]], fetch: Fetch | None = None
    ) -> list[Outcome]:
        """Collect the effects of a call and of the answers it leads to.

        ``fetch`` is what the call answers: it has failed when its answer cannot be read.
        """
        outcomes: list[Outcome] = []
        calls: deque[tuple[Callable[[], Iterable[Effect]], Fetch | None]] = deque([(call, fetch)])
        while calls:
            call, fetch = calls.popleft()
            try:
                effects = list(call())
            except DecodeError as error:
                outcomes.append(self._refuse(number, error))
                effects = list(self._session.fetch_failed(fetch, error, us)) if fetch is not None else []
            for effect in effects:
                outcomes.append(Replayed(number, us, effect))
                self._keep(effect)
                if isinstance(effect, Fetch) and (answer := self._answers.ask(effect)) is not None:
                    calls.append((partial(self._give, effect, answer, us), effect))
        return outcomes

    def _give(self, fetch: Fetch, answer: RecordedAnswer, us: int) -> Iterable[Effect]:
        response = answer.to(fetch)
        try:
            self._driver.check(response)
            if answer.status != 200:
                raise VenueError(f"{fetch.request.label}: HTTP {answer.status}", status=answer.status)
        except VenueError as error:
            return self._session.fetch_failed(fetch, error, us)
        return self._session.fetched(fetch, response, us)

    def _symbol(self, instrument: InstrumentId) -> str:
        counts = self._session.books().get(instrument)
        if counts is not None:
            return counts.symbol
        listed = self._catalogue.get(instrument)
        return listed.symbol if listed is not None else instrument.pair

    def _keep(self, effect: Effect) -> None:
        if isinstance(effect, BookDelta):
            self._books[effect.instrument].delta(effect.bids, effect.asks)
        elif isinstance(effect, BookSnapshot):
            book = self._books.setdefault(effect.instrument, OrderBook())
            book.snapshot(effect.bids, effect.asks)

    def _refuse(self, number: int, error: DecodeError) -> Refused:
        self._refused += 1
        return Refused(number, error)

    def _summary(self, instrument: InstrumentId, counts: BookStatistics, levels: int) -> dict[str, Any]:
        book = self._books.get(instrument) if counts.in_sync else None
        book = book if book is not None else OrderBook()
        return {
            "type": "book",
            "exchange": instrument.exchange,
            "market": str(instrument.market),
            "pair": instrument.pair,
            "symbol": counts.symbol,
            "bids": book.bids(levels),
            "asks": book.asks(levels),
            "levels": [len(book.bid_side), len(book.ask_side)],
            "snapshots": counts.snapshots,
            "deltas_applied": counts.deltas_applied,
            "deltas_dropped": counts.deltas_dropped,
            "gaps": counts.gaps,
            "in_sync": counts.in_sync,
        }


def _added(
    ended: dict[InstrumentId, BookStatistics], current: Mapping[InstrumentId, BookStatistics]
) -> dict[InstrumentId, BookStatistics]:
    """Counts of closed connections with those of the open one, which alone says what is in sync."""
    total = dict(ended)
    for instrument, new in current.items():
        old = total.get(instrument)
        total[instrument] = new if old is None else BookStatistics(
            new.symbol,
            old.snapshots + new.snapshots,
            old.deltas_applied + new.deltas_applied,
            old.deltas_dropped + new.deltas_dropped,
            old.gaps + new.gaps,
            new.in_sync,
        )  # fmt: skip
    return total
