"""The protocol machine of one ACME connection: frames in, effects out. No I/O, no clock.

How a book is kept, in ACME's own words:

1. Subscribe to ``book:SYMBOL`` and keep the changes that come.
2. Get ``/book``; drop kept changes with ``last`` <= its ``last``.
3. The first change applied has ``first`` <= ``last`` + 1 <= its own ``last``, and so each one after it.
4. Anything else: begin anew.

That is the rule SNAPSHOT_THEN_RANGE; :class:`BookStream` does the steps.
"""
# ruff: noqa: ARG002  the contract hands over more than ACME needs

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from ctcore.book.sequence import SNAPSHOT_THEN_RANGE
from ctcore.contracts.driver import (
    BookStatistics,
    BookStream,
    ConnectionPlan,
    Control,
    Effect,
    Fetch,
    HttpRequest,
    HttpResponse,
    Retire,
    Send,
    StreamSession,
)
from ctcore.errors import CtcoreError, DecodeError
from ctcore.model.ids import Channel, InstrumentId, Subscription
from ctcore.model.instrument import Catalogue
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason, Side, Trade
from ctdaemon_acme import wire

_PREFIX = {Channel.ORDERBOOK: "book", Channel.TRADE: "trade"}


class AcmeSession(StreamSession):
    """One connection; ``base`` is where REST is."""

    def __init__(self, plan: ConnectionPlan, catalogue: Catalogue, base: str) -> None:
        self._plan = plan
        self._catalogue = catalogue
        self._base = base
        self._topics = {self._topic(wanted): wanted for wanted in plan.subscriptions}
        self._unanswered = set(self._topics)
        self._refused: set[InstrumentId] = set()
        self._books: dict[str, BookStream] = {}
        for wanted in plan.subscriptions:
            if wanted.channel is Channel.ORDERBOOK:
                self._book(self._symbol(wanted.instrument))

    def connected(self, now_us: int) -> Iterable[Effect]:
        """Subscribe to everything."""
        return [Send(msgspec.json.encode({"subscribe": sorted(self._topics)}).decode())]

    def received(self, frame: bytes, now_us: int) -> Iterable[Effect]:
        """One frame."""
        try:
            return self._told(wire.FRAME.decode(frame), now_us)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            raise DecodeError(f"acme: {error}: {frame[:80]!r}", kind="frame") from None

    def tick(self, now_us: int) -> Iterable[Effect]:
        """Books that have been silent for long are checked."""
        return [effect for book in self._books.values() for effect in book.tick(now_us)]

    def fetched(self, fetch: Fetch, response: HttpResponse, now_us: int) -> Iterable[Effect]:
        """A snapshot has come."""
        if fetch.instrument is None:
            return ()
        try:
            told = wire.PICTURE.decode(response.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DecodeError(f"acme {fetch.purpose}: {error}", kind="snapshot") from None
        book = self._book(self._symbol(fetch.instrument))
        snapshot = BookSnapshot(book.instrument, told.us, now_us, told.last, told.bids, told.asks)
        return book.snapshot(snapshot, now_us)

    def fetch_failed(self, fetch: Fetch, error: CtcoreError, now_us: int) -> Iterable[Effect]:
        """Ask again, later each time."""
        if fetch.instrument is None:
            return ()
        return self._book(self._symbol(fetch.instrument)).snapshot_failed(now_us)

    def resync(self, instrument: InstrumentId, reason: GapReason, now_us: int) -> Iterable[Effect]:
        """Somebody found a book wrong."""
        symbol = self._symbol(instrument)
        return self._books[symbol].resync(reason, symbol, now_us) if symbol in self._books else ()

    @property
    def ready(self) -> bool:
        """Everything is answered, and every book in sync or refused."""
        missing = {book.instrument for book in self._books.values() if not book.in_sync} - self._refused
        return not self._unanswered and not missing

    def books(self) -> Mapping[InstrumentId, BookStatistics]:
        """Counts of every book."""
        return {book.instrument: book.statistics() for book in self._books.values()}

    def _told(self, told: wire.Frame, now_us: int) -> Iterable[Effect]:
        match told:
            case wire.BookFrame():
                return self._changes(told, now_us)
            case wire.TradeFrame():
                instrument, side = self._instrument(told.s), Side(told.side)
                return [Trade(instrument, told.us, now_us, str(told.id), told.p, told.q, side)]
            case wire.OkFrame():
                self._unanswered -= set(told.topics)
                return [Control("ack", {"topics": told.topics}), *self._begin(told.topics, now_us)]
            case wire.RefusedFrame():
                return self._refuse(told, now_us)
            case wire.ByeFrame():
                return [Retire(told.why)]

    def _changes(self, told: wire.BookFrame, now_us: int) -> Iterable[Effect]:
        book = self._book(told.s)
        ids = told.first, told.first - 1, told.last
        return book.delta(BookDelta(book.instrument, told.us, now_us, *ids, told.bids, told.asks), now_us)

    def _begin(self, topics: Iterable[str], now_us: int) -> Iterable[Effect]:
        """A book that does not change needs its snapshot, too."""
        wanted = (self._topics[topic] for topic in topics if topic in self._topics)
        books = [self._symbol(w.instrument) for w in wanted if w.channel is Channel.ORDERBOOK]
        return [effect for symbol in books for effect in self._books[symbol].request_snapshot(now_us)]

    def _refuse(self, told: wire.RefusedFrame, now_us: int) -> Iterable[Effect]:
        """A stream that is not to be had is a gap without an end."""
        self._unanswered.discard(told.topic)
        effects: list[Effect] = [Control("error", {"topic": told.topic, "why": told.why})]
        wanted = self._topics.get(told.topic)
        if wanted is not None:
            if wanted.channel is Channel.ORDERBOOK:
                self._refused.add(wanted.instrument)
            gap = (wanted.channel, GapReason.REFUSED, now_us, None, told.why)
            effects.append(Gap(wanted.instrument, now_us, now_us, *gap))
        return effects

    def _book(self, symbol: str) -> BookStream:
        book = self._books.get(symbol)
        if book is None:
            instrument = self._instrument(symbol)
            book = BookStream(symbol, instrument, SNAPSHOT_THEN_RANGE, self._asking(symbol, instrument),
                              quiet_sec=self._plan.quiet_sec)
            self._books[symbol] = book
        return book

    def _asking(self, symbol: str, instrument: InstrumentId) -> Callable[[float], Iterable[Effect]]:
        url = f"{self._base}/book?symbol={symbol}"
        request = HttpRequest("GET", url, f"book {symbol}", {"weight": 5})
        return lambda delay_sec: [Fetch(request, "snapshot", instrument, delay_sec)]

    def _topic(self, wanted: Subscription) -> str:
        return f"{_PREFIX[wanted.channel]}:{self._symbol(wanted.instrument)}"

    def _symbol(self, instrument: InstrumentId) -> str:
        listed = self._catalogue.get(instrument)
        return listed.symbol if listed is not None else instrument.pair

    def _instrument(self, symbol: str) -> InstrumentId:
        """The identity behind ACME's name; a recording may hold names that nobody knows."""
        listed = self._catalogue.by_symbol(symbol)
        if listed is not None:
            return listed.id
        if not self._plan.any_instrument:
            raise ValueError(f"{symbol} is not listed")
        return InstrumentId(self._plan.exchange, self._plan.market, symbol)
