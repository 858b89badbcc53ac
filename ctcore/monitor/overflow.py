"""What is missing from history because it could not be kept: one gap a stream. Pure."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import CHANNEL_OF, BookSnapshot, Gap, GapReason, MarketEvent

Stream: TypeAlias = tuple[InstrumentId, Channel]


@attrs.define
class _Hole:
    """Where a stream's hole began, by both clocks, and how many events fell into it."""

    begin_us: int
    since_us: int
    why: str
    events: int = 0
    told: bool = False


class Overflow:
    """Streams of which events were refused or lost, until each is whole again.

    An order book is whole again with its next snapshot, any other stream with its next event.
    """

    def __init__(self) -> None:
        self._holes: dict[Stream, _Hole] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._holes)

    def refuse(self, event: MarketEvent) -> None:
        """There was no room for this event."""
        self.refused += 1
        self._miss(event, "refused: no room in memory nor in the spool")

    def lose(self, event: MarketEvent, why: str) -> None:
        """This event had been taken and will not be kept after all; it may be older than what is known."""
        self._miss(event, f"lost: {why}")

    def _miss(self, event: MarketEvent, why: str) -> None:
        stream = stream_of(event)
        hole = self._holes.get(stream)
        if hole is None:
            hole = self._holes[stream] = _Hole(event.exchange_us, event.received_us, why)
        elif event.received_us < hole.since_us:
            hole.begin_us, hole.since_us, hole.told = event.exchange_us, event.received_us, False
        hole.events += 1

    def room(self) -> list[Gap]:
        """There is room again: the gaps to be told, each opened where its first event was refused."""
        gaps = []
        for stream, hole in self._holes.items():
            if not hole.told:
                hole.told = True
                gaps.append(_gap(stream, hole, hole.begin_us, hole.since_us, None))
        return gaps

    def accepted(self, event: MarketEvent) -> Gap | None:
        """This event was kept: the closed gap of its stream, if that makes it whole."""
        stream = stream_of(event)
        hole = self._holes.get(stream)
        if hole is None or isinstance(event, Gap) or (
                stream[1] is Channel.ORDERBOOK and not isinstance(event, BookSnapshot)):
            return None
        del self._holes[stream]
        return _gap(stream, hole, event.exchange_us, event.received_us, max(event.exchange_us, hole.begin_us))

    def books(self) -> list[InstrumentId]:
        """Instruments whose order book needs a snapshot."""
        return [instrument for instrument, channel in self._holes if channel is Channel.ORDERBOOK]


def stream_of(event: MarketEvent) -> Stream:
    """Which stream an event belongs to."""
    return event.instrument, event.channel if isinstance(event, Gap) else CHANNEL_OF[type(event)]


def _gap(stream: Stream, hole: _Hole, exchange_us: int, received_us: int, end_us: int | None) -> Gap:
    detail = f"{hole.events} events {hole.why}"
    instrument, channel = stream
    reason = GapReason.OVERFLOW
    return Gap(instrument, exchange_us, received_us, channel, reason, hole.begin_us, end_us, detail)
