"""A matching book that numbers its level changes, so that a venue can publish differences."""

from __future__ import annotations

from typing import NamedTuple

import attrs

from ctcore.errors import RequestRefused
from ctcore.model.market import Side
from ctcore.sim.matching import Execution, LevelChange, MatchingBook, Order, OrderKind

UnitLevel = tuple[int, int]
"""``(ticks, lots)``."""


@attrs.frozen
class BookLevels:
    """Some best levels of a book as of ``update_id``, best first."""

    update_id: int
    changed_us: int
    bids: list[UnitLevel]
    asks: list[UnitLevel]


@attrs.frozen
class BookChanges:
    """All that changed after ``first_id - 1`` up to ``last_id``: each price once, with its latest absolute
    quantity (0 = gone), bids from the highest price, asks from the lowest. Nothing changed when ``last_id <
    first_id``."""

    first_id: int
    last_id: int
    changed_us: int
    bids: list[UnitLevel]
    asks: list[UnitLevel]

    def __bool__(self) -> bool:
        return self.last_id >= self.first_id


class BookStatistics(NamedTuple):
    """Size of a book and of its change log."""

    orders: int
    bids: int
    asks: int
    update_id: int
    log_length: int


class SimBook:
    """A :class:`MatchingBook` whose ``update_id`` grows by 1 with each level change.

    The last ``log_limit`` changes are remembered; older ones are overwritten.
    """

    def __init__(self, *, first_update_id: int = 1_000, log_limit: int = 20_000) -> None:
        self.matching = MatchingBook()
        self.update_id = first_update_id
        self.changed_us = 0
        self._first_id = first_update_id
        self._limit = log_limit
        self._log: list[LevelChange] = []  # a ring: change `id` is at (id - first - 1) % limit

    def place(
        self,
        now_us: int,
        side: Side,
        quantity: int,
        *,
        price: int | None = None,
        kind: OrderKind = OrderKind.LIMIT,
        owner: str | None = None,
    ) -> Execution:
        """Place an order; see :meth:`MatchingBook.place`."""
        execution = self.matching.place(side, quantity, price=price, kind=kind, owner=owner)
        for change in execution.changes:
            self._record(change, now_us)
        return execution

    def cancel(self, now_us: int, order_id: int) -> bool:
        """Take an order off the book; False when it does not rest there."""
        change = self.matching.cancel(order_id)
        if change is None:
            return False
        self._record(change, now_us)
        return True

    def order(self, order_id: int) -> Order | None:
        """A resting order, or None."""
        return self.matching.order(order_id)

    @property
    def best_bid(self) -> UnitLevel | None:
        """The best bid, None when there is none."""
        return self._best(Side.BUY)

    @property
    def best_ask(self) -> UnitLevel | None:
        """The best ask, None when there is none."""
        return self._best(Side.SELL)

    @property
    def oldest_id(self) -> int:
        """The oldest id that :meth:`changes_since` can start from."""
        return self.update_id - len(self._log)

    def levels(self, count: int = 0) -> BookLevels:
        """The ``count`` best levels of each side (0 = all)."""
        bids = self.matching.levels(Side.BUY, count)
        return BookLevels(self.update_id, self.changed_us, bids, self.matching.levels(Side.SELL, count))

    def changes_since(self, update_id: int) -> BookChanges:
        """What changed after ``update_id``; raises :class:`RequestRefused` when the log does not reach so
        far."""
        if not self.oldest_id <= update_id <= self.update_id:
            held = f"{self.oldest_id} to {self.update_id}"
            raise RequestRefused(f"changes after {update_id} are not kept; the log holds {held}")
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        for number in range(update_id - self._first_id, self.update_id - self._first_id):
            side, price, quantity = self._log[number % self._limit]
            (bids if side is Side.BUY else asks)[price] = quantity
        return BookChanges(
            update_id + 1,
            self.update_id,
            self.changed_us,
            sorted(bids.items(), reverse=True),
            sorted(asks.items()),
        )

    def statistics(self) -> BookStatistics:
        """Sizes, for gauges."""
        book = self.matching
        bids, asks = book.count(Side.BUY), book.count(Side.SELL)
        return BookStatistics(len(book), bids, asks, self.update_id, len(self._log))

    def _best(self, side: Side) -> UnitLevel | None:
        price = self.matching.best(side)
        return None if price is None else (price, self.matching.total(side, price))

    def _record(self, change: LevelChange, now_us: int) -> None:
        slot = (self.update_id - self._first_id) % self._limit
        if len(self._log) < self._limit:
            self._log.append(change)
        else:
            self._log[slot] = change
        self.update_id += 1
        self.changed_us = now_us
