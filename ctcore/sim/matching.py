"""A matching engine with price-time priority over integer ticks and lots. Pure: no time, no randomness.

An order first matches against the other side, best price first and oldest order first within a price, each
fill at the resting order's price. What is left of a limit order then rests. So the book is never crossed.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

from ctcore.errors import RequestRefused
from ctcore.model.market import Side


class OrderKind(enum.StrEnum):
    """How an order behaves: what is left after matching rests (``limit``) or is dropped (``market``,
    ``ioc``); ``fok`` matches wholly or not at all, ``post_only`` rests without matching or is refused."""

    LIMIT = "limit"
    MARKET = "market"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"


class Order:
    """A resting order; ``quantity`` is what is left of it. ``owner`` None is the market's own flow."""

    __slots__ = ("id", "owner", "price", "quantity", "side")

    def __init__(self, order_id: int, side: Side, price: int, quantity: int, owner: str | None) -> None:
        self.id = order_id
        self.side = side
        self.price = price
        self.quantity = quantity
        self.owner = owner


class Fill(NamedTuple):
    """One match, at the maker's ``price``; ``maker_left`` is what still rests of the maker's order."""

    price: int
    quantity: int
    maker_id: int
    maker_owner: str | None
    maker_left: int


class LevelChange(NamedTuple):
    """A price level's new absolute quantity; 0 when it is gone."""

    side: Side
    price: int
    quantity: int


class Execution(NamedTuple):
    """What became of an order. ``rested`` lots are on the book; ``refused`` tells that it left no trace."""

    order_id: int
    side: Side
    fills: list[Fill]
    changes: list[LevelChange]
    rested: int
    refused: bool = False

    @property
    def filled(self) -> int:
        """Lots that matched."""
        return sum(fill.quantity for fill in self.fills)


