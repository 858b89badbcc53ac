"""Replacing a connection by a newer one without missing an event, and without one twice.

Both connections are open for a while. The old one feeds the keeper; what the new one says of a book is
queued. Trades pass from both, and the keeper drops the second copy. Everything else stays with the old
connection to the end; what the new one said is kept, and what the old one had not said by then is published.
A book changes hands where the new connection's queue continues what was published:

* The queue begins after it: the new connection is ahead; the old one goes on until it has caught up.
* The queue does not reach it: the new connection is behind. The old one's events are held from here, so that
  the new one can catch up, but none for longer than :data:`HOLD_US`; should it break instead, they are
  published after all.
* The queue holds it: the rest of the queue is published, and the new connection feeds the keeper.
* Times and ids contradict each other (the ids fell), or ids do not compare across connections: the new book
  is taken as it is, with a gap.

Events that were queued or held are published as received at that moment, so that history is in the order of
receipt. What the old connection says of a book that has changed hands is kept until the new one has said it
too: if the new connection ends, the old one goes on from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import attrs
from msgspec import structs

from ctcore.feed.connection import Connection
from ctcore.feed.gate import BookEvent, Gate, gate_of, goes_on, ids_fell, of_book
from ctcore.feed.keeper import BookKeeper
from ctcore.model.ids import Channel, InstrumentId, Subscription
from ctcore.model.market import (
    CHANNEL_OF,
    BookDelta,
    BookSnapshot,
    Candle,
    Gap,
    GapReason,
    MarketEvent,
    Trade,
)
from ctcore.model.time import US_PER_SEC

QUEUED_EVENTS = 10_000
"""How many events of a book may be queued; beyond it the new connection's book is taken as it is, with a gap.
"""
HOLD_US = 2 * US_PER_SEC
"""For how long the published book may stand still so that the new connection can catch up."""
HOLD_AGAIN_US = 10 * US_PER_SEC
KEPT_EVENTS = 1_000
"""How many events of other streams are kept of the new connection; the oldest are dropped beyond it."""


@attrs.define
class _Book:
    """One book before it changes hands: the new connection's ``queue`` and the old one's ``held`` events."""

    queue: deque[BookEvent] = attrs.field(factory=deque)
    held: deque[BookEvent] = attrs.field(factory=deque)
    holding: bool = False
    hold_from_us: int = 0


@attrs.define
class _Taken:
    """One book that has changed hands: what the old connection ``said`` since; ``broken``, it has no book."""

    broken: bool
    said: deque[BookEvent] = attrs.field(factory=lambda: deque(maxlen=QUEUED_EVENTS))


class Handover:
    """Stands between two connections and the keeper until :meth:`finish` or :meth:`abandon`.

    ``comparable``: ids of a book mean the same on both connections.
    """

    def __init__(
        self,
        keeper: BookKeeper,
        old: Connection,
        new: Connection,
        subscriptions: Iterable[Subscription],
        *,
        comparable: bool = True,
    ) -> None:
        self._keeper = keeper
        self._old = old
        self._new = new
        self._comparable = comparable
        self._old_gate = gate_of(keeper, old)
        self._new_gate = Gate(keeper, new)
        books = {s.instrument for s in subscriptions if s.channel is Channel.ORDERBOOK}
        self._left = {instrument: _Book() for instrument in books}
        self._taken: dict[InstrumentId, _Taken] = {}
        self._gaps: dict[tuple[InstrumentId, Channel], Gap] = {}
        self._kept: deque[MarketEvent] = deque(maxlen=KEPT_EVENTS)
        self._told_us: dict[tuple[object, ...], int] = {}
        old.accept = self._from_old
        new.accept = self._from_new

    @property
    def done(self) -> bool:
        """Every book has changed hands."""
        return not self._left

    def tick(self, now_us: int) -> None:
        """Let go of what has been held for too long; to be called several times a second."""
        for instrument, book in tuple(self._left.items()):
            self._limit_hold(instrument, book, now_us)

    def finish(self, now_us: int, reason: GapReason = GapReason.HANDOVER) -> None:
        """The new connection takes over everything as it is; ``reason`` is that of what it does not have."""
        self._new_gate.reason = reason
        for instrument, book in tuple(self._left.items()):
            self._take_as_it_is(instrument, book, now_us)
        self._publish_kept(now_us)
        for gap in self._gaps.values():
            self._keeper.accept(gap)
        self._old.accept = self._from_retired
        self._new_gate.install()

    def abandon(self, now_us: int) -> None:
        """The new connection is gone: the old one goes on, from where the new one was with books it had."""
        for instrument, book in self._left.items():
            self._release(instrument, book, now_us)
        for instrument, taken in self._taken.items():
            self._take_back(instrument, taken, now_us)
        self._old_gate.install()

    def _from_old(self, event: MarketEvent) -> bool:
        if not of_book(event):
            if not isinstance(event, Trade | Gap):
                self._told_us[_stream_of(event)] = event.exchange_us
            return self._keeper.accept(event)
        instrument = event.instrument
        book = self._left.get(instrument)
        if book is None:
            self._remember(instrument, event)
            return True
        if book.holding:
            self._limit_hold(instrument, book, event.received_us)
        if not book.holding:
            accepted = self._old_gate(event)
            if accepted:
                self._change_hands(instrument, book, event.received_us)
            return accepted
        if isinstance(event, BookDelta | BookSnapshot) and len(book.held) < QUEUED_EVENTS:
            book.held.append(event)
        else:
            # It has no more to give than the new connection, or the new one is hopelessly behind.
            self._take_as_it_is(instrument, book, event.received_us)
            self._remember(instrument, event)
        return True

    def _from_new(self, event: MarketEvent) -> bool:
        if isinstance(event, Trade):
            return self._keeper.accept(event)
        if not of_book(event):
            return self._not_yet(event)
        instrument = event.instrument
        book = self._left.get(instrument)
        if book is None:
            return self._new_gate(event)
        if isinstance(event, BookDelta | BookSnapshot):
            book.queue.append(event)
            self._change_hands(instrument, book, event.received_us)
            if len(book.queue) > QUEUED_EVENTS and instrument in self._left:
                self._force(instrument, event.received_us)
        elif isinstance(event, Gap) and event.end_us is None:
            book.queue.clear()
            self._release(instrument, book, event.received_us)
        return True

    def _from_retired(self, event: MarketEvent) -> bool:
        """The old connection's last words."""
        return self._keeper.accept(event) if isinstance(event, Trade) else True

    def _not_yet(self, event: MarketEvent) -> bool:
        """Remember what the new connection has and lacks, for when the old one will not be there."""
        if not isinstance(event, Gap):
            self._kept.append(event)
        elif event.end_us is None:
            self._gaps[event.instrument, event.channel] = event
        else:
            self._gaps.pop((event.instrument, event.channel), None)
        return True

    def _publish_kept(self, now_us: int) -> None:
        """What the old connection had not said yet of streams without snapshots."""
        news = [event for event in self._kept if event.exchange_us > self._said_us(event)]
        self._kept.clear()
        for event in news:
            self._keeper.accept(structs.replace(event, received_us=max(now_us, event.received_us)))

    def _said_us(self, event: MarketEvent) -> int:
        said_us = self._told_us.get(_stream_of(event))
        return self._keeper.last_us(event.instrument, CHANNEL_OF[type(event)]) if said_us is None else said_us

    def _remember(self, instrument: InstrumentId, event: MarketEvent) -> None:
        """What the old connection says of a book that the new one feeds."""
        taken, published = self._taken[instrument], self._keeper.book(instrument)
        if isinstance(event, BookDelta | BookSnapshot):
            if isinstance(event, BookSnapshot):
                taken.broken = False
                taken.said.clear()
            taken.said.append(event)
            while published is not None and len(taken.said) > 1 and taken.said[0].seq <= published.seq:
                taken.said.popleft()
        elif isinstance(event, Gap) and event.end_us is None:
            taken.broken = True
            taken.said.clear()

    def _take_back(self, instrument: InstrumentId, taken: _Taken, now_us: int) -> None:
        """Let the old connection go on with a book; without a gap if its chain can."""
        gate, published, said = self._old_gate, self._keeper.book(instrument), taken.said
        start = None
        if published is not None and published.valid and self._comparable and not taken.broken:
            start = _continuation(said, published.seq) if said else 0
        if start is None and said and isinstance(said[0], BookSnapshot):
            gate.declare_gap(instrument, now_us)
            start = 0
        if start is None:
            gate.mend(instrument, now_us)
            return
        if start == len(said):
            gate.behind.add(instrument)
        for index in range(start, len(said)):
            if not gate(_received_at(said[index], now_us)):
                self._old.resync(instrument, GapReason.CROSSED)
                return

    def _change_hands(self, instrument: InstrumentId, book: _Book, now_us: int) -> None:
        """Go over to the new connection's book if its queue continues the published one."""
        published = self._keeper.book(instrument)
        if published is None or not book.queue:
            return
        newest = book.queue[-1]
        if not published.valid or not self._comparable:
            self._force(instrument, now_us)
            return
        start = _continuation(book.queue, published.seq)
        if start is None or (start == len(book.queue) and newest.seq != published.seq):
            # The time of a first snapshot may be that of its receipt, and proves nothing.
            if (len(book.queue) > 1 or isinstance(newest, BookDelta)) and ids_fell(newest, published):
                self._force(instrument, now_us)
            else:
                book.holding = start is not None and now_us >= book.hold_from_us
            return
        book.holding = False
        self._take(instrument)
        if start == len(book.queue):
            self._new_gate.behind.add(instrument)  # a delta that ends where the book stands may still come
        self._publish([book.queue[index] for index in range(start, len(book.queue))], now_us)

    def _limit_hold(self, instrument: InstrumentId, book: _Book, now_us: int) -> None:
        if book.held and now_us - book.held[0].received_us >= HOLD_US:
            book.hold_from_us = now_us + HOLD_AGAIN_US
            self._release(instrument, book, now_us)

    def _take_as_it_is(self, instrument: InstrumentId, book: _Book, now_us: int) -> None:
        """Go over to the new connection at once; where it is only behind, nothing is lost."""
        self._release(instrument, book, now_us)
        book.hold_from_us = 0
        self._change_hands(instrument, book, now_us)
        if book.holding:
            self._take(instrument)
            self._new_gate.behind.add(instrument)
        elif instrument in self._left:
            self._force(instrument, now_us)

    def _force(self, instrument: InstrumentId, now_us: int) -> None:
        """Take the new connection's book as it is; what the two do not share is a gap."""
        queue = self._left[instrument].queue
        self._take(instrument)
        self._new_gate.declare_gap(instrument, now_us)
        self._publish(queue, now_us)

    def _release(self, instrument: InstrumentId, book: _Book, now_us: int) -> None:
        """Publish what the old connection said while it was held."""
        book.holding = False
        held, book.held = book.held, deque()
        for event in held:
            if not self._old_gate(_received_at(event, now_us)):
                self._old.resync(instrument, GapReason.CROSSED)
                return

    def _publish(self, events: Iterable[BookEvent], now_us: int) -> None:
        for event in events:
            if not self._keeper.accept(_received_at(event, now_us)):
                self._new.resync(event.instrument, GapReason.CROSSED)
                return

    def _take(self, instrument: InstrumentId) -> None:
        """The new connection feeds the book from here."""
        book, published = self._left.pop(instrument), self._keeper.book(instrument)
        self._taken[instrument] = _Taken(broken=published is None or not published.valid)
        self._taken[instrument].said.extend(book.held)


def _stream_of(event: MarketEvent) -> tuple[object, ...]:
    """Candles of different intervals are streams of their own."""
    return event.instrument, type(event), event.interval if isinstance(event, Candle) else ""


def _received_at(event: BookEvent, now_us: int) -> BookEvent:
    return structs.replace(event, received_us=now_us) if event.received_us < now_us else event


def _continuation(queue: Sequence[BookEvent], at: int) -> int | None:
    """Index of the first event of the queue to publish after ``at``; its length when all are older.

    None: the queue begins after ``at``. Ids may fall, so the place where one stands at ``at`` is looked for
    first, from the end.
    """
    for index in range(len(queue) - 1, -1, -1):
        if queue[index].seq == at:
            return index + 1
    if queue[0].seq > at:
        return 0 if isinstance(queue[0], BookDelta) and goes_on(queue[0], at) else None
    for index, event in enumerate(queue):
        if goes_on(event, at):
            return index
    return len(queue)
