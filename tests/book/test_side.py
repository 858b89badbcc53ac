"""A book's side against the naive model: a dict, sorted when asked."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ctcore.book import BookSide, OrderBook
from ctcore.errors import DecodeError
from ctcore.model.market import Level

# Few prices, so that deleting and re-adding the same one is what happens most of the time.
PRICES = st.one_of(st.integers(1, 30).map(float), st.sampled_from([0.1, 1e-8, 97_123.45, 1e9, -3.5]))
LEVELS = st.lists(st.tuples(PRICES, st.sampled_from([0.0, 0.0, 1.0, 2.5, 1e-8])), max_size=12)


class SideMachine(RuleBasedStateMachine):
    """Any sequence of updates leaves the side equal to a dict."""

    @initialize(sign=st.sampled_from([1, -1]))
    def start(self, sign):
        self.sign = sign
        self.side = BookSide(sign)
        self.model: dict[float, float] = {}

    @rule(levels=LEVELS)
    def update(self, levels):
        self.side.update(levels)
        for price, quantity in levels:
            self.model[price] = quantity
        self.model = {price: quantity for price, quantity in self.model.items() if quantity}

    @rule(levels=LEVELS)
    def replace(self, levels):
        self.side.replace(levels)
        self.model = {price: quantity for price, quantity in levels if quantity}

    @rule()
    def delete_everything(self):
        self.side.update([(price, 0.0) for price in self.model])
        self.model = {}

    @rule(quantity=st.sampled_from([0.0, 3.0]))
    def touch_the_best(self, quantity):
        if self.model:
            price = self.expected()[0][0]
            self.side.update([(price, quantity)])
            self.model[price] = quantity
            self.model = {p: q for p, q in self.model.items() if q}

    @invariant()
    def looks_like_the_model(self):
        if not hasattr(self, "side"):
            return
        expected = self.expected()
        assert self.side.top(3) == expected[:3]
        assert len(self.side) == len(expected)
        assert self.side.top() == expected
        assert self.side.best() == (expected[0] if expected else None)
        assert all(self.side.quantity(price) == self.model.get(price, 0.0) for price in (1.0, 5.0, 97_123.45))

    def expected(self) -> list[Level]:
        return sorted(self.model.items(), key=lambda level: -level[0] * self.sign)


TestSide = SideMachine.TestCase


def test_deleted_prices_do_not_pile_up():
    """A book that wanders through a million prices keeps the memory of the levels it has."""
    side = BookSide(1)
    for step in range(50_000):
        side.update([(float(step), 1.0), (float(step - 20), 0.0)])
        if step % 5_000 == 0:
            side.update([(1e6, 1.0)])  # a best price that never leaves hides the tombstones below it
    assert len(side) == 21
    assert len(side._order) == len(side._quantities) < 200


def test_deleting_what_is_not_there_costs_nothing():
    side = BookSide(1)
    side.update([(float(price), 0.0) for price in range(10_000)])
    assert (len(side), side._order, side._quantities) == (0, [], {})


@pytest.mark.parametrize("level", [
    (math.nan, 1.0), (math.inf, 1.0), (-math.inf, 1.0), (1.0, math.nan), (1.0, math.inf), (1.0, -2.0),
])
@pytest.mark.parametrize("known", [True, False])
def test_a_level_no_book_can_hold_is_refused(level, known):
    side = BookSide(1)
    side.replace([(1.0, 5.0)] if known else [])
    before = side.top()
    with pytest.raises(DecodeError) as caught:
        side.update([level])
    assert caught.value.kind == "level"
    with pytest.raises(DecodeError):
        side.replace([(2.0, 1.0), level])
    assert side.top() == before


@given(bids=LEVELS, asks=LEVELS, more_bids=LEVELS, more_asks=LEVELS)
def test_an_order_book_is_two_sides(bids, asks, more_bids, more_asks):
    book = OrderBook()
    valid = [book.valid]
    book.snapshot(bids, asks)
    assert [*valid, book.valid] == [False, True]
    book.delta(more_bids, more_asks)
    left = {p: q for p, q in {**{p: q for p, q in bids if q}, **dict(more_bids)}.items() if q}
    right = {p: q for p, q in {**{p: q for p, q in asks if q}, **dict(more_asks)}.items() if q}
    assert book.bids() == sorted(left.items(), reverse=True)
    assert book.asks() == sorted(right.items())
    assert book.bids(2) == book.bids()[:2]
    assert book.asks(1) == book.asks()[:1]
    assert book.best_bid() == (max(left.items()) if left else None)
    assert book.best_ask() == (min(right.items()) if right else None)
    assert book.crossed == bool(left and right and max(left) >= min(right))
