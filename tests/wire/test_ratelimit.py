import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.errors import RateLimited, RequestRefused
from ctcore.wire.ratelimit import BucketLimit, RateBudget


def budget(*limits, **kwargs):
    return RateBudget("venue", limits or [BucketLimit("weight", 10, 60.0)], **kwargs)


def used(b, bucket="weight"):
    return next(row.used for row in b.statistics().buckets if row.bucket == bucket)


async def test_waits_for_the_window_to_pass(autojump_clock):
    b = budget()
    await b.acquire({"weight": 6})
    await b.acquire({"weight": 4})
    assert trio.current_time() == 0
    await b.acquire({"weight": 1})
    assert trio.current_time() == 60
    assert used(b) == 1


async def test_waits_only_for_as_much_as_it_needs(autojump_clock):
    b = budget()
    await b.acquire({"weight": 6})
    await trio.sleep(20)
    await b.acquire({"weight": 4})
    await b.acquire({"weight": 6})
    assert trio.current_time() == 60


async def test_serves_in_order_of_arrival_however_small_the_later_ones(autojump_clock):
    b = budget()
    order = []

    async def take(name, units):
        await b.acquire({"weight": units})
        order.append((name, trio.current_time()))

    await b.acquire({"weight": 5})
    async with trio.open_nursery() as nursery:
        for name, units in (("big", 8), ("small", 1), ("smaller", 1)):
            nursery.start_soon(take, name, units)
            await trio.testing.wait_all_tasks_blocked()
    assert order[0] == ("big", 60)
    assert {when for _, when in order} == {60}


async def test_a_waiter_holds_back_only_those_who_need_the_same_bucket(autojump_clock):
    b = budget(BucketLimit("weight", 10, 60.0), BucketLimit("orders", 5, 10.0))
    await b.acquire({"weight": 10})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(b.acquire, {"weight": 1})
        await trio.testing.wait_all_tasks_blocked()
        await b.acquire({"orders": 1})
        assert trio.current_time() == 0
        nursery.cancel_scope.cancel()


async def test_takes_from_all_buckets_or_from_none(autojump_clock):
    b = budget(BucketLimit("weight", 10, 60.0), BucketLimit("orders", 1, 10.0))
    await b.acquire({"orders": 1})
    with trio.move_on_after(5):
        await b.acquire({"weight": 4, "orders": 1})
    assert used(b, "weight") == 0
    await b.acquire({"weight": 4, "orders": 1})
    assert trio.current_time() == 10


async def test_a_cancelled_waiter_costs_nothing_and_lets_the_next_one_go(autojump_clock):
    b = budget()
    await b.acquire({"weight": 5})
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def give_up():
            with scope:
                await b.acquire({"weight": 10})

        nursery.start_soon(give_up)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(b.acquire, {"weight": 5})
        await trio.testing.wait_all_tasks_blocked()
        assert b.statistics().waiting == 2
        scope.cancel()
    assert trio.current_time() == 0
    assert used(b) == 10
    assert b.statistics().waiting == 0


async def test_cancelled_before_it_began_costs_nothing(autojump_clock):
    b = budget()
    with trio.CancelScope() as scope:
        scope.cancel()
        await b.acquire({"weight": 10})
    assert scope.cancelled_caught
    assert used(b) == 0
    await b.acquire({"weight": 10})
    assert trio.current_time() == 0


async def test_heeds_what_the_venue_counts_beyond_ours(autojump_clock):
    b = budget()
    await b.acquire({"weight": 2})
    b.observed("weight", 9)
    assert used(b) == 9
    await b.acquire({"weight": 1})
    assert trio.current_time() == 0
    await b.acquire({"weight": 1})
    assert trio.current_time() == 60


async def test_a_smaller_count_of_the_venue_changes_nothing(autojump_clock):
    b = budget()
    await b.acquire({"weight": 8})
    b.observed("weight", 1)
    assert used(b) == 8


async def test_absurd_and_unknown_counts_do_no_harm(autojump_clock):
    b = budget()
    b.observed("weight", 10**12)
    b.observed("weight", -5)
    b.observed("no such", 1)
    assert used(b) == 10
    assert b.statistics().unknown_observed == 1
    await b.acquire({"weight": 10})
    assert trio.current_time() == 60


