"""The order flow: repeatable, realistic, bounded."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal
from itertools import pairwise

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.errors import ConfigError, UnknownInstrument
from ctcore.model.ids import Market
from ctcore.model.market import Side
from ctcore.model.time import US_PER_SEC
from ctcore.sim import ASSETS, OrderKind, Row, SimMarket, default_listings

START_US = 1_780_000_000_000_000
HOUR_US = 3_600 * US_PER_SEC


def market(kind=Market.FUTURES, seed=1, **options):
    row = Row(symbol="ETHUSDT", base="ETH", tick="0.01", lot="0.001")
    return SimMarket(default_listings("acme", kind, [row]), seed=seed, start_us=START_US, **options)


def state(item):
    """All that a venue could publish."""
    known = [item.book.levels(), item.trades, item.candles("1m", 5), item.candles("1s", 30), item.day()]
    derivative = item.derivative
    if derivative is not None:
        known += [derivative.mark, derivative.index, derivative.open_interest, derivative.funding_rate,
                  list(derivative.liquidations)]
    return known


@given(st.lists(st.integers(0, 20_000_000), max_size=30))
@settings(max_examples=25, deadline=None)
def test_the_same_events_however_time_is_sliced(cuts):
    at_once, sliced = market(), market()
    at_once.advance(START_US + 20 * US_PER_SEC)
    for cut in sorted(cuts):
        sliced.advance(START_US + cut)
    sliced.advance(START_US + 20 * US_PER_SEC)
    assert state(sliced["ETHUSDT"]) == state(at_once["ETHUSDT"])


def test_the_seed_decides():
    one, two = market(seed=1), market(seed=2)
    for each in (one, two):
        each.advance(START_US + US_PER_SEC)
    assert one["ETHUSDT"].book.levels(5) != two["ETHUSDT"].book.levels(5)


def test_time_never_goes_back():
    one = market()
    one.advance(START_US + US_PER_SEC)
    before = state(one["ETHUSDT"])
    one.advance(START_US)
    assert state(one["ETHUSDT"]) == before
    assert one.now_us == START_US + US_PER_SEC


def test_books_are_deep_uncrossed_and_their_density_falls(make_market, start_us):
    for kind in Market:
        one = make_market(kind)
        for number in range(1, 1_200):
            one.advance(start_us + number * 100_000)
            for item in one:
                bid, ask = item.book.best_bid, item.book.best_ask
                assert bid[0] < ask[0]
        for item in one:
            levels = item.book.levels()
            assert len(levels.bids) > 150
            assert len(levels.asks) > 150
            for side in (levels.bids, levels.asks):
                best, furthest = side[0][0], side[-1][0]
                middle = side[len(side) // 2][0]
                assert abs(middle - best) < abs(furthest - best) / 3


def test_the_spread_is_mostly_a_tick_or_few(make_market, start_us):
    one = make_market()
    seen: dict[str, Counter[int]] = {item.symbol: Counter() for item in one}
    for number in range(1, 600):
        one.advance(start_us + number * 200_000)
        for item in one:
            seen[item.symbol][item.book.best_ask[0] - item.book.best_bid[0]] += 1
    for symbol, spreads in seen.items():
        close = sum(count for ticks, count in spreads.items() if ticks <= 5)
        assert close > 0.5 * spreads.total(), (symbol, spreads)


def test_activity_is_about_as_asked(make_market, start_us):
    for activity in (10.0, 40.0):
        one = make_market(activity=activity)
        before = {item.symbol: item.book.update_id for item in one}
        for number in range(1, 13):
            one.advance(start_us + number * 10 * US_PER_SEC)
        for item in one:
            rate = (item.book.update_id - before[item.symbol]) / 120
            assert 0.6 * activity < rate < 2.2 * activity


def test_trades_and_bars_tell_the_same_story():
    one = market()
    item = one["ETHUSDT"]
    seen, last_id = [], item.last_trade_id
    begin_us = START_US // (60 * US_PER_SEC) * 60 * US_PER_SEC + 60 * US_PER_SEC
    for number in range(1, 1_900):
        one.advance(START_US + number * 100_000)
        fresh = item.trades_since(last_id)
        assert [trade.trade_id for trade in fresh] == list(range(last_id + 1, item.last_trade_id + 1))
        last_id = item.last_trade_id
        seen += fresh
    bars = item.candles("1m", 2, begin_us=begin_us)
    assert [bar.closed for bar in bars] == [True, True]
    for bar in bars:
        inside = [trade for trade in seen if bar.open_us <= trade.us < bar.end_us]
        prices = [trade.price for trade in inside]
        assert (bar.high, bar.low, bar.close) == (max(prices), min(prices), prices[-1])
        assert bar.volume == sum(trade.quantity for trade in inside)
        assert bar.quote_volume == sum(trade.quantity * trade.price for trade in inside)
        assert bar.buy_volume == sum(trade.quantity for trade in inside if trade.side is Side.BUY)
        assert bar.trades == len(inside)
    assert bars[1].open == bars[0].close
    assert item.last_price == seen[-1].price == item.day().last
    assert {trade.side for trade in seen} == set(Side)
    assert item.recent_trades(3) == seen[-3:]
    assert item.recent_trades(-1) == []


def test_a_long_pause_is_skipped_but_for_its_end():
    one = market(catch_up_us=5 * US_PER_SEC)
    item = one["ETHUSDT"]
    before = item.book.update_id
    one.advance(START_US + 24 * HOUR_US)
    assert one.now_us == START_US + 24 * HOUR_US
    assert one.skipped_us == 24 * HOUR_US - 5 * US_PER_SEC
    assert 0 < item.book.update_id - before < 2_000
    assert item.derivative.next_funding_us > one.now_us
    assert [funding.settled_us % (8 * HOUR_US) for funding in item.fundings(3)] == [0, 0, 0]
    bars = item.candles("1h", 24)
    assert len(bars) == 24
    assert all(later.open_us - bar.open_us == HOUR_US for bar, later in pairwise(bars))


def test_a_halted_market_stands_still_and_goes_on():
    one = market()
    one.halted = True
    before = one["ETHUSDT"].book.levels()
    one.advance(START_US + 100 * US_PER_SEC)
    assert one["ETHUSDT"].book.levels() == before
    one.halted = False
    one.advance(START_US + 101 * US_PER_SEC)
    changed = one["ETHUSDT"].book.update_id - before.update_id
    assert 0 < changed < 200


def test_a_day_does_not_grow_memory_nor_lose_the_price():
    row = Row(symbol="ETHUSDT", base="ETH", tick="0.01", lot="0.001")
    listings = default_listings("acme", Market.FUTURES, [row], activity=1.0, levels=100)
    one = SimMarket(listings, seed=3, start_us=START_US, catch_up_us=HOUR_US)
    item = one["ETHUSDT"]
    sizes = []
    assert item.derivative is not None
    for hour in range(1, 25):
        one.advance(START_US + hour * HOUR_US)
        sizes.append((len(item.trades), len(item.derivative.liquidations), item.book.statistics().orders))
        assert 0.8 * 318_020 < item.last_price < 1.2 * 318_020
    assert max(trades for trades, _, _ in sizes) <= 5_000
    assert max(forced for _, forced, _ in sizes) <= 500
    assert max(orders for _, _, orders in sizes) < 100 * 2 * 3
    assert item.book.statistics().log_length <= 20_000
    assert len(item.candles("1m", 10_000, begin_us=START_US - START_US % (60 * US_PER_SEC))) <= 1_501


def test_spot_and_perpetual_move_together(make_market, start_us):
    spot, futures = make_market(Market.SPOT), make_market(Market.FUTURES)
    for number in range(1, 200):
        for each in (spot, futures):
            each.advance(start_us + number * US_PER_SEC)
    fair = spot["BTCUSDT"].middle * 0.01
    assert futures["BTCUSDT"].middle * 0.1 == pytest.approx(fair, rel=2e-4)
    assert futures["BTCUSDT"].derivative.mark * 0.1 == pytest.approx(fair, rel=2e-4)


def test_derivatives_move():
    one = market()
    item = one["ETHUSDT"]
    interest = {item.derivative.open_interest}
    for number in range(1, 900):
        one.advance(START_US + number * US_PER_SEC)
        interest.add(item.derivative.open_interest)
    assert len(interest) > 100
    forced = item.liquidations_since(0)
    assert 3 < len(forced) < 60
    assert item.liquidations_since(forced[-2].liquidation_id) == forced[-1:]
    traded = {(trade.us, trade.price) for trade in item.trades}
    recent = [each for each in forced if each.us >= item.trades[0].us]
    assert recent
    assert all((each.us, each.price) in traded for each in recent)
    assert abs(item.derivative.funding_rate) <= Decimal("0.003")
    assert item.fundings(400) == item.fundings(400)
    assert len(item.fundings(400)) == 400
    assert item.fundings(1) == item.fundings(400)[-1:]


def test_spot_has_no_derivative():
    item = market(Market.SPOT)["ETHUSDT"]
    assert item.derivative is None
    assert item.fundings(5) == []
    assert item.liquidations_since(0) == []


def test_owned_orders_take_part_in_the_market():
    one = market()
    item = one["ETHUSDT"]
    bid = item.book.best_bid
    own = item.place(Side.BUY, 5, price=bid[0], kind=OrderKind.POST_ONLY, owner="me")
    assert item.book.best_bid == (bid[0], bid[1] + 5)
    assert item.cancel(own.order_id)
    assert not item.cancel(own.order_id)
    assert item.book.best_bid == bid
    last_id = item.last_trade_id
    taken = item.place(Side.BUY, 1, kind=OrderKind.MARKET, owner="me")
    [trade] = item.trades_since(last_id)
    assert (trade.taker_order_id, trade.quantity, trade.side) == (taken.order_id, 1, Side.BUY)


def test_a_swept_book_fills_again():
    one = market()
    item = one["ETHUSDT"]
    item.place(Side.SELL, 10**12, kind=OrderKind.MARKET, owner="whale")
    assert item.book.best_bid is None
    one.advance(START_US + 20 * US_PER_SEC)
    levels = item.book.levels()
    assert len(levels.bids) > 20
    assert levels.bids[0] < levels.asks[0]


def test_texts_are_the_wires_strings():
    item = market()["ETHUSDT"]
    assert item.texts([(318_020, 1_500)]) == [["3180.20", "1.500"]]
    padded = item.texts([(318_020, 0)], price_decimals=8, quantity_decimals=8)
    assert padded == [["3180.20000000", "0.00000000"]]


def test_listings_are_looked_up_by_symbol():
    one = market()
    assert "ETHUSDT" in one
    assert len(one) == 1
    assert one.get("NOPE") is None
    with pytest.raises(UnknownInstrument, match=r"NOPE.*ETHUSDT"):
        one["NOPE"]


def test_bad_tables():
    row = Row(symbol="ETHUSDT", base="ETH", tick="0.01", lot="0.001")
    twice = default_listings("acme", Market.SPOT, [row, row])
    with pytest.raises(ConfigError, match="twice"):
        SimMarket(twice, seed=1, start_us=START_US)
    with pytest.raises(ConfigError, match="BTC"):
        default_listings("acme", Market.SPOT, [attrs.evolve(row, base="NOCOIN")])


@pytest.mark.parametrize("base", sorted(ASSETS))
def test_every_asset_makes_a_market(base):
    draw = random.Random(base)
    tick = Decimal(10) ** draw.choice([-2, -3]) if ASSETS[base].price > 50 else Decimal("0.0001")
    row = Row(symbol=base, base=base, tick=tick, lot="0.01")
    one = SimMarket(default_listings("acme", Market.SPOT, [row]), seed=1, start_us=START_US)
    one.advance(START_US + 5 * US_PER_SEC)
    assert one[base].prices.number(one[base].last_price) == pytest.approx(float(ASSETS[base].price), rel=0.01)
