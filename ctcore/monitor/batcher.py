"""Between the feeds and one sink: events become batches, batches are written, and wait on disk while they
cannot be.

::

    offer ─▶ backlog in memory ─▶ in hand ─▶ sink.write_batch
                   └──────▶ spool ──▶┘

A batch is cut by size or age. Batches leave in the order they were cut: while the spool holds any, the next
one comes from there. They are spooled when the sink fails, and when half of the memory is taken; the one in
hand goes first, so that the order stays and a crash of ctcore finds it on the disk. It is acknowledged there
once the sink has it. After a failure the sink is opened anew (:mod:`ctcore.monitor.sink_door`).

A batch offered again carries the same id and the same events, which is what lets a sink keep it once. When
memory and disk are full, events are refused and counted, and every stream that lost any gets a gap
(:mod:`ctcore.monitor.overflow`). So do the streams of a batch that the engine of a sink refuses again and
again although it works: it is put aside, so that history goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import trio
from loguru import logger

from ctcore.contracts.sink import Sink
from ctcore.errors import ConfigError, SpoolFull, StorageError
from ctcore.model.ids import InstrumentId
from ctcore.model.instrument import Instrument
from ctcore.model.market import MarketEvent
from ctcore.monitor.backlog import Backlog, Batch
from ctcore.monitor.signal import Signal
from ctcore.monitor.sink_door import InThread, SinkDoor
from ctcore.monitor.spool import Spool
from ctcore.monitor.statistics import BatcherStatistics
from ctcore.runtime.clock import Clock, SystemClock
from ctcore.runtime.service import Service
from ctcore.runtime.threads import BlockingWorker
from ctcore.sinks.client import BatchRefused
from ctcore.wire.backoff import BackoffPolicy

DISK_RETRY_SEC = 1.0
REFUSALS = 5
"""So often a batch is refused by an engine that works, before it is put aside."""


class Batcher(Service):
    """Feeds one sink. ``run_id`` must differ in every run of the daemon. Batch ids are made of it and of
    ``name``, so that two sinks may write to one place.

    ``offer`` takes an event: an append, it never waits and never raises. ``max_buffered`` bounds events in
    memory together with the levels of their order books. Without ``spool_directory`` nothing waits on disk.
    ``write_sec`` is the deadline of one write, ``drain_sec`` what the end may take to bring memory to the
    sink or the spool. ``on_trouble`` is told, in a sentence, when the sink goes down or comes back and when
    events are refused. ``wants_snapshot`` is told the order books of which history lost events.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        run_id: str,
        batch_size: int = 500,
        batch_interval_sec: float = 5.0,
        max_buffered: int = 1_000_000,
        spool_directory: Path | None = None,
        spool_max_bytes: int = 1_000_000_000,
        write_sec: float = 60.0,
        drain_sec: float = 8.0,
        backoff: BackoffPolicy | None = None,
        rng: Random | None = None,
        clock: Clock | None = None,
        on_trouble: Callable[[str], None] = logger.warning,
        wants_snapshot: Callable[[InstrumentId], None] | None = None,
        in_thread: InThread | None = None,
    ) -> None:
        self.name = name
        self._spool = None if spool_directory is None else Spool(spool_directory, max_bytes=spool_max_bytes)
        self._interval_sec = batch_interval_sec
        self._drain_sec = drain_sec
        self._backoff = backoff or BackoffPolicy(first_sec=0.5, max_sec=30.0)
        self._rng = rng or Random()
        self._clock = clock or SystemClock()
        self._on_trouble = on_trouble
        self._wants_snapshot = wants_snapshot
        in_thread_of_sink = in_thread or BlockingWorker(name, deadline_sec=write_sec).run
        self._door = SinkDoor(name, sink, in_thread=in_thread_of_sink, clock=self._clock)
        self._disk_thread = in_thread or trio.to_thread.run_sync
        self._backlog = Backlog(
            f"{name}/{run_id}", batch_size=batch_size, max_buffered=max_buffered,
            on_batch=self._batch_came, on_full=self._memory_full, on_room=self._memory_free)
        self.offer: Callable[[MarketEvent], None] = self._backlog.offer
        self._hand: Batch | None = None
        self._down = self._spool_full = self._told_full = False
        self._written_batches = self._written_events = self._refusals = self._put_aside = 0
        self._last_error = ""
        self._last_write_us: int | None = None
        self._disk = trio.Lock()
        self._work, self._spill, self._progress, self._stop = Signal(), Signal(), Signal(), Signal()

    @property
    def ready(self) -> bool:
        """The sink has been opened, since the last start."""
        return self._door.was_open

    def describe(self, instruments: Iterable[Instrument]) -> None:
        """Tell the sink about instruments, before their first event is written."""
        self._door.learn(instruments)

    def request_stop(self) -> bool:
        """Finish: :meth:`run` brings memory to the sink or the spool and returns."""
        self._stop.set()
        return True

    def outcome(self) -> tuple[str, str]:
        """What became of the events, for a report: a word and a sentence."""
        if len(self._backlog):
            return "failed", f"{len(self._backlog)} events neither written nor spooled: {self._last_error}"
        waiting = len(self._spool) if self._spool is not None else 0
        written = f"{self._written_events} events written"
        return ("spooled", f"{written}, {waiting} batches wait on disk") if waiting else ("written", written)

    def statistics(self) -> BatcherStatistics:
        """Gauges and counts so far."""
        spooled = self._spool.statistics() if self._spool is not None else None
        return BatcherStatistics(
            buffered=len(self._backlog), buffered_size=self._backlog.size,
            pending_batches=len(self._backlog.batches),
            spooled_batches=spooled.batches if spooled else 0, spooled_bytes=spooled.bytes if spooled else 0,
            written_batches=self._written_batches, written_events=self._written_events,
            refused=self._backlog.overflow.refused, put_aside=self._put_aside,
            lost_streams=len(self._backlog.overflow), down=self._down, last_error=self._last_error,
            last_write_us=self._last_write_us)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write batches until asked to stop. Ready after the first attempt to open the sink.

        Raises :class:`~ctcore.errors.ConfigError` when the sink or the spool says at once that no retry can
        help. Whatever else the sink does, it is down and this goes on.
        """
        self._door.was_open = self._door.opened = False
        try:
            if self._spool is not None:
                await self._disk_thread(self._spool.open)
            try:
                await self._door.open()
            except StorageError as error:
                self._failed(error)
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cut_by_age)
                nursery.start_soon(self._write_all)
                if self._spool is not None:
                    nursery.start_soon(self._spill_all, self._spool)
                await self._stop.wait()
                self._backlog.cut()
                with trio.move_on_after(self._drain_sec / 2):
                    await self._wait_memory_empty()
                nursery.cancel_scope.cancel()
        finally:
            await self._finish()

    async def _cut_by_age(self) -> None:
        while True:
            await trio.sleep(self._interval_sec)
            self._backlog.cut()

    # Writing: one batch in hand at a time, tried until the sink has it.

    async def _write_all(self) -> None:
        while True:
            await self._take()
            backoff = self._backoff.start(self._rng)
            # Nothing tells when the sink is back, so it is asked after growing pauses.
            while self._hand is not None and not await self._written(self._hand):  # noqa: ASYNC110
                await trio.sleep(next(backoff))
            await self._done()

    async def _take(self) -> None:
        """Take the oldest batch in hand: the spool's, else memory's."""
        while self._hand is None:
            try:
                async with self._disk:
                    self._hand = await self._from_spool()
                    if self._hand is None and self._backlog.batches:
                        self._hand = self._backlog.batches.popleft()
            except StorageError as error:
                self._last_error = str(error)
                await trio.sleep(DISK_RETRY_SEC)
                continue
            if self._hand is None:
                await self._work.wait()

    async def _from_spool(self) -> Batch | None:
        if self._spool is None or not len(self._spool):
            return None
        found = await self._disk_thread(self._spool.peek)
        if lost := self._spool.take_lost():
            self._lose(lost, "a damaged record of the spool")
        return None if found is None else Batch(found.batch_id, list(found.events), spooled=True)

    async def _written(self, batch: Batch) -> bool:
        """Try once to write a batch."""
        try:
            await self._door.write(batch.id, batch.events)
        except (StorageError, ConfigError) as error:
            self._refusals += isinstance(error, BatchRefused)
            self._failed(error)
            return self._refusals >= REFUSALS and await self._kept_aside(batch, error)
        self._was_back()
        self._written_batches += 1
        self._written_events += len(batch.events)
        self._last_write_us = self._clock.now_us()
        return True

    async def _kept_aside(self, batch: Batch, error: StorageError | ConfigError) -> bool:
        """Get a batch out of the way that the engine will never take; False when the disk fails, too."""
        where = "dropped, as there is no spool"
        if self._spool is not None:
            try:
                async with self._disk:
                    path = await self._disk_thread(self._spool.put_aside, batch.id, batch.events)
            except StorageError as failure:
                self._last_error = str(failure)
                return False
            where = f"put aside in {path}"
        self._put_aside += 1
        logger.error("{}: batch {} of {} events was refused {} times and is {}: {}",
                     self.name, batch.id, len(batch.events), self._refusals, where, error)
        self._lose(batch.events, "the engine of history refuses their batch")
        return True

    def _lose(self, events: Iterable[MarketEvent], why: str) -> None:
        """These events will not be in history: their streams get gaps, their books new snapshots."""
        books = self._backlog.lose(events, why)
        if self._wants_snapshot is not None:
            for instrument in books:
                self._wants_snapshot(instrument)

    def _was_back(self) -> None:
        if self._down:
            self._down = False
            spooled = len(self._spool) if self._spool is not None else 0
            self._on_trouble(f"{self.name}: the sink is back; {len(self._backlog.batches)} batches wait in "
                             f"memory, {spooled} in the spool")

    async def _done(self) -> None:
        """The sink has the batch in hand: forget it, durably where it is on the disk."""
        async with self._disk:
            batch, self._hand, self._refusals = self._hand, None, 0
            if batch is not None and batch.spooled and self._spool is not None:
                try:
                    await self._disk_thread(self._spool.ack, batch.id)
                except StorageError as error:
                    self._last_error = str(error)  # it is offered again, and the sink knows its id
            elif batch is not None:
                self._backlog.left(batch)
            self._spool_full = False
        self._spill.set()
        self._progress.set()

    def _failed(self, error: StorageError | ConfigError) -> None:
        self._last_error = str(error)
        if not self._down:
            self._down = True
            self._on_trouble(f"{self.name}: the sink is down, batches wait: {error}")
        self._spool_full = False  # somebody may have made room on the disk
        self._spill.set()

    # Spilling: memory moves to the disk, oldest first.

    async def _spill_all(self, spool: Spool) -> None:
        while True:
            await self._spill.wait()
            while self._must_spill():
                if not await self._spill_one(spool):
                    await trio.sleep(DISK_RETRY_SEC)

    def _must_spill(self) -> bool:
        waits = bool(self._backlog.batches) or (self._hand is not None and not self._hand.spooled)
        return waits and not self._spool_full and (self._down or self._backlog.half_full)

    async def _spill_one(self, spool: Spool) -> bool:
        """Spool the oldest batch of memory; False when the disk fails."""
        async with self._disk:
            in_hand = self._hand is not None and not self._hand.spooled
            batch = self._hand if in_hand else next(iter(self._backlog.batches), None)
            if batch is None:
                return True
            try:
                await self._disk_thread(spool.append, batch.id, batch.events)
            except SpoolFull as error:
                self._disk_full(error)
                return True
            except StorageError as error:
                self._last_error = str(error)
                return False
            batch.spooled = True
            self._told_full = False
            if not in_hand:
                self._backlog.batches.popleft()
            self._backlog.left(batch)
        self._work.set()
        self._progress.set()
        return True

    def _disk_full(self, error: SpoolFull) -> None:
        self._spool_full = True
        self._last_error = str(error)
        if not self._told_full:
            self._told_full = True
            self._on_trouble(f"{self.name}: {error}; batches stay in memory, then events are refused")

    # What the backlog tells.

    def _batch_came(self) -> None:
        self._work.set()
        if self._down or self._backlog.half_full:
            self._spill.set()

    def _memory_full(self) -> None:
        reason = f": {self._last_error}" if self._last_error else ""
        self._on_trouble(f"{self.name}: no room for more events, they are being refused and counted{reason}")

    def _memory_free(self, books: list[InstrumentId]) -> None:
        refused = self._backlog.overflow.refused
        self._on_trouble(f"{self.name}: there is room again; {refused} events were refused so far, and each "
                         "stream concerned has a gap")
        if self._wants_snapshot is not None:
            for instrument in books:
                self._wants_snapshot(instrument)

    # The end.

    async def _wait_memory_empty(self) -> None:
        while self._backlog.batches or (self._hand is not None and not self._hand.spooled):
            await self._progress.wait()

    async def rescue(self) -> None:
        """Bring what is left in memory to the spool, when :meth:`run` has ended and will not come back.

        For a service that backs off or is parked while events still come. Without a spool nothing happens.
        """
        if self._spool is None or not len(self._backlog):
            return
        self._backlog.tell_gaps()
        self._backlog.cut()
        with trio.move_on_after(self._drain_sec / 2, shield=True):
            try:
                await self._disk_thread(self._spool.open)
                await self._empty_memory()
            except (StorageError, ConfigError) as error:
                self._last_error = str(error)
            await self._disk_thread(self._spool.close)

    async def _finish(self) -> None:
        """Bring what is left in memory to the disk (to the sink where there is none), let go of both."""
        self._backlog.tell_gaps()
        self._backlog.cut()
        if self._hand is not None and not self._hand.spooled:
            self._backlog.batches.appendleft(self._hand)
        self._hand = None
        with trio.move_on_after(self._drain_sec / 2, shield=True):
            try:
                await self._empty_memory()
            except (StorageError, ConfigError) as error:
                self._last_error = str(error)
            try:
                await self._door.close()
            except (StorageError, ConfigError) as error:
                self._last_error = str(error)
            if self._spool is not None:
                await self._disk_thread(self._spool.close)
        if len(self._backlog):
            self._on_trouble(f"{self.name}: {self.outcome()[1]}")

    async def _empty_memory(self) -> None:
        while self._backlog.batches:
            batch = self._backlog.batches[0]
            if self._spool is not None:
                await self._disk_thread(self._spool.append, batch.id, batch.events)
            elif self._door.was_open:
                await self._door.write(batch.id, batch.events)
            else:
                return
            self._backlog.left(self._backlog.batches.popleft())
