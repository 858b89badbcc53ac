"""Replacing a connection by a newer one without missing an event.

Both connections are open for a while. The old one feeds the keeper; what the new one says of a book waits. A
book changes hands when the new connection's deltas chain onto what was published from the old one, so that
consumers see one unbroken sequence. Trades pass from both, and the keeper drops the second copy. Everything
else stays with the old connection until all books have changed hands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import attrs

from ctcore.feed.connection import Connection
from ctcore.feed.keeper import BookKeeper
from ctcore.model.ids import Channel, InstrumentId, Subscription
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason, MarketEvent, Trade

WAITING_DELTAS = 10_000
"""How many deltas of a book may wait; beyond it the new connection's book is taken as it is, with a gap."""


@attrs.define
class _Waiting:
    snapshot: BookSnapshot
    deltas: deque[BookDelta] = attrs.field(factory=deque)


class Handover:
    """Stands between two connections and the keeper until :attr:`done`."""

    def __init__(
        self, keeper: BookKeeper, old: Connection, new: Connection, subscriptions: Iterable[Subscription]
    ) -> None:
        self._keeper = keeper
        self._new = new
        books = {s.instrument for s in subscriptions if s.channel is Channel.ORDERBOOK}
        self._left: set[InstrumentId] = books
        self._waiting: dict[InstrumentId, _Waiting] = {}
        old.accept = self._from_old
        new.accept = self._from_new

    @property
    def done(self) -> bool:
        """Every book has changed hands."""
        return not self._left

    def finish(self, now_us: int) -> None:
        """The old connection is gone, or time is up: the new one takes over everything as it is."""
        for instrument in tuple(self._left):
            if not self._change_hands(instrument):
                self._force(instrument, now_us)
        self._left.clear()
        self._new.accept = self._keeper.accept

    def _from_old(self, event: MarketEvent) -> bool:
        if not isinstance(event, BookDelta | BookSnapshot | Gap):
            return self._keeper.accept(event)
        if event.instrument not in self._left:
            return True
        accepted = self._keeper.accept(event)
        self._change_hands(event.instrument)
        return accepted

    def _from_new(self, event: MarketEvent) -> bool:
        instrument = event.instrument
        if isinstance(event, Trade) or (isinstance(event, BookDelta | Gap) and instrument not in self._left):
            return self._keeper.accept(event)
        match event:
            case BookSnapshot() if instrument in self._left:
                self._waiting[instrument] = _Waiting(event)
                self._change_hands(instrument)
            case BookSnapshot():
                return self._keeper.accept(event)
            case BookDelta():
                self._wait(event)
            case Gap():
                self._waiting.pop(instrument, None)
            case _:
                pass
        return True

    def _wait(self, delta: BookDelta) -> None:
        waiting = self._waiting.get(delta.instrument)
        if waiting is None:
            return
        waiting.deltas.append(delta)
        if not self._change_hands(delta.instrument) and len(waiting.deltas) > WAITING_DELTAS:
            self._force(delta.instrument, delta.received_us)

    def _change_hands(self, instrument: InstrumentId) -> bool:
        """Go over to the new connection's book if it chains onto the published one."""
        waiting = self._waiting.get(instrument)
        book = self._keeper.book(instrument)
        if waiting is None or book is None:
            return False
        if not book.valid:
            self._force(instrument, waiting.snapshot.received_us)
            return True
        if waiting.snapshot.seq > book.seq:
            return False
        later = [delta for delta in waiting.deltas if delta.seq > book.seq]
        if later and later[0].prev_seq > book.seq:
            return False
        self._taken(instrument)
        for delta in later:
            self._keeper.accept(delta)
        return True

    def _force(self, instrument: InstrumentId, now_us: int) -> None:
        """Take the new connection's book as it is; what the two do not share is a gap."""
        waiting = self._waiting.get(instrument)
        self._taken(instrument)
        self._keeper.interrupted(
            instrument, Channel.ORDERBOOK, GapReason.HANDOVER, "the connections' books did not meet", now_us
        )
        if waiting is not None:
            for event in (waiting.snapshot, *waiting.deltas):
                self._keeper.accept(event)

    def _taken(self, instrument: InstrumentId) -> None:
        self._left.discard(instrument)
        self._waiting.pop(instrument, None)
