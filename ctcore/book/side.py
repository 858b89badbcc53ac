"""One side of an order book.

A dict holds the quantity of each price; a sorted list of the same prices gives the order, best price last,
where inserting and removing is cheap. A deleted price stays in both with quantity 0, a tombstone: deleting
costs no search, and a price that comes back costs none either. Tombstones go when they surface as best, or
all at once when they outnumber the living.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable

from ctcore.errors import DecodeError
from ctcore.model.market import Level

_TOMBSTONES_ALWAYS_ALLOWED = 64
_INF = float("inf")


class BookSide:
    """Levels of one side. ``sign`` is 1 for bids (the highest price is best) and -1 for asks.

    The sorted list holds ``price * sign``, so that the best is always its last element.
    """

    __slots__ = ("_order", "_quantities", "_sign", "_tombstones")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._quantities: dict[float, float] = {}
        self._order: list[float] = []
        self._tombstones = 0

    def __len__(self) -> int:
        return len(self._quantities) - self._tombstones

    def replace(self, levels: Iterable[Level]) -> None:
        """Forget everything and stand on these levels, in any order; those of quantity 0 are left out.

        Raises :class:`DecodeError` for numbers that no book can hold; nothing has changed then.
        """
        quantities = {price: quantity for price, quantity in levels if quantity}
        for price, quantity in quantities.items():
            if not (0.0 < quantity < _INF and -_INF < price < _INF):
                raise _impossible(price, quantity)
        self._quantities = quantities
        self._rebuild()

    def update(self, levels: Iterable[Level]) -> None:
        """Set absolute quantities; 0 deletes, also a price that is not there.

        Raises :class:`DecodeError` for a level no book can hold; those before it are set.
        """
        quantities = self._quantities
        for price, quantity in levels:
            old = quantities.get(price)
            if old is None:
                if not quantity:
                    continue
                if not (0.0 < quantity < _INF and -_INF < price < _INF):
                    raise _impossible(price, quantity)
                insort(self._order, price * self._sign)
            elif 0.0 < quantity < _INF:
                if not old:
                    self._tombstones -= 1
            elif quantity:
                raise _impossible(price, quantity)
            elif old:
                self._tombstones += 1
            quantities[price] = quantity
        if self._tombstones > _TOMBSTONES_ALWAYS_ALLOWED and self._tombstones * 2 > len(quantities):
            self._quantities = {price: quantity for price, quantity in quantities.items() if quantity}
            self._rebuild()

    def best(self) -> Level | None:
        """The best level, or None when the side is empty."""
        order, quantities, sign = self._order, self._quantities, self._sign
        while order:
            price = order[-1] * sign
            quantity = quantities[price]
            if quantity:
                return price, quantity
            order.pop()
            del quantities[price]
            self._tombstones -= 1
        return None

    def top(self, count: int = 0) -> list[Level]:
        """At most ``count`` levels, best first; 0 means all."""
        quantities, sign = self._quantities, self._sign
        limit = count or len(quantities)
        levels: list[Level] = []
        for key in reversed(self._order):
            price = key * sign
            quantity = quantities[price]
            if quantity:
                levels.append((price, quantity))
                if len(levels) == limit:
                    break
        return levels

    def quantity(self, price: float) -> float:
        """What stands at a price; 0 when nothing does."""
        return self._quantities.get(price, 0.0)

    def _rebuild(self) -> None:
        sign = self._sign
        self._order = sorted(price * sign for price in self._quantities)
        self._tombstones = 0


def _impossible(price: float, quantity: float) -> DecodeError:
    return DecodeError(f"no order book holds {quantity:g} at a price of {price:g}", kind="level")