class _Ladder:
    """One side: prices sorted with the best at the end, and a first-in-first-out queue of orders at each."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.sign = 1 if side is Side.BUY else -1
        self.keys: list[int] = []  # sign * price, ascending: the best price is the last
        self.queues: dict[int, dict[int, Order]] = {}
        self.totals: dict[int, int] = {}

    def best(self) -> int | None:
        return self.sign * self.keys[-1] if self.keys else None

    def add(self, order: Order) -> LevelChange:
        price = order.price
        queue = self.queues.get(price)
        if queue is None:
            insort(self.keys, self.sign * price)
            self.queues[price] = {order.id: order}
            self.totals[price] = order.quantity
        else:
            queue[order.id] = order
            self.totals[price] += order.quantity
        return LevelChange(self.side, price, self.totals[price])

    def reduce(self, order: Order, quantity: int) -> LevelChange:
        """Take lots off an order, and the order, and its level, off the book with the last of them."""
        price = order.price
        order.quantity -= quantity
        self.totals[price] -= quantity
        if order.quantity == 0:
            del self.queues[price][order.id]
        left = self.totals[price]
        if left == 0:
            del self.queues[price], self.totals[price]
            key = self.sign * price
            if self.keys[-1] == key:
                self.keys.pop()
            else:
                del self.keys[bisect_left(self.keys, key)]
        return LevelChange(self.side, price, left)

    def top(self, count: int) -> list[tuple[int, int]]:
        totals, sign = self.totals, self.sign
        keys = self.keys[-count:] if count else self.keys
        return [(sign * key, totals[sign * key]) for key in reversed(keys)]

    def depth_to(self, limit: int | None, wanted: int) -> int:
        """Lots at ``limit`` or better, counting no further than ``wanted``."""
        total = 0
        for key in reversed(self.keys):
            if total >= wanted or (limit is not None and key < self.sign * limit):
                break
            total += self.totals[self.sign * key]
        return total


class MatchingBook:
    """One instrument's orders. Prices are ticks, quantities are lots, order ids grow by one."""

    def __init__(self, *, first_order_id: int = 1) -> None:
        self._sides = {Side.BUY: _Ladder(Side.BUY), Side.SELL: _Ladder(Side.SELL)}
        self._orders: dict[int, Order] = {}
        self._next_id = first_order_id

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[Order]:
        return iter(self._orders.values())

    def best(self, side: Side) -> int | None:
        """The best bid (BUY) or ask (SELL) in ticks, None when that side is empty."""
        return self._sides[side].best()

    def count(self, side: Side) -> int:
        """Price levels of a side."""
        return len(self._sides[side].keys)

    def total(self, side: Side, price: int) -> int:
        """Lots at a price, 0 where there are none."""
        return self._sides[side].totals.get(price, 0)

    def levels(self, side: Side, count: int = 0) -> list[tuple[int, int]]:
        """``(price, quantity)`` of the ``count`` best levels (0 = all), best first."""
        return self._sides[side].top(count)

    def queue(self, side: Side, price: int) -> tuple[Order, ...]:
        """Orders at a price, oldest first."""
        return tuple(self._sides[side].queues.get(price, {}).values())

    def order(self, order_id: int) -> Order | None:
        """A resting order, or None."""
        return self._orders.get(order_id)

    def place(
        self,
        side: Side,
        quantity: int,
        *,
        price: int | None = None,
        kind: OrderKind = OrderKind.LIMIT,
        owner: str | None = None,
    ) -> Execution:
        """Match an order and rest what its kind lets rest; raises :class:`RequestRefused` for impossible
        numbers."""
        if quantity <= 0:
            raise RequestRefused(f"an order of {quantity} lots; the quantity must be above 0")
        if price is None and kind is not OrderKind.MARKET:
            raise RequestRefused(f"a {kind} order needs a price")
        if price is not None and price <= 0:
            raise RequestRefused(f"an order at {price} ticks; the price must be above 0")
        limit = None if kind is OrderKind.MARKET else price
        order_id = self._next_id
        self._next_id += 1
        other = self._sides[Side.SELL if side is Side.BUY else Side.BUY]
        if self._refuses(kind, other, limit, quantity):
            return Execution(order_id, side, [], [], 0, refused=True)
        fills, changes = self._match(other, limit, quantity)
        left = quantity - sum(fill.quantity for fill in fills)
        if left == 0 or limit is None or kind is OrderKind.IOC:
            return Execution(order_id, side, fills, changes, 0)
        order = Order(order_id, side, limit, left, owner)
        self._orders[order_id] = order
        changes.append(self._sides[side].add(order))
        return Execution(order_id, side, fills, changes, left)

    def cancel(self, order_id: int) -> LevelChange | None:
        """Take an order off the book; None when it does not rest there."""
        order = self._orders.pop(order_id, None)
        return None if order is None else self._sides[order.side].reduce(order, order.quantity)

    @staticmethod
    def _refuses(kind: OrderKind, other: _Ladder, limit: int | None, quantity: int) -> bool:
        if kind is OrderKind.POST_ONLY:
            return other.depth_to(limit, 1) > 0
        return kind is OrderKind.FOK and other.depth_to(limit, quantity) < quantity

    def _match(
        self, other: _Ladder, limit: int | None, quantity: int
    ) -> tuple[list[Fill], list[LevelChange]]:
        fills: list[Fill] = []
        changes: list[LevelChange] = []
        while quantity and other.keys and (limit is None or other.keys[-1] >= other.sign * limit):
            price = other.sign * other.keys[-1]
            change = LevelChange(other.side, price, 0)
            for maker in list(other.queues[price].values()):
                lots = min(quantity, maker.quantity)
                change = other.reduce(maker, lots)
                fills.append(Fill(price, lots, maker.id, maker.owner, maker.quantity))
                if maker.quantity == 0:
                    del self._orders[maker.id]
                quantity -= lots
                if not quantity:
                    break
            changes.append(change)
        return fills, changes
