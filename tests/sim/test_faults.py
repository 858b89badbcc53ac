"""Faults strike whom they were asked to strike, as often, and are logged."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.contracts.driver import SimulatorOptions
from ctcore.errors import ConfigError
from ctcore.sim.faults import FRAME_FAULTS, FaultKind, FaultPlan, Faults, faults_of

MINUTE = 60_000_000


def frames(faults, count, *, connection=1, topic="books:BTC", symbol="BTC", begin=0):
    """What reaches a reader of ``count`` frames, one a second."""
    received = []
    for number in range(begin, begin + count):
        received += faults.frame(number * 1_000_000, connection, topic, symbol, f"frame-{number:02}")
    return received


def names(*numbers):
    return [f"frame-{number:02}" for number in numbers]


@pytest.mark.parametrize(("kind", "received"), [
    ("gap", names(1, 2, 3)),
    ("duplicate", names(0, 0, 1, 2, 3)),
    ("reorder", names(1, 0, 2, 3)),
])
def test_frames_are_struck_once(kind, received):
    faults = Faults()
    faults.request(kind)
    assert frames(faults, 4) == received
    [strike] = faults.history
    assert (strike.kind, strike.us, strike.symbol, strike.topic, strike.connection) == (
        kind, 0, "BTC", "books:BTC", 1)
    assert faults.pending == ()


def test_a_stall_withholds_one_topic_of_one_connection():
    faults = Faults()
    faults.request("stall", duration_us=3_000_000)
    assert frames(faults, 1) == []
    assert frames(faults, 2, begin=1, connection=2) == names(1, 2)
    assert frames(faults, 2, begin=1, topic="trades:BTC") == names(1, 2)
    assert frames(faults, 4, begin=1) == names(3, 4)


@given(st.integers(0, 1_000), st.text(min_size=4, max_size=30) | st.binary(min_size=4, max_size=30))
def test_a_corrupt_frame_is_another_of_the_same_type(seed, frame):
    faults = Faults(seed=seed)
    faults.request("corrupt")
    [out] = faults.frame(0, 1, "t", "", frame)
    assert type(out) is type(frame)
    assert out != frame


def test_symbol_and_topic_narrow_the_choice():
    faults = Faults()
    faults.request("gap", "ETH")
    faults.request("gap", topic="books")
    assert frames(faults, 2, topic="trades:BTC") == names(0, 1)
    assert frames(faults, 2, topic="trades:ETH", symbol="ETH") == names(1)
    assert frames(faults, 2, topic="books:BTC") == names(1)
    assert faults.struck == 2


def test_count_is_over_all_victims():
    faults = Faults()
    faults.request("gap", count=3)
    assert frames(faults, 2) == []
    assert frames(faults, 2, connection=2) == names(1)
    assert faults.struck == 3


def test_http_refusals_may_last():
    faults = Faults()
    faults.request("http_429", duration_us=5_000_000)
    faults.request("slow_http", duration_us=7)
    assert faults.refusal(0, "BTC") is FaultKind.HTTP_429
    assert faults.refusal(4_999_999, "") is FaultKind.HTTP_429
    assert faults.refusal(5_000_000, "") is None
    assert faults.struck == 1
    assert [faults.delay_us(0, ""), faults.delay_us(0, "")] == [7, 0]


def test_what_ended_is_forgotten():
    faults = Faults()
    faults.request("reorder")
    assert frames(faults, 1) == []
    faults.forget(1)
    assert frames(faults, 1, begin=1) == names(1)


def test_the_history_is_bounded():
    faults = Faults(history_limit=5)
    faults.request("gap", count=20)
    frames(faults, 20)
    assert (len(faults.history), faults.struck) == (5, 20)


@pytest.mark.parametrize(("arguments", "text"), [
    (("nonsense",), "nonsense.*gap"),
    (("gap", None, 0), "count"),
    (("stall", None, 1, -1), "duration"),
])
def test_impossible_requests(arguments, text):
    with pytest.raises(ConfigError, match=text):
        Faults().request(*arguments)


def test_requests_are_bounded():
    faults = Faults()
    for _ in range(1_000):
        faults.request("http_500")
    with pytest.raises(ConfigError, match="waiting"):
        faults.request("http_500")


def test_a_plan_is_repeatable_and_keeps_its_rate():
    plans = [FaultPlan(6.0, seed=3) for _ in range(2)]
    one = [(fault.kind, fault.skip) for minute in range(100) for fault in plans[0].due(minute * MINUTE)]
    other = [(fault.kind, fault.skip) for second in range(99 * 60 + 1)
             for fault in plans[1].due(second * 1_000_000)]
    assert one == other
    assert 450 < len(one) < 750
    assert set(Counter(kind for kind, _ in one)) == set(FaultKind)


def test_a_plan_that_finds_no_victims_does_not_pile_up():
    faults = Faults(FaultPlan(60.0, [FaultKind.HTTP_500]))
    for second in range(600):
        faults.tick(second * 1_000_000)
    assert len(faults.pending) == 3


def test_an_empty_plan_does_nothing():
    faults = Faults(FaultPlan(0.0))
    faults.tick(10 * MINUTE)
    assert faults.pending == ()
    with pytest.raises(ConfigError):
        FaultPlan(-1.0)
    with pytest.raises(ConfigError):
        FaultPlan(1.0, [])


def test_options_of_a_simulator():
    assert faults_of(SimulatorOptions()).plan is None
    plan = faults_of(SimulatorOptions(faults_per_min=2.0, fault_kinds=("gap",))).plan
    assert plan is not None
    assert (plan.rate_per_min, plan.kinds) == (2.0, (FaultKind.GAP,))
    every = faults_of(SimulatorOptions(faults_per_min=2.0)).plan
    assert every is not None
    assert every.kinds == tuple(FaultKind)
    with pytest.raises(ConfigError, match="oops"):
        faults_of(SimulatorOptions(fault_kinds=("oops",)))


@given(st.lists(st.sampled_from(sorted(FRAME_FAULTS)), max_size=8), st.integers(0, 99))
def test_frames_are_never_invented(kinds, seed):
    faults = Faults(seed=seed)
    for kind in kinds:
        faults.request(kind, duration_us=2_000_000)
    received = [frame for frame in frames(faults, 40) if frame.startswith("frame-") and len(frame) == 8]
    assert set(received) <= set(names(*range(40)))
    assert len(received) <= 40 + kinds.count("duplicate")
    assert frames(faults, 3, begin=60) == names(60, 61, 62)
