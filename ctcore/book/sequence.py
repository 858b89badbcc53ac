"""Sequence rules: how a venue's updates chain onto a snapshot and onto each other.

A book is in one of three states:

* EMPTY: no snapshot yet. Deltas wait in a bounded buffer.
* JOINING: a snapshot is there, but no delta has been joined to it. The first that *joins* is applied; those
  *older* than the snapshot are dropped; any other is a break.
* SYNCED: each delta must *follow* the one before. One that merely *repeats* is dropped; anything else is a
  break, and the book is EMPTY again.

What "older", "joins", "follows" and "repeats" mean is the rule, a row of :data:`RULES`. Everything that
decides the fate of a delta is in this file; who asks for snapshots, and how, is in
:mod:`ctcore.contracts.driver.book_stream`.

A delta is described by three ids: ``first`` and ``last`` of the venue's update ids that it merges, and
``prev``, the ``last`` of the delta before (``first - 1`` where the venue does not say). ``at`` is the id the
book stands at.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from itertools import islice

import attrs

from ctcore.model.market import BookDelta, BookSnapshot

Test = Callable[[BookDelta, int], bool]


@attrs.frozen
class SequenceRule:
    """One way of chaining. ``older`` and ``joins`` compare with the snapshot, ``follows`` and ``repeats``
    with the last applied delta.
    """

    name: str
    older: Test
    joins: Test
    follows: Test
    repeats: Test


def _older(d: BookDelta, at: int) -> bool:
    return d.seq <= at


def _covers_next(d: BookDelta, at: int) -> bool:
    return d.first_seq <= at + 1 <= d.seq


def _names_previous(d: BookDelta, at: int) -> bool:
    return d.prev_seq == at


def _next_number(d: BookDelta, at: int) -> bool:
    return d.seq == at + 1


def _same(d: BookDelta, at: int) -> bool:
    return d.seq == at


def _always(d: BookDelta, at: int) -> bool:  # noqa: ARG001  the rule's signature
    return True


def _never(d: BookDelta, at: int) -> bool:  # noqa: ARG001  the rule's signature
    return False


SNAPSHOT_THEN_RANGE = SequenceRule("snapshot_then_range", _older, _covers_next, _covers_next, _older)
"""Binance spot, KuCoin, MEXC: a REST snapshot at S, then ranges that touch: ``first <= at + 1 <= last``."""

PREVIOUS_ID = SequenceRule("previous_id", _older, _names_previous, _names_previous, _same)
"""OKX (snapshot in the stream), HTX: each delta names the id before it. Ids may fall after maintenance, so
only a repetition of the last one is dropped; the size of a loss cannot be told.
"""

PREVIOUS_ID_RANGE = SequenceRule(
    "previous_id_range",
    lambda d, at: d.seq < at,
    lambda d, at: d.first_seq <= at <= d.seq or d.prev_seq == at,
    _names_previous,
    _same,
)
"""Binance futures: a REST snapshot at S inside the first delta's range (``U <= S <= u``) or just before it
(``pu == S``); then each names the one before. ``U`` and ``u`` are shared engine ids and jump."""

PREVIOUS_ID_SEEDED = SequenceRule(
    "previous_id_seeded",
    _older,
    lambda d, at: d.prev_seq <= at < d.seq,
    _names_previous,
    _same,
)
"""OKX seeded by REST: the first delta spans the snapshot's id."""

SNAPSHOT_IN_STREAM = SequenceRule("snapshot_in_stream", _older, _next_number, _next_number, _older)
"""Bybit, HTX swaps: a snapshot opens the stream, then consecutive numbers."""

CHECKSUM = SequenceRule("checksum", _never, _always, _always, _never)
"""CoinEx: no numbers at all; the driver compares checksums and calls ``broken``."""

RULES = {
    rule.name: rule
    for rule in (
        SNAPSHOT_THEN_RANGE, PREVIOUS_ID, PREVIOUS_ID_RANGE, PREVIOUS_ID_SEEDED, SNAPSHOT_IN_STREAM, CHECKSUM,
    )
}  # fmt: skip


