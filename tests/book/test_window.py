"""What a window reports rebuilds the window, exactly; and rings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.book import BookWindow, OrderBook, Ring

BIDS = st.lists(st.tuples(st.integers(1, 20).map(float), st.sampled_from([0.0, 1.0, 2.0])), max_size=6)
ASKS = st.lists(st.tuples(st.integers(21, 40).map(float), st.sampled_from([0.0, 1.0, 2.0])), max_size=6)


@given(
    depth=st.integers(1, 5),
    first=st.tuples(BIDS, ASKS),
    steps=st.lists(st.tuples(st.booleans(), BIDS, ASKS), max_size=15),
)
def test_the_changes_rebuild_the_window(depth, first, steps):
    book, window, rebuilt = OrderBook(), BookWindow(depth), OrderBook()
    book.snapshot(*first)
    rebuilt.snapshot(*window.reset(book))
    for whole, bids, asks in steps:
        (book.snapshot if whole else book.delta)(bids, asks)
        changes = window.changes(book)
        before = rebuilt.bids(), rebuilt.asks()
        rebuilt.delta(*changes)
        assert (rebuilt.bids(), rebuilt.asks()) == (book.bids(depth), book.asks(depth))
        nothing_changed = before == (rebuilt.bids(), rebuilt.asks())
        assert nothing_changed == (changes == ([], []))
        assert all(len(dict(side)) == len(side) for side in changes), "a price stands once in a change"


@given(st.lists(st.integers()), st.integers(1, 5), st.integers(0, 7))
def test_a_ring_keeps_the_newest(items, capacity, count):
    ring: Ring[int] = Ring(capacity)
    for item in items:
        ring.append(item)
    assert list(ring) == items[-capacity:]
    assert len(ring) == min(len(items), capacity)
    assert ring.newest(count) == items[-capacity:][max(0, len(ring) - count):]


def test_a_ring_without_room_is_a_mistake():
    with pytest.raises(ValueError, match="at least 1"):
        Ring(0)
