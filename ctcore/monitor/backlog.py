"""The events of one sink that are still in memory: collected, cut into batches, bounded. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import attrs

from ctcore.model.ids import InstrumentId
from ctcore.model.market import BookDelta, BookSnapshot, Gap, MarketEvent
from ctcore.monitor.overflow import Overflow


@attrs.define
class Batch:
    """Events that leave together. ``spooled``: it is on the disk, too. ``size``: what it counts in memory."""

    id: str
    events: list[MarketEvent]
    size: int = 0
    spooled: bool = False


class Backlog:
    """Events of a total size of ``max_buffered``, and a tenth more for gaps, which tell of what is missing.

    An event counts 1, an order book's 1 more for each level, as a snapshot takes a thousand times the memory
    of a trade.

    Batch ids are ``<run>-<counter>``. ``on_batch`` is told that there is one more, ``on_room`` that events
    are taken again after some had been refused, with the instruments whose order book then misses changes.
    """

    def __init__(
        self,
        run_id: str,
        *,
        batch_size: int,
        max_buffered: int,
        on_batch: Callable[[], None],
        on_full: Callable[[], None],
        on_room: Callable[[list[InstrumentId]], None],
    ) -> None:
        self._run_id = run_id
        self._batch_size = batch_size
        self._max_buffered = max_buffered
        self._on_batch = on_batch
        self._on_full = on_full
        self._on_room = on_room
        self._buffer: list[MarketEvent] = []
        self._events = self._batched = self._collected = 0
        self._counter = 0
        self._full = False
        self._guarded = False
        self.batches: deque[Batch] = deque()
        self.overflow = Overflow()

    def __len__(self) -> int:
        return self._events + len(self._buffer)

    @property
    def size(self) -> int:
        """How much of the memory is taken."""
        return self._batched + self._collected

    @property
    def half_full(self) -> bool:
        """More than half of the memory is taken."""
        return self._batched > self._max_buffered // 2

    def offer(self, event: MarketEvent) -> None:
        """Take an event, or refuse and count it; never waits, never raises."""
        if self._guarded:
            self._offer_guarded(event)
            return
        self._take(event)
        if len(self._buffer) >= self._batch_size:
            self.cut()

    def lose(self, events: Iterable[MarketEvent], why: str) -> list[InstrumentId]:
        """These events, taken before, will not be kept: tell gaps. Returns books that need a snapshot."""
        for event in events:
            self.overflow.lose(event, why)
        self._guarded = True
        if not self._full:
            self.tell_gaps()
        return self.overflow.books()

    def cut(self) -> None:
        """End the batch that is being collected, whatever its size."""
        if not self._buffer:
            return
        self._counter += 1
        self.batches.append(Batch(f"{self._run_id}-{self._counter}", self._buffer, self._collected))
        self._batched += self._collected
        self._events += len(self._buffer)
        self._buffer, self._collected = [], 0
        if self._batched >= self._max_buffered and not self._full:
            self._full = self._guarded = True
            self._on_full()
        self._on_batch()

    def left(self, batch: Batch) -> None:
        """A batch is in memory no more: the sink or the disk has it."""
        self._batched -= batch.size
        self._events -= len(batch.events)
        if self._full and not self.half_full:
            self._full = False
            self.tell_gaps()
            self._guarded = len(self.overflow) > 0
            self._on_room(self.overflow.books())

    def tell_gaps(self) -> None:
        """Put the gaps of refused events among the events."""
        for gap in self.overflow.room():
            self._take(gap)

    def _take(self, event: MarketEvent) -> None:
        self._buffer.append(event)
        self._collected += size_of(event)

    def _offer_guarded(self, event: MarketEvent) -> None:
        gap_fits = isinstance(event, Gap) and self.size < self._max_buffered + self._max_buffered // 10
        if self._full and not gap_fits:
            self.overflow.refuse(event)
            return
        self._take(event)
        closed = None if self._full else self.overflow.accepted(event)
        if closed is not None:
            self._take(closed)
        self._guarded = self._full or len(self.overflow) > 0
        if len(self._buffer) >= self._batch_size:
            self.cut()


def size_of(event: MarketEvent) -> int:
    """What an event counts: itself and its levels."""
    if isinstance(event, BookDelta | BookSnapshot):
        return len(event.bids) + len(event.asks) + 1
    return 1