class SyncState(enum.Enum):
    """Of one book; see the module's text."""

    EMPTY = enum.auto()
    JOINING = enum.auto()
    SYNCED = enum.auto()


class Verdict(enum.Enum):
    """What became of a delta."""

    APPLY = enum.auto()
    DROP = enum.auto()
    WAIT = enum.auto()
    BREAK = enum.auto()


_SYNCED, _APPLY = SyncState.SYNCED, Verdict.APPLY
"""For the hot path: looking a member up in its enum costs 0.1 us in Python 3.11."""


class BookSequence:
    """The sync state of one order book. Pure: it never asks for anything.

    ``buffer_limit`` bounds the deltas that wait for a snapshot; the oldest are dropped beyond it (a snapshot
    that arrives so late would be refused as too old).
    """

    def __init__(self, rule: SequenceRule, *, buffer_limit: int = 5_000) -> None:
        self.rule = rule
        self.state = SyncState.EMPTY
        self.at = 0
        self.applied = 0
        self.dropped = 0
        self.snapshots = 0
        self._waiting: deque[BookDelta] = deque()
        self._buffer_limit = buffer_limit

    @property
    def waiting(self) -> int:
        """Deltas that wait for a snapshot."""
        return len(self._waiting)

    def delta(self, delta: BookDelta) -> Verdict:
        """Judge one delta. BREAK leaves it waiting for the next snapshot."""
        rule = self.rule
        if self.state is _SYNCED:
            if rule.follows(delta, self.at):
                self.at = delta.seq
                self.applied += 1
                return _APPLY
            if rule.repeats(delta, self.at):
                self.dropped += 1
                return Verdict.DROP
            return self._break(delta)
        if self.state is SyncState.EMPTY:
            self._wait(delta)
            return Verdict.WAIT
        if rule.joins(delta, self.at):
            self.state = SyncState.SYNCED
            self.at = delta.seq
            self.applied += 1
            return Verdict.APPLY
        if rule.older(delta, self.at):
            self.dropped += 1
            return Verdict.DROP
        return self._break(delta)

    def snapshot(self, snapshot: BookSnapshot) -> list[BookDelta] | None:
        """Stand on a snapshot and replay what waited.

        Returns the deltas to apply after it, or None when the snapshot is older than what waits can be joined
        to: nothing has changed then, and another snapshot is needed. A break among the deltas that waited
        leaves the state EMPTY after those returned.
        """
        waiting, rule = self._waiting, self.rule
        start = len(waiting)
        for index, delta in enumerate(waiting):
            if rule.joins(delta, snapshot.seq):
                start = index
                break
            if not rule.older(delta, snapshot.seq):
                return None
        self.snapshots += 1
        self.dropped += start
        self._waiting = deque()
        self.state = SyncState.JOINING
        self.at = snapshot.seq
        return [d for d in islice(waiting, start, None) if self.delta(d) is Verdict.APPLY]

    def broken(self) -> None:
        """Forget the book: what comes next waits for a snapshot."""
        self.state = SyncState.EMPTY

    def resume(self) -> bool:
        """Undo :meth:`broken` if the only delta that came since follows the book as it was; it is applied."""
        if len(self._waiting) != 1 or not self.rule.follows(self._waiting[0], self.at):
            return False
        self.state = SyncState.SYNCED
        self.at = self._waiting.popleft().seq
        self.applied += 1
        return True

    def forget_waiting(self) -> None:
        """Drop the deltas that wait; a snapshot in the stream needs none of them."""
        self.dropped += len(self._waiting)
        self._waiting.clear()

    def _break(self, delta: BookDelta) -> Verdict:
        self.broken()
        self._wait(delta)
        return Verdict.BREAK

    def _wait(self, delta: BookDelta) -> None:
        if len(self._waiting) >= self._buffer_limit:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(delta)
