"""When to ask for what has no stream, evenly spread over the interval."""

from __future__ import annotations

from collections.abc import Iterable

from ctcore.model.ids import InstrumentId


class Polling:
    """Instruments that are asked for once an interval; one question at a time for each."""

    def __init__(self, instruments: Iterable[InstrumentId], interval_us: int) -> None:
        self._interval_us = interval_us
        self._instruments = sorted(set(instruments), key=str)
        self._due_us: dict[InstrumentId, int] = {}

    def start(self, now_us: int) -> None:
        """Spread the first questions over one interval."""
        count = len(self._instruments)
        self._due_us = {
            each: now_us + self._interval_us * index // count for index, each in enumerate(self._instruments)
        }

    def due(self, now_us: int) -> list[InstrumentId]:
        """Instruments to ask for now; each is silent until :meth:`answered`."""
        found = [each for each, due_us in self._due_us.items() if now_us >= due_us]
        for each in found:
            del self._due_us[each]
        return found

    def answered(self, instrument: InstrumentId, now_us: int) -> None:
        """An answer or an error came: the next question is an interval away."""
        self._due_us[instrument] = now_us + self._interval_us
