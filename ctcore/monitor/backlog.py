"""The events of one sink that are still in memory: collected, cut into batches, bounded. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from ctcore.model.ids import InstrumentId
from ctcore.model.market import Gap, MarketEvent
from ctcore.monitor.overflow import Overflow


@attrs.define
class Batch:
    """Events that leave together. ``spooled``: it is on the disk, too."""

    id: str
    events: list[MarketEvent]
    spooled: bool = False


class Backlog:
    """At most ``max_buffered`` events, and a tenth more for gaps, which tell of what is missing.

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
        self._batched = 0
        self._counter = 0
        self._full = False
        self._guarded = False
        self.batches: deque[Batch] = deque()
        self.overflow = Overflow()

    def __len__(self) -> int:
        return self._batched + len(self._buffer)

    @property
    def half_full(self) -> bool:
        """More than half of the memory is taken."""
        return self._batched > self._max_buffered // 2

    def offer(self, event: MarketEvent) -> None:
        """Take an event, or refuse and count it; never waits, never raises."""
        if self._guarded:
            self._offer_guarded(event)
            return
        self._buffer.append(event)
        if len(self._buffer) >= self._batch_size:
            self.cut()

    def cut(self) -> None:
        """End the batch that is being collected, whatever its size."""
        if not self._buffer:
            return
        self._counter += 1
        self.batches.append(Batch(f"{self._run_id}-{self._counter}", self._buffer))
        self._batched += len(self._buffer)
        self._buffer = []
        if self._batched >= self._max_buffered and not self._full:
            self._full = self._guarded = True
            self._on_full()
        self._on_batch()

    def left(self, batch: Batch) -> None:
        """A batch is in memory no more: the sink or the disk has it."""
        self._batched -= len(batch.events)
        if self._full and not self.half_full:
            self._full = False
            self.tell_gaps()
            self._guarded = len(self.overflow) > 0
            self._on_room(self.overflow.books())

    def tell_gaps(self) -> None:
        """Put the gaps of refused events among the events."""
        self._buffer += self.overflow.room()

    def _offer_guarded(self, event: MarketEvent) -> None:
        gap_fits = isinstance(event, Gap) and len(self) < self._max_buffered + self._max_buffered // 10
        if self._full and not gap_fits:
            self.overflow.refuse(event)
            return
        self._buffer.append(event)
        closed = None if self._full else self.overflow.accepted(event)
        if closed is not None:
            self._buffer.append(closed)
        self._guarded = self._full or len(self.overflow) > 0
        if len(self._buffer) >= self._batch_size:
            self.cut()
