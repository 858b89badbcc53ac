"""Every sequence rule against a reference that knows the venue's true chain by index.

The reference does not compare ids: it knows that delta 7 comes after delta 6. So a rule that loses something
without noticing, or breaks on a whole stream, differs from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.book import RULES, BookSequence, SequenceRule, SyncState, Verdict
from ctcore.book.sequence import PREVIOUS_ID, PREVIOUS_ID_RANGE, PREVIOUS_ID_SEEDED, SNAPSHOT_THEN_RANGE
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import BookDelta, BookSnapshot

BTC = InstrumentId("venue", Market.SPOT, "BTC/USDT")


def delta(first: int, prev: int, last: int) -> BookDelta:
    return BookDelta(BTC, last, last, first, prev, last, [(1.0, float(last))], [])


def snapshot(at: int) -> BookSnapshot:
    return BookSnapshot(BTC, at, at, at, [], [])


# How each venue numbers its deltas, and which ids its snapshots may have: (previous last, two small numbers).
# The first number is how far the ids jump before the delta, the second how many it merges.

def touching(prev: int, jump: int, span: int) -> tuple[int, int, int]:
    return prev + 1, prev, prev + 1 + span


def named(prev: int, jump: int, span: int) -> tuple[int, int, int]:
    last = prev + 1 + jump + span
    return last, prev, last


def named_range(prev: int, jump: int, span: int) -> tuple[int, int, int]:
    return prev + 1 + jump, prev, prev + 1 + jump + span


def consecutive(prev: int, jump: int, span: int) -> tuple[int, int, int]:
    return prev + 1, prev, prev + 1


def at_the_end(d: BookDelta) -> list[int]:
    return [d.seq]


def inside(d: BookDelta) -> list[int]:
    return list(range(d.first_seq, d.seq + 1))


def anywhere_after_previous(d: BookDelta) -> list[int]:
    return list(range(d.prev_seq + 1, d.seq + 1))


@attrs.frozen
class Venue:
    rule: SequenceRule
    number: Callable[[int, int, int], tuple[int, int, int]]
    snapshot_ids: Callable[[BookDelta], list[int]]

    def chain(self, steps: list[tuple[int, int]]) -> list[BookDelta]:
        deltas: list[BookDelta] = []
        last = 100
        for jump, span in steps:
            deltas.append(delta(*self.number(last, jump, span)))
            last = deltas[-1].seq
        return deltas


VENUES = {
    "snapshot_then_range": Venue(SNAPSHOT_THEN_RANGE, touching, inside),
    "previous_id": Venue(PREVIOUS_ID, named, at_the_end),
    "previous_id_range": Venue(PREVIOUS_ID_RANGE, named_range, inside),
    "previous_id_seeded": Venue(PREVIOUS_ID_SEEDED, named, anywhere_after_previous),
    "snapshot_in_stream": Venue(RULES["snapshot_in_stream"], consecutive, at_the_end),
}


class Reference:
    """What should happen, told by index in the chain."""

    def __init__(self, venue: Venue, chain: list[BookDelta], buffer_limit: int) -> None:
        self.chain = chain
        self.limit = buffer_limit
        self.forgiving = venue.rule.repeats is venue.rule.older  # ids only rise: an old one is surely old
        self.takes_last_again = venue.rule is PREVIOUS_ID_RANGE  # the delta that ends at the snapshot joins
        self.state = SyncState.EMPTY
        self.last = -1
        self.next = 0
        self.at = 0
        self.waiting: list[int] = []

    def delta(self, index: int) -> Verdict:
        if self.state is SyncState.EMPTY:
            self.waiting.append(index)
            self.waiting = self.waiting[-self.limit:]
            return Verdict.WAIT
        if index == self.next or (self.state is SyncState.JOINING and self.joins(index)):
            self.state, self.last, self.next = SyncState.SYNCED, index, index + 1
            return Verdict.APPLY
        if index < self.next and (
            self.state is SyncState.JOINING or self.forgiving or index == self.last
        ):
            return Verdict.DROP
        self.state = SyncState.EMPTY
        self.waiting.append(index)
        self.waiting = self.waiting[-self.limit:]
        return Verdict.BREAK

    def joins(self, index: int) -> bool:
        return index == self.next or (self.takes_last_again and self.chain[index].seq == self.at)

    def snapshot(self, at: int) -> list[int] | None:
        before = self.next, self.at
        self.at = at
        self.next = next((i for i, d in enumerate(self.chain) if d.seq > at), len(self.chain))
        newer = [at for at, index in enumerate(self.waiting) if index >= self.next or self.joins(index)]
        start = newer[0] if newer else len(self.waiting)
        if newer and not self.joins(self.waiting[start]):
            self.next, self.at = before
            return None
        replay, self.waiting = self.waiting[start:], []
        self.state = SyncState.JOINING
        return [index for index in replay if self.delta(index) is Verdict.APPLY]


STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25)
FATES = ["lost", "twice", "swapped", "old again", "snapshot", "broken", "forgotten"]
FATE = st.sampled_from(["whole"] * 6 + FATES)
PICK = st.integers(0, 10_000)


@pytest.mark.parametrize("name", VENUES)
@settings(max_examples=150, deadline=None)
@given(
    steps=STEPS,
    fates=st.lists(st.tuples(FATE, PICK, PICK), min_size=60, max_size=60),
    limit=st.sampled_from([2, 5, 1_000]),
)
def test_loss_is_seen_and_nothing_else_is(name, steps, fates, limit):
    venue = VENUES[name]
    chain = venue.chain(steps)
    real, reference = BookSequence(venue.rule, buffer_limit=limit), Reference(venue, chain, limit)
    delivered = 0
    produced = 0

    def deliver(index: int) -> None:
        nonlocal delivered
        delivered += 1
        verdict = real.delta(chain[index])
        assert verdict is reference.delta(index)
        if verdict is Verdict.APPLY:
            assert real.at == chain[index].seq

    def take_snapshot(pick: int, which: int) -> None:
        source = chain[max(0, produced - 1 - pick % 4)]
        ids = venue.snapshot_ids(source)
        at = ids[which % len(ids)]
        got, expected = real.snapshot(snapshot(at)), reference.snapshot(at)
        assert got == (None if expected is None else [chain[index] for index in expected])

    for fate, pick, which in fates:
        if fate == "snapshot":
            take_snapshot(pick, which)
        elif fate == "broken":
            real.broken()
            reference.state = SyncState.EMPTY
        elif fate == "forgotten":
            real.forget_waiting()
            reference.waiting = []
        elif fate == "old again":
            if produced:
                deliver(pick % produced)
        elif produced < len(chain):
            first, produced = produced, produced + 1
            if fate == "swapped" and produced < len(chain):
                produced += 1
                deliver(first + 1)
            if fate != "lost":
                deliver(first)
            if fate == "twice":
                deliver(first)
        assert real.state is reference.state
        assert real.waiting == len(reference.waiting)
        assert real.applied + real.dropped + real.waiting == delivered


@pytest.mark.parametrize("name", VENUES)
@given(steps=STEPS, asked=st.integers(0, 24), answered=st.integers(0, 24), which=PICK)
def test_a_whole_stream_never_breaks(name, steps, asked, answered, which):
    """Snapshot of any moment, arriving at any later one: each delta is applied once, in order."""
    venue = VENUES[name]
    chain = venue.chain(steps)
    taken_at = min(asked, len(chain) - 1)
    arrives_after = min(taken_at + answered, len(chain) - 1)
    ids = venue.snapshot_ids(chain[taken_at])
    at = ids[which % len(ids)]
    sequence = BookSequence(venue.rule)
    applied: list[BookDelta] = []
    for index, each in enumerate(chain):
        verdict = sequence.delta(each)
        assert verdict is not Verdict.BREAK
        if verdict is Verdict.APPLY:
            applied.append(each)
        if index == arrives_after:
            replayed = sequence.snapshot(snapshot(at))
            assert replayed is not None
            applied += replayed
    needed = [d for d in chain if d.seq > at]
    extra = [d for d in chain if d.seq == at and venue.rule is PREVIOUS_ID_RANGE]
    assert applied in (needed, extra + needed)


def test_ids_that_fall_after_maintenance_chain_by_name():
    """OKX: ``seqId`` 3 after ``prevSeqId`` 1000 is no hole; a keepalive names itself."""
    sequence = BookSequence(PREVIOUS_ID)
    assert sequence.snapshot(snapshot(999)) == []
    told = [delta(1000, 999, 1000), delta(1000, 1000, 1000), delta(3, 1000, 3), delta(8, 3, 8)]
    assert [sequence.delta(d) for d in told] == [Verdict.APPLY] * 4
    assert sequence.delta(delta(12, 9, 12)) is Verdict.BREAK


def test_a_checksummed_stream_has_no_numbers():
    sequence = BookSequence(RULES["checksum"])
    assert sequence.delta(delta(0, 0, 0)) is Verdict.WAIT
    assert sequence.snapshot(snapshot(7)) == [delta(0, 0, 0)]
    assert sequence.delta(delta(0, 0, 0)) is Verdict.APPLY


def test_what_was_dropped_from_a_full_buffer_is_missed():
    """A snapshot older than what still waits is refused, not joined over the hole."""
    sequence = BookSequence(SNAPSHOT_THEN_RANGE, buffer_limit=2)
    for number in (1, 2, 3):
        sequence.delta(delta(number, number - 1, number))
    assert (sequence.waiting, sequence.dropped) == (2, 1)
    assert sequence.snapshot(snapshot(0)) is None
    assert (sequence.snapshots, sequence.state) == (0, SyncState.EMPTY)
    assert [d.seq for d in sequence.snapshot(snapshot(1)) or []] == [2, 3]


@pytest.mark.parametrize(("waits", "resumed"), [([(3, 2, 3)], True), ([(4, 3, 4)], False), ([], False),
                                                ([(3, 2, 3), (4, 3, 4)], False)])
def test_a_suspicion_can_be_taken_back(waits: list[Any], resumed: bool):
    sequence = BookSequence(SNAPSHOT_THEN_RANGE)
    sequence.snapshot(snapshot(1))
    sequence.delta(delta(2, 1, 2))
    sequence.broken()
    for numbers in waits:
        sequence.delta(delta(*numbers))
    assert sequence.resume() is resumed
    assert sequence.state is (SyncState.SYNCED if resumed else SyncState.EMPTY)
    assert sequence.applied + sequence.waiting + sequence.dropped == 1 + len(waits)
