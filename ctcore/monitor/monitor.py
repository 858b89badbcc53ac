"""The monitor role: what is published goes into a ring in memory and to every sink; whole books go in
regularly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import trio

from ctcore.book import Ring
from ctcore.feed.keeper import BookKeeper
from ctcore.model.ids import Channel, InstrumentId, Subscription
from ctcore.model.instrument import Instrument
from ctcore.model.market import CHANNEL_OF, Gap, MarketEvent
from ctcore.monitor.batcher import Batcher
from ctcore.runtime.bus import Bus
from ctcore.runtime.service import Service

RATE_TICK_SEC = 1.0


class Monitor(Service):
    """Collects everything on the bus.

    Each stream has a ring of its ``ring_size`` newest events. Every ``snapshot_interval_sec`` the whole book
    of each instrument goes to the sinks, one after another over the interval, so that a book at any moment is
    found without reading far back.
    """

    name = "monitor"

    def __init__(
        self,
        bus: Bus,
        keeper: BookKeeper,
        batchers: Sequence[Batcher],
        wanted: Iterable[Subscription],
        *,
        stamp: Callable[[], int],
        ring_size: int,
        snapshot_interval_sec: float,
    ) -> None:
        self._bus = bus
        self._keeper = keeper
        self._batchers = tuple(batchers)
        self._stamp = stamp
        self._snapshot_interval_sec = snapshot_interval_sec
        streams = dict.fromkeys((subscription.instrument, subscription.channel) for subscription in wanted)
        self._rings = {stream: Ring[MarketEvent](ring_size) for stream in streams}
        self._books = [instrument for instrument, channel in streams if channel is Channel.ORDERBOOK]
        for stream, ring in self._rings.items():
            self._subscribe(stream, ring)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take whole books and keep the rates; events themselves need no task of their own."""
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_rates)
            nursery.start_soon(self._take_pictures)

    def describe(self, instruments: Sequence[Instrument]) -> None:
        """Tell the sinks of instruments before their events come."""
        for batcher in self._batchers:
            batcher.describe(instruments)

    def recent(self, instrument: InstrumentId, channel: Channel, count: int) -> list[MarketEvent]:
        """The newest events of a stream, oldest of them first; empty for one that is not monitored."""
        ring = self._rings.get((instrument, channel))
        return ring.newest(count) if ring is not None else []

    def ring_sizes(self) -> dict[str, int]:
        """How many events each stream's ring holds."""
        return {f"{instrument} {channel}": len(ring) for (instrument, channel), ring in self._rings.items()}

    def _subscribe(self, stream: tuple[InstrumentId, Channel], ring: Ring[MarketEvent]) -> None:
        instrument, channel = stream
        types = [kind for kind, of in CHANNEL_OF.items() if of is channel]
        name = f"ring {instrument} {channel}"
        self._bus.subscribe(ring.append, types=types, instruments=[instrument], name=name)
        for batcher in self._batchers:
            self._bus.subscribe(
                batcher.offer,
                types=[*types, Gap],
                instruments=[instrument],
                channels=[channel],
                name=batcher.name,
            )

    async def _keep_rates(self) -> None:
        while True:
            await trio.sleep(RATE_TICK_SEC)
            self._keeper.second_passed()

    async def _take_pictures(self) -> None:
        if not self._books:
            return
        pause_sec = self._snapshot_interval_sec / len(self._books)
        while True:
            for instrument in self._books:
                await trio.sleep(pause_sec)
                picture = self._keeper.picture(instrument, self._stamp())
                if picture is not None:
                    for batcher in self._batchers:
                        batcher.offer(picture)
