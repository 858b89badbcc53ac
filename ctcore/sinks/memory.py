"""History in memory: the last events, for tests and quick looks."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

import attrs

from ctcore.contracts.sink import Sink
from ctcore.model.ids import InstrumentId
from ctcore.model.instrument import Instrument
from ctcore.model.market import MarketEvent
from ctcore.sinks.config import MemoryConfig

_IDS_KEPT = 10_000


@attrs.frozen
class MemoryStatistics:
    """Counts since the sink was made; ``dropped`` events were the oldest when there was no more room."""

    batches: int
    events: int
    repeated: int
    dropped: int
    kept: int


class MemorySink(Sink):
    """Keeps the last ``max_events`` events; a batch id is remembered for the last 10,000 batches."""

    def __init__(self, config: MemoryConfig) -> None:
        self._events: deque[MarketEvent] = deque(maxlen=config.max_events)
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._batches = self._written = self._repeated = 0
        self.instruments: dict[InstrumentId, Instrument] = {}

    def open(self) -> None:
        """Nothing to open."""

    def describe(self, instruments: Iterable[Instrument]) -> None:
        """Remember the instruments."""
        self.instruments.update((instrument.id, instrument) for instrument in instruments)

    def write_batch(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
        """Keep the events, dropping the oldest beyond the limit."""
        if batch_id in self._ids:
            self._repeated += 1
            return
        self._ids[batch_id] = None
        if len(self._ids) > _IDS_KEPT:
            self._ids.popitem(last=False)
        self._events.extend(events)
        self._batches += 1
        self._written += len(events)

    def close(self) -> None:
        """Keep what is there: it can still be looked at."""

    def events(self) -> list[MarketEvent]:
        """What is kept, oldest first."""
        return list(self._events)

    def statistics(self) -> MemoryStatistics:
        """Counts so far."""
        return MemoryStatistics(self._batches, self._written, self._repeated,
                                self._written - len(self._events), len(self._events))
