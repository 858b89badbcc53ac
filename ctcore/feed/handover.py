"""Replacing a connection by a newer one without missing an event, and without one twice.

Both connections are open for a while. The old one feeds the keeper; what the new one says of a book is
queued. Trades pass from both, and the keeper drops the second copy. Everything else stays with the old
connection to the end. A book changes hands where the new connection's queue continues what was published:

* The queue begins after it: the new connection is ahead; the old one goes on until it has caught up.
* The queue does not reach it: the new connection is behind. The old one's events are held from here, so that
  the new one can catch up; should it break instead, they are published after all.
* The queue holds it: the rest of the queue is published, and the new connection feeds the keeper.

Events that were queued or held are published as received at that moment, so that history is in the order of
receipt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import attrs
from msgspec import structs

from ctcore.feed.connection import Connection
from ctcore.feed.keeper import BookKeeper
from ctcore.model.ids import Channel, InstrumentId, Subscription
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason, MarketEvent, Trade

QUEUED_EVENTS = 10_000
"""How many events of a book may be queued; beyond it the new connection's book is taken as it is, with a gap.
"""

BookEvent: TypeAlias = BookDelta | BookSnapshot


@attrs.define
class _Book:
    """One book before it changes hands: the new connection's ``queue`` and the old one's ``held`` events."""

    queue: deque[BookEvent] = attrs.field(factory=deque)
    held: deque[BookEvent] = attrs.field(factory=deque)
    holding: bool = False


class Handover:
    """Stands between two connections and the keeper until :meth:`finish` or :meth:`abandon`."""

    def __init__(
        self, keeper: BookKeeper, old: Connection, new: Connection, subscriptions: Iterable[Subscription]
    ) -> None:
        self._keeper = keeper
        self._old = old
        self._new = new
        self._books = {s.instrument for s in subscriptions if s.channel is Channel.ORDERBOOK}
        self._left = {instrument: _Book() for instrument in self._books}
        self._behind: set[InstrumentId] = set()
        self._gaps: dict[tuple[InstrumentId, Channel], Gap] = {}
        self._finished = False
        old.accept = self._from_old
        new.accept = self._from_new

    @property
    def done(self) -> bool:
        """Every book has changed hands."""
        return not self._left

    def finish(self, now_us: int) -> None:
        """The old connection is gone, or time is up: the new one takes over everything as it is."""
        self._finished = True
        for instrument, book in tuple(self._left.items()):
            self._take_as_it_is(instrument, book, now_us)
        for gap in self._gaps.values():
            self._keeper.accept(gap)
        self._old.accept = self._from_retired
        self._settle()

    def abandon(self, now_us: int) -> None:
        """The new connection is gone: the old one goes on. Books that had changed hands are mended by it."""
        self._old.accept = self._keeper.accept
        for instrument, book in self._left.items():
            self._release(instrument, book, now_us)
        for instrument in self._books - self._left.keys():
            self._mend(self._old, instrument, now_us)

    def _from_old(self, event: MarketEvent) -> bool:
        if not _of_book(event):
            return self._keeper.accept(event)
        instrument = event.instrument
        book = self._left.get(instrument)
        if book is None:
            return True
        if not book.holding:
            accepted = self._keeper.accept(event)
            if accepted:
                self._change_hands(instrument, book, event.received_us)
            return accepted
        if isinstance(event, BookDelta | BookSnapshot) and len(book.held) < QUEUED_EVENTS:
            book.held.append(event)
        else:
            # It has no more to give than the new connection, or the new one is hopelessly behind.
            self._take_as_it_is(instrument, book, event.received_us)
        return True

    def _from_new(self, event: MarketEvent) -> bool:
        if isinstance(event, Trade):
            return self._keeper.accept(event)
        if not _of_book(event):
            return self._keeper.accept(event) if self._finished else self._not_yet(event)
        instrument = event.instrument
        book = self._left.get(instrument)
        if book is None:
            return self._keeper.accept(event) if self._is_news(event) else True
        if isinstance(event, BookDelta | BookSnapshot):
            book.queue.append(event)
            self._change_hands(instrument, book, event.received_us)
            if len(book.queue) > QUEUED_EVENTS:
                self._force(instrument, event.received_us)
        elif isinstance(event, Gap) and event.end_us is None:
            book.queue.clear()
            self._release(instrument, book, event.received_us)
        return True

    def _from_retired(self, event: MarketEvent) -> bool:
        """The old connection's last words."""
        return self._keeper.accept(event) if isinstance(event, Trade) else True

    def _not_yet(self, event: MarketEvent) -> bool:
        """Remember what the new connection lacks, for when the old one will not be there to fill in."""
        if isinstance(event, Gap):
            key = event.instrument, event.channel
            if event.end_us is None:
                self._gaps[key] = event
            else:
                self._gaps.pop(key, None)
        return True

    def _is_news(self, event: MarketEvent) -> bool:
        """Of a book that was taken while its new connection was behind: whether the event has caught up."""
        instrument = event.instrument
        published = self._keeper.book(instrument)
        if instrument not in self._behind or published is None:
            return True
        at = published.seq
        if published.valid and isinstance(event, BookDelta | BookSnapshot) and not _goes_on(event, at):
            if isinstance(event, BookSnapshot) or event.prev_seq <= event.seq <= at:
                return False
            self._behind.discard(instrument)
            self._mend(self._new, instrument, event.received_us)  # its chain went past what was published
            return False
        self._behind.discard(instrument)
        self._settle()
        return True

    def _settle(self) -> None:
        """Step aside once nothing has to be filtered any more."""
        if self._finished and not self._behind:
            self._new.accept = self._keeper.accept

    def _change_hands(self, instrument: InstrumentId, book: _Book, now_us: int) -> None:
        """Go over to the new connection's book if its queue continues the published one."""
        published = self._keeper.book(instrument)
        if published is None or not book.queue:
            return
        if not published.valid:
            self._force(instrument, now_us)
            return
        start = _continuation(book.queue, published.seq)
        book.holding = start == len(book.queue) and book.queue[-1].seq != published.seq
        if start is None or book.holding:
            return
        self._taken(instrument)
        if start == len(book.queue):
            self._behind.add(instrument)  # a delta that ends where the book stands may still come
        self._publish([book.queue[index] for index in range(start, len(book.queue))], now_us)

    def _take_as_it_is(self, instrument: InstrumentId, book: _Book, now_us: int) -> None:
        """Go over to the new connection at once; where it is only behind, nothing is lost."""
        if book.holding:
            self._release(instrument, book, now_us)
            self._change_hands(instrument, book, now_us)
        if book.holding:
            self._taken(instrument)
            self._behind.add(instrument)
        elif instrument in self._left:
            self._force(instrument, now_us)

    def _force(self, instrument: InstrumentId, now_us: int) -> None:
        """Take the new connection's book as it is; what the two do not share is a gap."""
        queue = self._left[instrument].queue
        self._taken(instrument)
        self._declare_gap(instrument, now_us)
        self._publish(queue, now_us)

    def _mend(self, connection: Connection, instrument: InstrumentId, now_us: int) -> None:
        """Have a connection begin the book anew."""
        self._declare_gap(instrument, now_us)
        connection.resync(instrument, GapReason.HANDOVER)

    def _declare_gap(self, instrument: InstrumentId, now_us: int) -> None:
        detail = "the connections' books did not meet"
        self._keeper.interrupted(instrument, Channel.ORDERBOOK, GapReason.HANDOVER, detail, now_us)

    def _release(self, instrument: InstrumentId, book: _Book, now_us: int) -> None:
        """Publish what the old connection said while it was held."""
        book.holding = False
        held, book.held = book.held, deque()
        for event in held:
            if not self._keeper.accept(_received_at(event, now_us)):
                self._old.resync(instrument, GapReason.CROSSED)
                return

    def _publish(self, events: Iterable[BookEvent], now_us: int) -> None:
        for event in events:
            if not self._keeper.accept(_received_at(event, now_us)):
                self._new.resync(event.instrument, GapReason.CROSSED)
                return

    def _taken(self, instrument: InstrumentId) -> None:
        self._left.pop(instrument, None)


def _of_book(event: MarketEvent) -> bool:
    if isinstance(event, Gap):
        return event.channel is Channel.ORDERBOOK
    return isinstance(event, BookDelta | BookSnapshot)


def _received_at(event: BookEvent, now_us: int) -> BookEvent:
    return structs.replace(event, received_us=now_us) if event.received_us < now_us else event


def _goes_on(event: BookEvent, at: int) -> bool:
    """Whether an event can be published after ``at``: a newer picture, or a delta that chains onto it."""
    if isinstance(event, BookSnapshot):
        return event.seq > at
    return event.prev_seq == at or event.prev_seq <= at < event.seq


def _continuation(queue: Sequence[BookEvent], at: int) -> int | None:
    """Index of the first event of the queue to publish after ``at``; its length when all are older.

    None: the queue begins after ``at``. Ids may fall, so the place where one stands at ``at`` is looked for
    first, from the end.
    """
    for index in range(len(queue) - 1, -1, -1):
        if queue[index].seq == at:
            return index + 1
    if queue[0].seq > at:
        return None
    for index, event in enumerate(queue):
        if _goes_on(event, at):
            return index
    return len(queue)
