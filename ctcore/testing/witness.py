"""Witnesses of a feed: they watch what is published and object to anything that is not whole.

A witness rebuilds each order book from published events alone, as a reader of history would, and demands that
every delta chains onto the one before unless a gap was declared in between.
"""

from __future__ import annotations

from collections import Counter

import attrs

from ctcore.book import OrderBook
from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason, MarketEvent, Trade


@attrs.define
class WitnessedBook:
    """A book as its published events tell it. ``gap`` is the one that is open now."""

    book: OrderBook = attrs.field(factory=OrderBook)
    seq: int | None = None
    gap: Gap | None = None
    gaps: Counter[GapReason] = attrs.field(factory=Counter)
    deltas: int = 0
    snapshots: int = 0


class Witness:
    """Subscribe :meth:`see` to the bus; read :attr:`objections` at the end.

    ``other_gaps`` counts the gaps of streams that are no books.
    """

    def __init__(self) -> None:
        self.books: dict[InstrumentId, WitnessedBook] = {}
        self.other_gaps: Counter[GapReason] = Counter()
        self.trade_ids: dict[InstrumentId, list[str]] = {}
        self.objections: list[str] = []
        self._received_us = 0

    def see(self, event: MarketEvent) -> None:
        """Judge one published event."""
        witnessed = self.books.setdefault(event.instrument, WitnessedBook())
        match event:
            case BookSnapshot():
                self._snapshot(witnessed, event)
            case BookDelta():
                self._delta(witnessed, event)
            case Gap(channel=Channel.ORDERBOOK):
                self._gap(witnessed, event)
            case Gap(end_us=None):
                self.other_gaps[event.reason] += 1
            case Trade():
                self._trade(event)
            case _:
                pass
        if isinstance(event, BookSnapshot | BookDelta):
            if event.received_us < self._received_us:
                self._object(event, f"received at {event.received_us}, after one of {self._received_us}")
            self._received_us = event.received_us

    def _snapshot(self, witnessed: WitnessedBook, event: BookSnapshot) -> None:
        witnessed.snapshots += 1
        if witnessed.seq is not None and witnessed.gap is None and event.seq != witnessed.seq:
            self._object(event, f"a snapshot at {event.seq} after {witnessed.seq} without a gap")
        witnessed.book.snapshot(event.bids, event.asks)
        witnessed.seq = event.seq
        if witnessed.book.crossed:
            self._object(event, "a crossed snapshot")

    def _delta(self, witnessed: WitnessedBook, event: BookDelta) -> None:
        witnessed.deltas += 1
        if witnessed.seq is None:
            self._object(event, "a delta before any snapshot")
        elif witnessed.gap is not None and not witnessed.gap.end_us:
            self._object(event, f"a delta inside an open gap ({witnessed.gap.reason})")
        elif event.prev_seq > witnessed.seq:
            self._object(event, f"a delta after {event.prev_seq} while the book stands at {witnessed.seq}")
        witnessed.book.delta(event.bids, event.asks)
        witnessed.seq = event.seq
        if witnessed.book.crossed:
            self._object(event, "a crossed book")

    def _gap(self, witnessed: WitnessedBook, event: Gap) -> None:
        if event.end_us is None:
            if witnessed.gap is not None:
                self._object(event, "a gap opened inside another")
            witnessed.gap = event
            witnessed.gaps[event.reason] += 1
            return
        if witnessed.gap is None or witnessed.gap.begin_us != event.begin_us:
            self._object(event, "a gap closed that was not open")
        witnessed.gap = None

    def _trade(self, event: Trade) -> None:
        seen = self.trade_ids.setdefault(event.instrument, [])
        if event.trade_id in seen[-100:]:
            self._object(event, f"trade {event.trade_id} twice")
        seen.append(event.trade_id)
        del seen[:-1000]

    def _object(self, event: MarketEvent, what: str) -> None:
        self.objections.append(f"{event.instrument}: {what}")
