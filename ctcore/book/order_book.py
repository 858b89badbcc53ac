"""A whole order book. It trusts its feeder: sequence rules were checked before (:mod:`ctcore.book.sequence`).
"""

from __future__ import annotations

from collections.abc import Iterable

from ctcore.book.side import BookSide
from ctcore.model.market import Level


class OrderBook:
    """Bids and asks of one instrument.

    ``valid`` is False before the first snapshot and inside a gap: the levels are then not to be relied upon.
    """

    __slots__ = ("ask_side", "bid_side", "exchange_us", "received_us", "seq", "valid")

    def __init__(self) -> None:
        self.bid_side = BookSide(1)
        self.ask_side = BookSide(-1)
        self.valid = False
        self.seq = 0
        self.exchange_us = 0
        self.received_us = 0

    def snapshot(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Replace both sides; the book is valid from here."""
        self.bid_side.replace(bids)
        self.ask_side.replace(asks)
        self.valid = True

    def delta(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Set absolute quantities on both sides; 0 deletes."""
        self.bid_side.update(bids)
        self.ask_side.update(asks)

    def best_bid(self) -> Level | None:
        """Highest bid, or None."""
        return self.bid_side.best()

    def best_ask(self) -> Level | None:
        """Lowest ask, or None."""
        return self.ask_side.best()

    def bids(self, count: int = 0) -> list[Level]:
        """Best bids first; 0 means all."""
        return self.bid_side.top(count)

    def asks(self, count: int = 0) -> list[Level]:
        """Best asks first; 0 means all."""
        return self.ask_side.top(count)

    @property
    def crossed(self) -> bool:
        """A bid at or above an ask: impossible on a venue that matches, so the book is wrong."""
        bid, ask = self.bid_side.best(), self.ask_side.best()
        return bid is not None and ask is not None and bid[0] >= ask[0]
