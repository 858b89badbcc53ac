"""How far a book is known, where a snapshot ends before the venue's book does.

A venue that gives at most N levels a side says nothing of what lies beyond the last of them, the *edge*: an
order there is unknown until it changes. Between the best price and the edge every level is known. When the
market moves towards the edge, fewer are left; a book that reaches it is wrong, and no sequence rule tells.
So the levels that are left are counted, and a new snapshot is asked for in time and spliced into the book
while it goes on.

The splice leaves no hole. The book stood at ``asked_at`` when the snapshot was asked for, and every delta
since is remembered. A snapshot at S joins if ``asked_at <= S``, and is used once the book stands at S or
later: its levels beyond the edge are added, except those that a delta of S or later has set, which is newer.
What lies within the edge is known already. The levels added come out as an ordinary delta that moves no id:
``prev_seq == seq``, the id where the book stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ctcore.model.market import BookDelta, BookSnapshot, Level
from ctcore.model.time import US_PER_SEC

LEAST_LEVELS = 50
"""Known levels a side below which a snapshot is asked for, at the least."""

_PAUSE_US = 5 * US_PER_SEC
"""Between two askings: a snapshot that brings no help must not use up the venue's budget."""

_FOLD = 500
"""Deltas that are collected before they are counted, if nobody asks before."""

_REMEMBERED = 5_000
"""Deltas remembered while a snapshot is under way; beyond it the asking is given up."""


class BookEdge:
    """Counts the known levels of one book. Pure: it never asks by itself.

    ``limit`` is how many levels a side a snapshot has at most; one that has fewer is the whole side.
    ``wanted`` is how many levels a side its readers need (0 = no number in particular). A snapshot is wanted
    when fewer are left than that, than 50 or than a quarter of ``limit``; but never while half of ``limit``
    is.
    """

    __slots__ = (
        "_asked_at", "_asks", "_bids", "_held", "_limit", "_pause_until_us", "_recent", "_since", "least",
    )  # fmt: skip

    def __init__(self, limit: int, wanted: int = 0) -> None:
        self.least = min(max(LEAST_LEVELS, wanted, limit // 4), limit // 2)
        self._limit = limit
        self._bids = _Side(1)
        self._asks = _Side(-1)
        self._recent: list[BookDelta] = []
        self._since: list[BookDelta] = []
        self._asked_at: int | None = None
        self._held: BookSnapshot | None = None
        self._pause_until_us = 0

    def seeded(self, snapshot: BookSnapshot, deltas: Iterable[BookDelta]) -> None:
        """The book stands anew on a snapshot and the deltas after it; a splice under way is off."""
        self._bids.seed(snapshot.bids, self._limit)
        self._asks.seed(snapshot.asks, self._limit)
        self._recent = list(deltas)
        self._give_up()

    def applied(self, delta: BookDelta) -> None:
        """A delta was applied. On the hot path: it is counted later, many at once."""
        self._recent.append(delta)
        if len(self._recent) >= _FOLD:
            self._fold()

    def left(self) -> tuple[int | None, int | None]:
        """Known bids and asks within the edge; None for a side that is known as a whole."""
        self._fold()
        return self._bids.left, self._asks.left

    def wants(self, at: int, now_us: int) -> bool:
        """Whether to ask for a snapshot now, the book standing at ``at``. True counts as having asked."""
        if self._asked_at is not None or now_us < self._pause_until_us:
            return False
        if all(left is None or left >= self.least for left in self.left()):
            return False
        self._asked_at = at
        self._pause_until_us = now_us + _PAUSE_US
        return True

    def answered(self, snapshot: BookSnapshot) -> None:
        """The snapshot asked for; one from before the asking cannot be joined and is dropped."""
        if self._asked_at is None:
            return
        if snapshot.seq < self._asked_at:
            self._give_up()
        else:
            self._held = snapshot

    def failed(self) -> None:
        """There was no answer: it is asked for again after a pause."""
        if self._held is None:
            self._give_up()

    def splice(self, at: int, exchange_us: int, now_us: int) -> BookDelta | None:
        """What the snapshot that came adds to the book, once that stands at its id or later; else None."""
        snapshot = self._held
        if snapshot is None or at < snapshot.seq:
            return None
        self._fold()
        if self._held is None:
            return None  # too much came since
        newer = [delta for delta in self._since if delta.seq >= snapshot.seq]
        bids = self._bids.extend(snapshot.bids, self._limit, _merged(delta.bids for delta in newer))
        asks = self._asks.extend(snapshot.asks, self._limit, _merged(delta.asks for delta in newer))
        self._give_up()
        if not bids and not asks:
            return None
        return BookDelta(snapshot.instrument, exchange_us, now_us, at, at, at, bids, asks)

    def _give_up(self) -> None:
        self._asked_at = self._held = None
        self._since = []

    def _fold(self) -> None:
        recent, self._recent = self._recent, []
        self._bids.fold(_merged(delta.bids for delta in recent))
        self._asks.fold(_merged(delta.asks for delta in recent))
        if self._asked_at is not None:
            self._since += recent
            if len(self._since) > _REMEMBERED:
                self._give_up()


class _Side:
    """The prices that are known to hold a level, of those not beyond the edge. ``sign`` as in BookSide."""

    __slots__ = ("_edge", "_prices", "_sign")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._edge: float | None = None  # price * sign of the worst known level; None: all is known
        self._prices: set[float] = set()

    @property
    def left(self) -> int | None:
        return None if self._edge is None else len(self._prices)

    def seed(self, levels: list[Level], limit: int) -> None:
        self._edge = self._edge_of(levels, limit)
        self._prices = set() if self._edge is None else {price for price, _ in levels}

    def fold(self, changes: Mapping[float, float]) -> None:
        edge, sign, prices = self._edge, self._sign, self._prices
        if edge is None:
            return
        for price, quantity in changes.items():
            if not quantity:
                prices.discard(price)
            elif price * sign >= edge:
                prices.add(price)

    def extend(self, levels: list[Level], limit: int, newer: Mapping[float, float]) -> list[Level]:
        """Know these levels too; returns those that were beyond the edge."""
        edge, sign = self._edge, self._sign
        if edge is None:
            return []
        beyond = [(p, quantity) for p, quantity in levels if p * sign < edge and p not in newer]
        further = self._edge_of(levels, limit)
        if further is None:
            self._edge, self._prices = None, set()
        elif further < edge:
            self._edge = further
            self._prices.update(price for price, _ in beyond)
            self.fold(newer)
        return beyond

    def _edge_of(self, levels: list[Level], limit: int) -> float | None:
        if len(levels) < limit:
            return None
        return min(price * self._sign for price, _ in levels)


def _merged(changes: Iterable[list[Level]]) -> dict[float, float]:
    """Each price once, with its latest quantity."""
    merged: dict[float, float] = {}
    for levels in changes:
        merged.update(levels)
    return merged
