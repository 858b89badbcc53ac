"""Bars, those before the start included."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import RequestRefused
from ctcore.model.time import parse_time
from ctcore.sim.candles import INTERVALS, CandleSeries, bar_end, bar_open
from ctcore.sim.past import PastPath

START_US = parse_time("2026-10-14T12:34:56.789Z")
MINUTE = 60_000_000


def past():
    return PastPath("seed", START_US, 50_000, volatility=2e-5, lots_per_sec=1_000.0, trades_per_sec=4.0)


def series(interval="1m", **options):
    return CandleSeries(interval, START_US, 50_000, past(), **options)


@given(st.sampled_from(sorted(INTERVALS)), st.integers(0, 4 * 10**15))
def test_a_moment_lies_in_its_bar(interval, us):
    open_us = bar_open(interval, us)
    end_us = bar_end(interval, open_us)
    assert open_us <= us < end_us
    assert bar_open(interval, end_us) == end_us
    assert bar_open(interval, end_us - 1) == open_us


def test_weeks_begin_on_monday_and_months_on_the_first():
    monday = dt.datetime(2026, 10, 12, tzinfo=dt.UTC)
    assert bar_open("1w", START_US) == int(monday.timestamp()) * 1_000_000
    assert bar_open("1M", START_US) == parse_time("2026-10-01")
    assert bar_end("1M", parse_time("2026-12-01")) == parse_time("2027-01-01")


@pytest.mark.parametrize("interval", sorted(INTERVALS))
def test_history_before_the_start_is_whole(interval):
    bars = series(interval).bars(500)
    if interval not in ("1w", "1M", "3d"):
        assert len(bars) == 500
    assert [bar.open_us for bar in bars[1:]] == [bar.end_us for bar in bars[:-1]]
    assert [bar.open for bar in bars[1:-1]] == [bar.close for bar in bars[:-2]]
    for bar in bars:
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert 0 <= bar.buy_volume <= bar.volume
        assert bar.trades >= 0
    assert bars == series(interval).bars(500)
    assert not bars[-1].closed
    assert bars[-1].close == 50_000
    assert bars[-1].open_us <= START_US < bars[-1].end_us


def test_bars_of_different_intervals_agree():
    hours = series("1h").bars(5)[:-1]
    minutes = {bar.open_us: bar for bar in series("1m").bars(600)}
    for hour in hours:
        inside = [minutes[hour.open_us + number * MINUTE] for number in range(60)]
        assert (hour.open, hour.close) == (inside[0].open, inside[-1].close)
        assert hour.volume == sum(bar.volume for bar in inside)


def test_empty_intervals_have_flat_bars():
    one = series()
    one.add(START_US + 1, 50_010, 3, buy=True)
    one.roll(START_US + 3 * MINUTE)
    assert [(bar.open, bar.close, bar.volume) for bar in one.bars(3)] == [(50_010, 50_010, 0)] * 3
    traded = one.bars(4)[0]
    assert (traded.close, traded.high, traded.closed) == (50_010, max(50_010, traded.high), True)


def test_the_growing_bar_is_a_copy():
    one = series()
    seen = one.bars(1)[0]
    one.add(START_US + 1, 60_000, 3, buy=False)
    assert seen.close == 50_000
    assert one.bars(1)[0].close == 60_000


def test_ranges():
    one = series()
    for number in range(5):
        one.add(START_US + number * MINUTE, 50_000 + number, 1, buy=True)
    now_us = bar_open("1m", START_US) + 4 * MINUTE
    first_us = now_us - 6 * MINUTE
    bars = one.bars(100, begin_us=first_us)
    assert [bar.open_us for bar in bars] == [first_us + number * MINUTE for number in range(7)]
    assert one.bars(2, begin_us=first_us - 1) == bars[:2]
    assert one.bars(100, begin_us=first_us + 1) == bars[1:]
    assert one.bars(3, end_us=now_us - MINUTE) == bars[3:6]
    assert one.bars(100, begin_us=first_us, end_us=first_us + MINUTE) == bars[:2]
    assert one.bars(100, begin_us=now_us + 1) == []
    assert one.bars(0) == []
    past_us = first_us - 1_000 * MINUTE
    assert [bar.open_us for bar in one.bars(2, end_us=past_us)] == [past_us - MINUTE, past_us]


def test_the_ring_is_bounded_and_a_long_pause_cheap():
    one = series(limit=10)
    one.roll(START_US + 10_000_000 * MINUTE)
    assert len(one) == 11
    assert one.bars(100)[-1].open_us == bar_open("1m", START_US + 10_000_000 * MINUTE)
    assert one.bars(100)[-1].close == 50_000


def test_unknown_intervals(make_market):
    with pytest.raises(RequestRefused, match=r"7m.*1m"):
        make_market()["BTCUSDT"].candles("7m", 5)
