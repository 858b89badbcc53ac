"""A connection that took a book over while it was behind, and its way to the keeper until it caught up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ctcore.book import OrderBook
from ctcore.feed.connection import Connection
from ctcore.feed.keeper import BookKeeper
from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason, MarketEvent
from ctcore.model.time import US_PER_SEC

BookEvent: TypeAlias = BookDelta | BookSnapshot

IDS_FELL_US = US_PER_SEC
"""An event that is later than another by more than this, and whose id is older, has no id of the same chain.
"""


class Gate:
    """Takes a connection's events to the keeper; of books in ``behind`` only what goes on after it.

    ``reason`` is that of the gap where the connection's chain turns out to have passed what was published.
    """

    def __init__(self, keeper: BookKeeper, connection: Connection) -> None:
        self.behind: set[InstrumentId] = set()
        self.reason = GapReason.HANDOVER
        self._keeper = keeper
        self._connection = connection

    def __call__(self, event: MarketEvent) -> bool:
        """Take one event; False as :meth:`BookKeeper.accept` says it."""
        if event.instrument in self.behind and of_book(event) and not self._is_news(event):
            return True
        return self._keeper.accept(event)

    def install(self) -> None:
        """Stand between the connection and the keeper for as long as there is something to hold back."""
        self._connection.accept = self if self.behind else self._keeper.accept

    def mend(self, instrument: InstrumentId, now_us: int) -> None:
        """Have the connection begin the book anew."""
        self.declare_gap(instrument, now_us)
        self._connection.resync(instrument, GapReason.HANDOVER)

    def declare_gap(self, instrument: InstrumentId, now_us: int) -> None:
        """The published book ends here."""
        detail = "the connections' books did not meet"
        self._keeper.interrupted(instrument, Channel.ORDERBOOK, self.reason, detail, now_us)

    def _is_news(self, event: MarketEvent) -> bool:
        instrument = event.instrument
        published = self._keeper.book(instrument)
        if published is None or not published.valid or not isinstance(event, BookDelta | BookSnapshot):
            self._caught_up(instrument)
            return True
        if goes_on(event, published.seq):
            self._caught_up(instrument)
            return True
        older = isinstance(event, BookSnapshot) or event.prev_seq <= event.seq <= published.seq
        if older and not ids_fell(event, published):
            return False
        self._caught_up(instrument)
        if isinstance(event, BookSnapshot):
            self.declare_gap(instrument, event.received_us)
            return True
        self.mend(instrument, event.received_us)  # its chain went past what was published
        return False

    def _caught_up(self, instrument: InstrumentId) -> None:
        self.behind.discard(instrument)
        if not self.behind and self._connection.accept is self:
            self._connection.accept = self._keeper.accept


def gate_of(keeper: BookKeeper, connection: Connection) -> Gate:
    """The gate that stands before a connection already, or a new one."""
    accept: Callable[[MarketEvent], bool] = connection.accept
    return accept if isinstance(accept, Gate) else Gate(keeper, connection)


def of_book(event: MarketEvent) -> bool:
    """Whether an event belongs to an order book."""
    if isinstance(event, Gap):
        return event.channel is Channel.ORDERBOOK
    return isinstance(event, BookDelta | BookSnapshot)


def goes_on(event: BookEvent, at: int) -> bool:
    """Whether an event can be published after ``at``: a newer picture, or a delta that chains onto it."""
    if isinstance(event, BookSnapshot):
        return event.seq > at
    return event.prev_seq == at or event.prev_seq <= at < event.seq


def ids_fell(event: BookEvent, published: OrderBook) -> bool:
    """Whether times and ids of an event and the published book contradict each other."""
    later_us = event.exchange_us - published.exchange_us
    if event.seq < published.seq:
        return later_us > IDS_FELL_US
    return event.seq > published.seq and later_us < -IDS_FELL_US
