"""How far a book is known, where a snapshot ends before the venue's book does.

A venue that gives at most N levels a side says nothing of what lies beyond the last of them, the *edge*: an
order there is unknown until it changes. Between the best price and the edge every level is known. When the
market moves towards the edge, fewer are left; a book that reaches it is wrong, and no sequence rule tells.
So the levels that are left are estimated, and a new snapshot is asked for in time and spliced into the book
while it goes on.

The estimate costs the hot path nothing but the remembering of the newest deltas. Bids are below any ask:
those of the snapshot that lie below the lowest ask set of late are left, and likewise with asks; and a delta
that deletes half a snapshot's levels tells of a sweep. Levels that vanished quietly are counted as left,
which is why the threshold is a quarter of the snapshot and not the few that are needed.

The splice leaves no hole. The book stood at ``asked_at`` when the snapshot was asked for, and every delta
since is remembered. A snapshot at S joins if ``asked_at <= S``, and is used once the book stands at S or
later: its levels beyond the edge are added, except those that a delta of S or later has set, which is newer.
What lies within the edge is known already. The levels added come out as an ordinary delta that moves no id:
``prev_seq == seq``, the id where the book stands.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping

from ctcore.model.market import BookDelta, BookSnapshot, Level
from ctcore.model.time import US_PER_SEC

LEAST_LEVELS = 50
"""Known levels a side below which a snapshot is asked for, at the least."""

_PAUSE_US = 5 * US_PER_SEC
"""Between two askings: a snapshot that brings no help must not use up the venue's budget."""

_LATELY = 16
"""Deltas that the estimate looks at: more than a second of a stream that speaks every 100 ms."""

_REMEMBERED = 5_000
"""Deltas remembered while a snapshot is under way; beyond it the asking is given up."""


class BookEdge:
    """Estimates how many levels of one book are known, and makes more known. Pure: it never asks by itself.

    ``limit`` is how many levels a side a snapshot has at most; one that has fewer is the whole side.
    ``wanted`` is how many levels a side its readers need (0 = no number in particular). A snapshot is wanted
    when fewer are left than that, than 50 or than a quarter of ``limit``; but never while half of ``limit``
    is. ``recent`` takes every delta that is applied.
    """

    __slots__ = ("_asked_at", "_asks", "_bids", "_held", "_limit", "_pause_until_us", "least", "recent")

    def __init__(self, limit: int, wanted: int = 0) -> None:
        self.least = min(max(LEAST_LEVELS, wanted, limit // 4), limit // 2)
        self.recent: deque[BookDelta] = deque(maxlen=_LATELY)
        self._limit = limit
        self._bids = _Side(1)
        self._asks = _Side(-1)
        self._asked_at: int | None = None
        self._held: BookSnapshot | None = None
        self._pause_until_us = 0

    def seeded(self, snapshot: BookSnapshot, deltas: Iterable[BookDelta]) -> None:
        """The book stands anew on a snapshot and the deltas after it; a splice under way is off."""
        self._bids.seed(snapshot.bids, self._limit)
        self._asks.seed(snapshot.asks, self._limit)
        self._give_up()
        self.recent = deque(deltas, _LATELY)

    def wants(self, at: int, now_us: int) -> bool:
        """Whether to ask for a snapshot now, the book standing at ``at``. True counts as having asked."""
        if self._asked_at is not None or now_us < self._pause_until_us:
            return False
        if self._bids.keys is None and self._asks.keys is None:
            return False
        short = self._is_short()
        self.recent.clear()
        if short:
            self._asked_at = at
            self._pause_until_us = now_us + _PAUSE_US
            self.recent = deque(maxlen=_REMEMBERED)
        return short

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
        if len(self.recent) == _REMEMBERED:
            self._give_up()
            return None
        newer = [delta for delta in self.recent if delta.seq >= snapshot.seq]
        bids = self._bids.extend(snapshot.bids, self._limit, _merged(delta.bids for delta in newer))
        asks = self._asks.extend(snapshot.asks, self._limit, _merged(delta.asks for delta in newer))
        self._give_up()
        if not bids and not asks:
            return None
        return BookDelta(snapshot.instrument, exchange_us, now_us, at, at, at, bids, asks)

    def _is_short(self) -> bool:
        newest = tuple(reversed(self.recent))
        lowest_ask = next((min(prices) for d in newest if (prices := _standing(d.asks))), None)
        highest_bid = next((max(prices) for d in newest if (prices := _standing(d.bids))), None)
        if self._bids.left(lowest_ask) < self.least or self._asks.left(highest_bid) < self.least:
            return True
        many = self._limit // 2
        return any(_deletes(d.bids, many) or _deletes(d.asks, many) for d in newest)

    def _give_up(self) -> None:
        self._asked_at = self._held = None
        self.recent = deque(self.recent, _LATELY)


class _Side:
    """``price * sign`` of the known levels of a snapshot, rising, so that the edge is the first; None while
    the whole side is known. ``sign`` as in BookSide.
    """

    __slots__ = ("_sign", "keys")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self.keys: list[float] | None = None

    def seed(self, levels: list[Level], limit: int) -> None:
        full = len(levels) >= limit
        self.keys = sorted(price * self._sign for price, _ in levels) if full else None

    def left(self, opposite: float | None) -> float:
        """Known levels that are worse than a price of the other side."""
        if self.keys is None or opposite is None:
            return float("inf")
        return bisect_left(self.keys, opposite * self._sign)

    def extend(self, levels: list[Level], limit: int, newer: Mapping[float, float]) -> list[Level]:
        """Know these levels too; returns those that were beyond the edge."""
        old, sign = self.keys, self._sign
        if old is None:
            return []
        beyond = [level for level in levels if level[0] * sign < old[0] and level[0] not in newer]
        self.seed(levels, limit)
        if self.keys is not None:
            self.keys = old[: bisect_left(old, self.keys[0])] + self.keys
        return beyond


def _standing(levels: list[Level]) -> list[float]:
    """Prices that have a quantity."""
    return [price for price, quantity in levels if quantity]


def _deletes(levels: list[Level], many: int) -> bool:
    """Whether at least so many levels are deleted."""
    return len(levels) >= many and sum(not quantity for _, quantity in levels) >= many


def _merged(changes: Iterable[list[Level]]) -> dict[float, float]:
    """Each price once, with its latest quantity."""
    merged: dict[float, float] = {}
    for levels in changes:
        merged.update(levels)
    return merged
