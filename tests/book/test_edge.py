"""How far a book is known: when more is wanted, and how it is spliced in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.book import BookEdge, OrderBook
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import BookDelta, BookSnapshot
from ctcore.model.time import US_PER_SEC

BTC = InstrumentId("venue", Market.SPOT, "BTC/USDT")


def picture(seq: int, bids: int = 200, asks: int = 200) -> BookSnapshot:
    sides = [(1000.0 - n, 1.0) for n in range(bids)], [(1001.0 + n, 1.0) for n in range(asks)]
    return BookSnapshot(BTC, 1, 1, seq, *sides)


def change(seq: int, bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> BookDelta:
    return BookDelta(BTC, 1, 1, seq, seq - 1, seq, bids, asks)


@pytest.mark.parametrize(
    ("limit", "wanted", "least"),
    [(1000, 0, 250), (1000, 400, 400), (1000, 2000, 500), (100, 20, 50), (50, 0, 25)],
)
def test_how_many_levels_are_needed(limit: int, wanted: int, least: int) -> None:
    assert BookEdge(limit, wanted).least == least


@pytest.mark.parametrize(
    ("bids", "asks", "wants"),
    [
        ([], [(851.0, 1.0)], False),
        ([], [(850.0, 1.0)], True),
        ([], [(850.0, 0.0)], False),
        ([(1150.0, 1.0)], [], False),
        ([(1151.0, 1.0)], [], True),
        ([(1000.0 - n, 0.0) for n in range(100)], [], True),
        ([(1000.0 - n, 2.0) for n in range(100)], [], False),
    ],
)
def test_when_more_is_wanted(
    bids: list[tuple[float, float]], asks: list[tuple[float, float]], wants: bool
) -> None:
    edge = BookEdge(200)
    edge.seeded(picture(5), [])
    edge.recent.append(change(6, bids, asks))
    assert edge.wants(6, US_PER_SEC) is wants
    assert not edge.wants(6, US_PER_SEC), "once"


def test_a_book_known_as_a_whole_wants_nothing() -> None:
    edge = BookEdge(200)
    edge.seeded(picture(5, 199, 199), [change(6, [], [(801.5, 1.0)])])
    assert not edge.wants(6, US_PER_SEC)


def test_a_snapshot_from_before_the_asking_is_not_joined_and_a_pause_follows() -> None:
    edge = BookEdge(200)
    edge.seeded(picture(5), [change(6, [], [(802.0, 1.0)])])
    assert edge.wants(6, 0)
    edge.answered(picture(5))
    assert edge.splice(6, 1, 1) is None
    edge.recent.append(change(7, [], [(802.0, 2.0)]))
    assert not edge.wants(7, 1 * US_PER_SEC)
    assert edge.wants(7, 5 * US_PER_SEC)
    edge.failed()
    assert not edge.wants(7, 6 * US_PER_SEC)


def test_what_was_not_remembered_is_not_spliced() -> None:
    edge = BookEdge(200)
    edge.seeded(picture(5), [change(6, [], [(802.0, 1.0)])])
    assert edge.wants(6, 0)
    for seq in range(7, 5_100):
        edge.recent.append(change(seq, [], []))
    edge.answered(picture(7, 300))
    assert edge.splice(5_100, 1, 1) is None


PRICES = st.integers(1, 60)
CHANGES = st.lists(st.lists(st.tuples(PRICES, st.integers(0, 3)), max_size=4), max_size=40)


@given(before=CHANGES, during=CHANGES, after=CHANGES, cut=st.integers(0, 40))
def test_a_splice_makes_the_book_known_to_the_new_edge(
    before: list[list[tuple[int, int]]],
    during: list[list[tuple[int, int]]],
    after: list[list[tuple[int, int]]],
    cut: int,
) -> None:
    """Bids alone, 20 of some 60 known at first; the new snapshot is of any moment since the asking."""
    truth, mirror, edge, seq = OrderBook(), OrderBook(), BookEdge(20), 10
    truth.snapshot([(float(price), 1.0) for price in range(1, 61)], [(100.0, 1.0)])

    def seen() -> BookSnapshot:
        return BookSnapshot(BTC, 1, 1, seq, truth.bids(20), truth.asks(20))

    def step(levels: list[tuple[int, int]]) -> None:
        nonlocal seq
        seq += 1
        delta = change(seq, [(float(price), float(quantity)) for price, quantity in levels], [])
        truth.delta(delta.bids, [])
        mirror.delta(delta.bids, [])
        edge.recent.append(delta)

    first = seen()
    mirror.snapshot(first.bids, first.asks)
    edge.seeded(first, [])
    for levels in before:
        step(levels)
    edge.recent.append(change(seq, [], [(41.5, 1.0)]))
    assert edge.wants(seq, 0)
    answer = seen()
    for number, levels in enumerate(during):
        step(levels)
        if number < cut:
            answer = seen()
    edge.answered(answer)
    spliced = edge.splice(seq, 1, 1)
    if spliced is not None:
        assert (spliced.prev_seq, spliced.seq) == (seq, seq)
        mirror.delta(spliced.bids, spliced.asks)
    for levels in after:
        step(levels)
    known = answer.bids[-1][0] if len(answer.bids) == 20 else 0.0
    known = min(known, first.bids[-1][0])
    for side in (mirror, truth):
        assert side.asks() == [(100.0, 1.0)]
    assert [b for b in mirror.bids() if b[0] >= known] == [b for b in truth.bids() if b[0] >= known]
