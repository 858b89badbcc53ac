import time
from itertools import pairwise

import trio
from hypothesis import given
from hypothesis import strategies as st

from ctcore.runtime import MonotonicStamp, SystemClock, TrioClock


class SetClock:
    def __init__(self, now_us=0):
        self.now = now_us

    def now_us(self):
        return self.now


def test_the_system_clock_is_the_machines():
    before = time.time_ns() // 1000
    assert before <= SystemClock().now_us() <= time.time_ns() // 1000


async def test_the_trio_clock_runs_on_virtual_time(autojump_clock):
    clock = TrioClock(1_700_000_000_000_000)
    await trio.sleep(2.5)
    assert clock.now_us() == 1_700_000_002_500_000


@given(st.lists(st.integers(-(10**7), 10**7), max_size=200))
def test_stamps_rise_and_are_never_further_ahead_than_needed(steps):
    clock = SetClock(10**9)
    stamp = MonotonicStamp(clock)
    highest, caught_up, stamps = 0, 0, []
    for step in steps:
        clock.now += step
        highest = max(highest, clock.now)
        caught_up += max(0, step // 2)
        stamps.append(stamp.now_us())
        assert stamps[-1] >= clock.now
        assert stamps[-1] <= highest + caught_up + len(stamps)
    assert all(a < b for a, b in pairwise(stamps))


def test_stamps_meet_the_clock_again_after_it_was_set_back():
    clock = SetClock(100_000_000)
    stamp = MonotonicStamp(clock)
    assert stamp.now_us() == 100_000_000
    clock.now = 40_000_000
    assert [stamp.now_us(), stamp.now_us()] == [100_000_001, 100_000_002]
    assert stamp.statistics().ahead_us == 60_000_002
    assert stamp.statistics().steps_back == 1
    clock.now = 50_000_000
    assert stamp.now_us() == 105_000_002  # half of the ten seconds that the clock went on
    clock.now = 105_000_500
    assert stamp.now_us() == 105_000_500
    assert stamp.statistics().ahead_us == 0


def test_stamps_continue_after_those_of_the_run_before():
    assert MonotonicStamp(SetClock(5), after_us=1_000).now_us() == 1_001
