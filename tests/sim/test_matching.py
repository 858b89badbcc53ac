"""The matching engine against a naive one, and what must hold whatever orders come."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.errors import RequestRefused
from ctcore.model.market import Side
from ctcore.sim.matching import LevelChange, MatchingBook, OrderKind

ORDER = st.tuples(
    st.sampled_from(Side),
    st.integers(1, 20),
    st.integers(90, 110),
    st.sampled_from(OrderKind),
)
CANCEL = st.integers(1, 60)
ACTIONS = st.lists(ORDER | CANCEL, max_size=80)


class NaiveBook:
    """A list of orders, sorted anew for each match."""

    def __init__(self):
        self.orders = []  # [id, side, price, quantity]
        self.next_id = 1

    def place(self, side, quantity, price, kind):
        order_id, self.next_id = self.next_id, self.next_id + 1
        buys = side is Side.BUY
        against = [
            order for order in self.orders
            if order[1] is not side
            and (kind is OrderKind.MARKET or (order[2] <= price if buys else order[2] >= price))
        ]
        against.sort(key=lambda order: (order[2] if buys else -order[2], order[0]))
        if kind is OrderKind.POST_ONLY and against:
            return order_id, []
        if kind is OrderKind.FOK and sum(order[3] for order in against) < quantity:
            return order_id, []
        fills = []
        for order in against:
            lots = min(quantity, order[3])
            if lots:
                order[3] -= lots
                quantity -= lots
                fills.append((order[2], lots, order[0], order[3]))
        self.orders = [order for order in self.orders if order[3]]
        if quantity and kind in (OrderKind.LIMIT, OrderKind.POST_ONLY):
            self.orders.append([order_id, side, price, quantity])
        return order_id, fills

    def cancel(self, order_id):
        before = len(self.orders)
        self.orders = [order for order in self.orders if order[0] != order_id]
        return len(self.orders) < before

    def levels(self, side):
        totals: dict[int, int] = {}
        for _, own, price, quantity in self.orders:
            if own is side:
                totals[price] = totals.get(price, 0) + quantity
        return sorted(totals.items(), reverse=side is Side.BUY)


def perform(book, action):
    """Returns the level changes."""
    if isinstance(action, int):
        change = book.cancel(action)
        return [] if change is None else [change]
    side, quantity, price, kind = action
    price = None if kind is OrderKind.MARKET else price
    return book.place(side, quantity, price=price, kind=kind).changes


@given(ACTIONS)
@settings(max_examples=300)
def test_matches_as_the_naive_book_does(actions):
    book, naive = MatchingBook(), NaiveBook()
    for action in actions:
        if isinstance(action, int):
            assert (book.cancel(action) is not None) == naive.cancel(action)
        else:
            side, quantity, price, kind = action
            execution = book.place(
                side, quantity, price=None if kind is OrderKind.MARKET else price, kind=kind
            )
            order_id, fills = naive.place(side, quantity, price, kind)
            assert execution.order_id == order_id
            assert [(f.price, f.quantity, f.maker_id, f.maker_left) for f in execution.fills] == fills
        for side in Side:
            assert book.levels(side) == naive.levels(side)


@given(ACTIONS)
@settings(max_examples=300)
def test_never_crossed_and_quantity_is_conserved(actions):
    book = MatchingBook()
    for action in actions:
        resting = sum(order.quantity for order in book)
        if isinstance(action, int):
            order = book.order(action)
            taken = order.quantity if order else 0
            book.cancel(action)
            assert sum(order.quantity for order in book) == resting - taken
        else:
            side, quantity, price, kind = action
            price = None if kind is OrderKind.MARKET else price
            execution = book.place(side, quantity, price=price, kind=kind)
            assert execution.filled + execution.rested <= quantity
            assert sum(order.quantity for order in book) == resting - execution.filled + execution.rested
            assert execution.refused == (
                kind in (OrderKind.FOK, OrderKind.POST_ONLY) and not execution.filled and not execution.rested
            )
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        assert bid is None or ask is None or bid < ask


@given(ACTIONS)
def test_changes_tell_every_difference(actions):
    book = MatchingBook()
    told: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
    for action in actions:
        for side, price, quantity in perform(book, action):
            told[side][price] = quantity
        for side in Side:
            assert {price: lots for price, lots in told[side].items() if lots} == dict(book.levels(side))


@given(ACTIONS, st.integers(1, 5))
def test_best_levels_are_the_head_of_all(actions, count):
    book = MatchingBook()
    for action in actions:
        perform(book, action)
    for side in Side:
        assert book.levels(side, count) == book.levels(side)[:count]
        assert book.count(side) == len(book.levels(side))


def test_time_priority_within_a_price():
    book = MatchingBook()
    first = book.place(Side.SELL, 5, price=100).order_id
    second = book.place(Side.SELL, 5, price=100, owner="me").order_id
    execution = book.place(Side.BUY, 7, price=100)
    assert [(f.maker_id, f.quantity, f.maker_owner) for f in execution.fills] == [
        (first, 5, None), (second, 2, "me"),
    ]
    assert execution.changes == [LevelChange(Side.SELL, 100, 3)]
    assert [order.id for order in book.queue(Side.SELL, 100)] == [second]
    assert book.total(Side.SELL, 100) == 3


def test_fills_are_at_the_makers_price():
    book = MatchingBook()
    book.place(Side.SELL, 1, price=100)
    book.place(Side.SELL, 1, price=101)
    execution = book.place(Side.BUY, 3, price=105)
    assert [fill.price for fill in execution.fills] == [100, 101]
    assert execution.rested == 1
    assert book.best(Side.BUY) == 105


@pytest.mark.parametrize(("quantity", "price", "kind"), [
    (0, 100, OrderKind.LIMIT),
    (-1, 100, OrderKind.LIMIT),
    (1, None, OrderKind.LIMIT),
    (1, None, OrderKind.IOC),
    (1, 0, OrderKind.POST_ONLY),
])
def test_impossible_orders_are_refused(quantity, price, kind):
    book = MatchingBook()
    with pytest.raises(RequestRefused):
        book.place(Side.BUY, quantity, price=price, kind=kind)
    assert len(book) == 0
