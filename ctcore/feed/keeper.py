"""The keeper of live books: every event of every connection passes here on its way to the bus.

It applies book events, counts streams, drops trades seen before, keeps the ledger of gaps, and cuts windows
where only the best N levels are wanted. Synchronous and pure: no I/O, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec import structs

from ctcore.book import BookWindow, OrderBook
from ctcore.errors import DecodeError
from ctcore.feed.streams import GapLedger, StreamRecord, StreamStatistics
from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import CHANNEL_OF, BookDelta, BookSnapshot, Gap, GapReason, MarketEvent, Trade
from ctcore.model.time import US_PER_SEC

TRADE_IDS_REMEMBERED = 20_000
TRADE_IDS_ALWAYS = 1_000
TRADE_MEMORY_US = 120 * US_PER_SEC
"""Trade ids are remembered for as long as two connections may lie apart; a thousand of them in any case."""

Publish = Callable[[MarketEvent], None]


class LiveInstrument:
    """Everything the keeper holds of one instrument."""

    __slots__ = ("book", "book_record", "published_seq", "recent_trades", "records", "trade_ids", "window")

    def __init__(self, instrument: InstrumentId, depth: int) -> None:
        self.book = OrderBook()
        self.window = BookWindow(depth) if depth else None
        self.published_seq = 0
        self.book_record = StreamRecord(instrument, Channel.ORDERBOOK)
        self.records: dict[type[MarketEvent], StreamRecord] = {}
        self.trade_ids: set[str] = set()
        self.recent_trades: deque[tuple[int, str]] = deque()

    def seen_trade(self, trade_id: str, now_us: int) -> bool:
        """Whether a trade came before, among the last :data:`TRADE_IDS_REMEMBERED`; remembers it.

        Trades of a venue that gives them no ids cannot be told apart: all pass.
        """
        if trade_id in self.trade_ids:
            return True
        if not trade_id:
            return False
        self.trade_ids.add(trade_id)
        recent = self.recent_trades
        recent.append((now_us, trade_id))
        while len(recent) > TRADE_IDS_ALWAYS and (
            now_us - recent[0][0] > TRADE_MEMORY_US or len(recent) > TRADE_IDS_REMEMBERED
        ):
            self.trade_ids.discard(recent.popleft()[1])
        return False


class BookKeeper:
    """Live books and stream counts of all instruments; :meth:`accept` is the hot path.

    ``publish`` receives what consumers are to see: the events themselves, or those of the window where
    :meth:`watch` set a depth.
    """

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._live: dict[InstrumentId, LiveInstrument] = {}
        self._ledger = GapLedger()

    def watch(self, instrument: InstrumentId, depth: int | None = None) -> None:
        """Expect an instrument; a ``depth`` > 0 publishes only its best levels.

        May be called again: a valid book is then published anew in its new depth. ``depth`` None leaves it
        to another call: somebody wants other streams of the instrument.
        """
        live = self._live.setdefault(instrument, LiveInstrument(instrument, depth or 0))
        if depth is not None and (live.window.depth if live.window else 0) != depth:
            live.window = BookWindow(depth) if depth else None
            if live.book.valid:
                self._publish_picture(live, _picture(live, instrument, live.book.received_us))

    def unwatch(self, instrument: InstrumentId) -> None:
        """Forget an instrument and its gaps."""
        self._live.pop(instrument, None)
        self._ledger.forget((instrument, channel) for channel in Channel)

    def book(self, instrument: InstrumentId) -> OrderBook | None:
        """The live book, to be read and never changed; None for an instrument that is not watched."""
        live = self._live.get(instrument)
        return live.book if live else None

    def accept(self, event: MarketEvent) -> bool:
        """Take one event of a session. False: it makes the book impossible, and was not published."""
        live = self._live.get(event.instrument)
        if live is None:
            return True
        if isinstance(event, BookDelta):
            return self._delta(live, event)
        if isinstance(event, BookSnapshot):
            return self._snapshot(live, event)
        if isinstance(event, Gap):
            self.gap(event)
            return True
        self._other(live, event)
        return True

    def gap(self, gap: Gap) -> None:
        """Open or close a gap; one that is open already, or not open at all, is no news."""
        live = self._live.get(gap.instrument)
        if live is None:
            return
        if gap.end_us is not None:
            if live.book.valid or gap.channel is not Channel.ORDERBOOK:
                self.whole(gap.instrument, gap.channel, gap.end_us, gap.received_us)
            return
        if gap.channel is Channel.ORDERBOOK:
            live.book.valid = False
        if self._ledger.opened(gap):
            self._record(live, gap).gaps += 1
            self._publish(gap)

    def interrupted(
        self, instrument: InstrumentId, channel: Channel, reason: GapReason, detail: str, now_us: int
    ) -> None:
        """A stream was cut off: its gap begins at its last event. One that never had an event has no gap."""
        live = self._live.get(instrument)
        if live is None:
            return
        record = self._record_of(live, instrument, channel)
        begin_us = record.exchange_us or record.received_us
        if begin_us:
            self.gap(Gap(instrument, begin_us, now_us, channel, reason, begin_us, None, detail))

    def open_gap(self, instrument: InstrumentId, channel: Channel) -> Gap | None:
        """The open gap of a stream, or None."""
        return self._ledger.get(instrument, channel)

    def refused_us(self, instrument: InstrumentId, channel: Channel) -> int:
        """When the stream whose gap is open was last refused; 0 if it was not."""
        return self._ledger.refused_us(instrument, channel)

    def last_us(self, instrument: InstrumentId, channel: Channel) -> int:
        """Exchange time of the stream's last event; 0 before the first."""
        live = self._live.get(instrument)
        return self._record_of(live, instrument, channel).exchange_us if live else 0

    def whole(self, instrument: InstrumentId, channel: Channel, end_us: int, now_us: int) -> None:
        """A stream is whole again: its gap, if it had one, ends."""
        closed = self._ledger.closed(instrument, channel, end_us, now_us)
        if closed is not None:
            self._publish(closed)

    def picture(self, instrument: InstrumentId, now_us: int) -> BookSnapshot | None:
        """The published book as an event of its own, or None while there is no valid one.

        Its ``seq`` is that of the last event published, so that it can be told from news.
        """
        live = self._live.get(instrument)
        if live is None or not live.book.valid:
            return None
        picture = _picture(live, instrument, now_us)
        return picture if live.window is None else structs.replace(picture, seq=live.published_seq)

    def second_passed(self) -> None:
        """Called once a second, for rates."""
        for live in self._live.values():
            live.book_record.second_passed()
            for record in live.records.values():
                record.second_passed()

    def statistics(self) -> list[StreamStatistics]:
        """Every stream that had a message or a gap."""
        records = [r for live in self._live.values() for r in (live.book_record, *live.records.values())]
        alive = [r for r in records if r.messages or r.gaps]
        return [r.statistics(self._ledger.get(r.instrument, r.channel)) for r in alive]

    def _delta(self, live: LiveInstrument, event: BookDelta) -> bool:
        book, record = live.book, live.book_record
        if not book.valid:
            # What follows a wrong book in one burst is not news; a book that never began has to be asked for.
            return record.messages > 0
        try:
            book.delta(event.bids, event.asks)
        except DecodeError:
            book.valid = False
            return False
        if book.crossed:
            book.valid = False
            return False
        book.seq = event.seq
        book.exchange_us = record.exchange_us = event.exchange_us
        book.received_us = record.received_us = event.received_us
        record.messages += 1
        if live.window is not None:
            bids, asks = live.window.changes(book)
            if not bids and not asks:
                return True
            event = structs.replace(event, prev_seq=live.published_seq, bids=bids, asks=asks)
            live.published_seq = event.seq
        self._publish(event)
        return True

    def _snapshot(self, live: LiveInstrument, event: BookSnapshot) -> bool:
        book, window = live.book, live.window
        follows = book.valid
        try:
            book.snapshot(event.bids, event.asks)
        except DecodeError:
            book.valid = False
            return False
        if book.crossed:
            book.valid = False
            return False
        self._stamp(live, event)
        if follows and window is not None:
            self._publish_changes(live, window, event)
        else:
            self._publish_picture(live, event)
        self.whole(event.instrument, Channel.ORDERBOOK, event.exchange_us, event.received_us)
        return True

    def _publish_picture(self, live: LiveInstrument, event: BookSnapshot) -> None:
        if live.window is not None:
            bids, asks = live.window.reset(live.book)
            event = structs.replace(event, bids=bids, asks=asks)
            live.published_seq = event.seq
        self._publish(event)

    def _publish_changes(self, live: LiveInstrument, window: BookWindow, event: BookSnapshot) -> None:
        """A full picture over a valid book is published as what it changed."""
        bids, asks = window.changes(live.book)
        if bids or asks:
            times = event.exchange_us, event.received_us
            before, live.published_seq = live.published_seq, event.seq
            self._publish(BookDelta(event.instrument, *times, event.seq, before, event.seq, bids, asks))

    def _other(self, live: LiveInstrument, event: MarketEvent) -> None:
        record = live.records.get(type(event))
        if record is None:
            record = self._record_of(live, event.instrument, CHANNEL_OF[type(event)])
        if isinstance(event, Trade) and live.seen_trade(event.trade_id, event.received_us):
            record.duplicates += 1
            return
        record.count(event.exchange_us, event.received_us)
        if self._ledger:
            self.whole(event.instrument, record.channel, event.exchange_us, event.received_us)
        self._publish(event)

    @staticmethod
    def _stamp(live: LiveInstrument, event: BookDelta | BookSnapshot) -> None:
        book = live.book
        book.seq = event.seq
        book.exchange_us = event.exchange_us
        book.received_us = event.received_us
        live.book_record.count(event.exchange_us, event.received_us)

    def _record(self, live: LiveInstrument, gap: Gap) -> StreamRecord:
        return self._record_of(live, gap.instrument, gap.channel)

    @staticmethod
    def _record_of(live: LiveInstrument, instrument: InstrumentId, channel: Channel) -> StreamRecord:
        if channel is Channel.ORDERBOOK:
            return live.book_record
        kind = _EVENT_OF[channel]
        record = live.records.get(kind)
        if record is None:
            record = live.records[kind] = StreamRecord(instrument, channel)
        return record


def _picture(live: LiveInstrument, instrument: InstrumentId, now_us: int) -> BookSnapshot:
    book, depth = live.book, live.window.depth if live.window else 0
    return BookSnapshot(instrument, book.exchange_us, now_us, book.seq, book.bids(depth), book.asks(depth))


_EVENT_OF = {channel: kind for kind, channel in CHANNEL_OF.items() if channel is not Channel.ORDERBOOK}
