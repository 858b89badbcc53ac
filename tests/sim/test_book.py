"""A book's numbered changes are the difference of its states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import RequestRefused
from ctcore.model.market import Side
from ctcore.sim.book import SimBook
from ctcore.sim.matching import OrderKind

ORDER = st.tuples(
    st.sampled_from(Side),
    st.integers(1, 9),
    st.integers(95, 105),
    st.sampled_from([OrderKind.LIMIT, OrderKind.IOC]),
)
ACTIONS = st.lists(ORDER | st.integers(1, 40), max_size=60)


def run(book, actions):
    for action in actions:
        if isinstance(action, int):
            book.cancel(7, action)
        else:
            side, quantity, price, kind = action
            book.place(7, side, quantity, price=price, kind=kind)


def apply(levels, changes):
    known = dict(levels)
    for price, quantity in changes:
        if quantity:
            known[price] = quantity
        else:
            known.pop(price, None)
    return known


@given(ACTIONS, ACTIONS)
def test_changes_since_are_the_difference_of_two_books(before, after):
    book = SimBook()
    run(book, before)
    old = book.levels()
    run(book, after)
    changes, new = book.changes_since(old.update_id), book.levels()
    assert (changes.first_id, changes.last_id) == (old.update_id + 1, book.update_id)
    assert apply(old.bids, changes.bids) == dict(new.bids)
    assert apply(old.asks, changes.asks) == dict(new.asks)
    assert changes.bids == sorted(changes.bids, reverse=True)
    assert changes.asks == sorted(changes.asks)
    assert bool(changes) == (book.update_id > old.update_id)


def test_each_level_change_counts_one():
    book = SimBook(first_update_id=10)
    for price in (100, 101, 102):
        book.place(1, Side.SELL, 2, price=price)
    assert book.update_id == 13
    book.place(2, Side.BUY, 5, price=102, kind=OrderKind.IOC)
    assert book.update_id == 16  # three levels touched
    assert book.changes_since(13).asks == [(100, 0), (101, 0), (102, 1)]
    assert book.changed_us == 2
    assert (book.best_bid, book.best_ask) == (None, (102, 1))


def test_the_log_is_bounded():
    book = SimBook(first_update_id=0, log_limit=50)
    book.place(0, Side.BUY, 1, price=1_000)
    for number in range(500):
        order = book.place(number, Side.BUY, 1, price=number + 1)
        if number % 3:
            book.cancel(number, order.order_id)
    assert book.statistics().log_length == 50
    assert book.oldest_id == book.update_id - 50
    assert book.changes_since(book.oldest_id).bids
    for wrong in (book.oldest_id - 1, book.update_id + 1):
        with pytest.raises(RequestRefused, match="not kept"):
            book.changes_since(wrong)


@given(ACTIONS, st.integers(3, 20))
def test_a_wrapped_log_tells_the_same(actions, limit):
    short, whole = SimBook(log_limit=limit), SimBook()
    run(short, actions)
    run(whole, actions)
    assert short.changes_since(short.oldest_id) == whole.changes_since(short.oldest_id)