async def test_parked_nobody_passes_not_even_for_nothing_or_with_priority(autojump_clock):
    b = budget()
    times = []

    async def take(cost, priority):
        await b.acquire(cost, priority=priority)
        times.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        await b.acquire({"weight": 10})
        nursery.start_soon(take, {"weight": 1}, False)
        await trio.testing.wait_all_tasks_blocked()
        b.park(100)
        b.park(30)
        nursery.start_soon(take, {}, False)
        nursery.start_soon(take, {"weight": 1}, True)
    assert times == [100, 100, 100]
    assert b.statistics().parked_times == 2
    assert b.statistics().parked_sec == 0


async def test_a_reserved_share_is_for_priority_callers(autojump_clock):
    b = budget(BucketLimit("weight", 10, 60.0, reserved=0.3))
    await b.acquire({"weight": 7})
    await b.acquire({"weight": 3}, priority=True)
    assert trio.current_time() == 0
    await b.acquire({"weight": 1})
    assert trio.current_time() == 60


async def test_priority_callers_go_first(autojump_clock):
    b = budget()
    order = []

    async def take(name, priority):
        await b.acquire({"weight": 10}, priority=priority)
        order.append((name, trio.current_time()))

    await b.acquire({"weight": 10})
    async with trio.open_nursery() as nursery:
        for name, priority in (("first", False), ("second", False), ("urgent", True)):
            nursery.start_soon(take, name, priority)
            await trio.testing.wait_all_tasks_blocked()
    assert order == [("urgent", 60), ("first", 120), ("second", 180)]


@pytest.mark.parametrize("cost", [{"weight": 11}, {"weight": -1}, {"no such": 1}])
async def test_a_cost_that_never_fits_is_refused_at_once(cost):
    with pytest.raises(RequestRefused, match="venue: a request costs"):
        await budget().acquire(cost)


async def test_what_only_priority_may_have_is_refused_to_others():
    with pytest.raises(RequestRefused, match="0 to 7 can be had"):
        await budget(BucketLimit("weight", 10, 60.0, reserved=0.3)).acquire({"weight": 8})


async def test_the_queue_is_bounded(autojump_clock):
    b = budget(max_waiting=2)
    await b.acquire({"weight": 10})
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(b.acquire, {"weight": 1})
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RateLimited, match="2 requests wait"):
            await b.acquire({"weight": 1})
        assert b.statistics().refused == 1
        assert b.statistics().buckets[0].waiting == 2
        nursery.cancel_scope.cancel()


# Starts come in clusters: charges a millisecond apart share a slot, those a tenth apart expire one by one.
STARTS = st.builds(lambda tenths, millis: tenths / 10 + millis / 1000, st.integers(0, 50), st.integers(0, 5))
CALLS = st.lists(
    st.tuples(STARTS, st.integers(0, 10), st.booleans(), st.booleans()), min_size=5, max_size=60
)


@settings(deadline=None, max_examples=100)
@given(calls=CALLS, capacity=st.integers(20, 30), interval=st.floats(1, 5), reserved=st.floats(0, 0.5))
def test_no_window_ever_holds_more_than_the_capacity(calls, capacity, interval, reserved):
    limit = BucketLimit("weight", capacity, interval, reserved=reserved)
    granted = []

    async def call(b, start, units, priority, impatient):
        await trio.sleep(start)
        with trio.move_on_after(interval / 3 if impatient else 1e9):
            await b.acquire({"weight": units}, priority=priority)
            granted.append((trio.current_time(), units))

    async def main():
        b = budget(limit)
        async with trio.open_nursery() as nursery:
            for start, units, priority, impatient in calls:
                nursery.start_soon(call, b, start, units, priority, impatient)
        assert b.statistics().waiting == 0
        assert b.statistics().granted == len(granted)
        patient = sum(not impatient for *_, impatient in calls)
        assert len(granted) >= patient

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    for begin, _ in granted:
        in_window = sum(units for when, units in granted if begin <= when < begin + interval)
        assert in_window <= limit.capacity


async def test_memory_is_bounded_by_slots_not_by_requests(autojump_clock):
    b = budget(BucketLimit("orders", 200_000, 86_400.0))
    for _ in range(2_000):
        await b.acquire({"orders": 1})
        await trio.sleep(1)
    assert len(b._windows["orders"]._slots) <= 257
    assert used(b, "orders") == 2_000
