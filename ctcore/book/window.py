"""The best N levels of a book as a stream of its own: what changed in the window since it was last looked at.
"""

from __future__ import annotations

from ctcore.book.order_book import OrderBook
from ctcore.book.side import BookSide
from ctcore.model.market import Level


class BookWindow:
    """Follows the best ``depth`` levels a side of one book.

    A level that leaves the window is reported with quantity 0 and one that enters it with its quantity, so
    that the changes, applied to the window's last state, give its new one.
    """

    __slots__ = ("_asks", "_bids", "depth")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}

    def reset(self, book: OrderBook) -> tuple[list[Level], list[Level]]:
        """Stand on the book as it is; returns the whole window, best first."""
        bids, asks = book.bids(self.depth), book.asks(self.depth)
        self._bids, self._asks = dict(bids), dict(asks)
        return bids, asks

    def changes(self, book: OrderBook) -> tuple[list[Level], list[Level]]:
        """What changed since the last call, as absolute levels; both lists may be empty."""
        bids, self._bids = _changes(self._bids, book.bid_side, self.depth)
        asks, self._asks = _changes(self._asks, book.ask_side, self.depth)
        return bids, asks


def _changes(old: dict[float, float], side: BookSide, depth: int) -> tuple[list[Level], dict[float, float]]:
    top = side.top(depth)
    new = dict(top)
    changed: list[Level] = [(price, 0.0) for price in old if price not in new]
    changed += [level for level in top if old.get(level[0]) != level[1]]
    return changed, new
