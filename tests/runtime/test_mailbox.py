import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import MailboxFull
from ctcore.runtime import Mailbox, Overflow


def mailbox(overflow=Overflow.NEVER_DROP, capacity=3, key=None):
    return Mailbox("orders", capacity=capacity, overflow=overflow, key=key)


async def test_a_batch_is_everything_that_came_meanwhile():
    box = mailbox()
    batches = []

    async def consume():
        batches.extend([batch async for batch in box])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        await trio.testing.wait_all_tasks_blocked()
        box.put_nowait(1)
        box.put_nowait(2)
        await trio.testing.wait_all_tasks_blocked()
        box.put_nowait(3)
        box.close()
    assert batches == [[1, 2], [3]]


async def test_a_closed_mailbox_gives_what_it_holds_then_ends():
    box = mailbox()
    box.put_nowait(1)
    box.close()
    with pytest.raises(trio.ClosedResourceError):
        box.put_nowait(2)
    assert await box.receive_all() == [1]
    with pytest.raises(trio.EndOfChannel):
        await box.receive_all()


@pytest.mark.parametrize("key", [None, id])
async def test_an_item_wakes_a_waiting_consumer(autojump_clock, key):
    box = mailbox(Overflow.CONFLATE if key else Overflow.DROP_OLDEST, key=key)
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:

            async def consume():
                assert await box.receive_all() == ["item"]

            nursery.start_soon(consume)
            await trio.testing.wait_all_tasks_blocked()
            box.put_nowait("item")


async def test_closing_wakes_a_waiting_consumer(autojump_clock):
    box = mailbox()
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:

            async def consume():
                with pytest.raises(trio.EndOfChannel):
                    await box.receive_all()

            nursery.start_soon(consume)
            await trio.testing.wait_all_tasks_blocked()
            box.close()


def test_never_drop_refuses_loudly_and_keeps_what_it_has():
    box = mailbox()
    for item in range(3):
        box.put_nowait(item)
    with pytest.raises(MailboxFull, match="mailbox orders holds 3 items"):
        box.put_nowait(3)
    assert box.receive_all_nowait() == [0, 1, 2]
    box.put_nowait(4)
    statistics = box.statistics()
    assert (statistics.put, statistics.refused, statistics.queued, statistics.high_water) == (4, 1, 1, 3)


@given(st.lists(st.integers(), max_size=50), st.integers(1, 10))
def test_drop_oldest_keeps_the_newest_and_counts_the_rest(items, capacity):
    box = mailbox(Overflow.DROP_OLDEST, capacity)
    for item in items:
        box.put_nowait(item)
    assert box.statistics().dropped == max(0, len(items) - capacity)
    if items:
        assert box.receive_all_nowait() == items[-capacity:]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers()), min_size=1, max_size=50))
def test_conflate_keeps_the_newest_of_each_key(items):
    box = mailbox(Overflow.CONFLATE, 5, key=lambda item: item[0])
    for item in items:
        box.put_nowait(item)
    first_seen = list(dict.fromkeys(key for key, _ in items))
    assert box.receive_all_nowait() == [(key, dict(items)[key]) for key in first_seen]
    assert box.statistics().conflated == len(items) - len(first_seen)


def test_conflate_refuses_one_key_too_many():
    box = mailbox(Overflow.CONFLATE, 2, key=lambda item: item)
    box.put_nowait("a")
    box.put_nowait("b")
    box.put_nowait("a")
    with pytest.raises(MailboxFull, match="2 keys"):
        box.put_nowait("c")


async def test_a_failure_reaches_the_consumer_before_the_items():
    box = mailbox()
    box.put_nowait(1)
    box.fail(ZeroDivisionError("callback"))
    with pytest.raises(ZeroDivisionError, match="callback"):
        await box.receive_all()


async def test_a_failure_wakes_a_waiting_consumer(autojump_clock):
    box = mailbox()

    async def consume():
        with pytest.raises(ZeroDivisionError):
            await box.receive_all()

    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(consume)
            await trio.testing.wait_all_tasks_blocked()
            box.fail(ZeroDivisionError())


async def test_a_cancelled_receive_takes_nothing(autojump_clock):
    box = mailbox()
    with trio.move_on_after(1):
        await box.receive_all()
    box.put_nowait(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await box.receive_all()
    assert await box.receive_all() == [1]


async def test_there_is_one_consumer():
    box = mailbox()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.receive_all)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await box.receive_all()
        box.put_nowait(1)


async def test_receiving_is_a_checkpoint():
    box = mailbox()
    box.put_nowait(1)
    with trio.testing.assert_checkpoints():
        await box.receive_all()


def test_nothing_there_is_would_block():
    with pytest.raises(trio.WouldBlock):
        mailbox().receive_all_nowait()


@pytest.mark.parametrize(
    ("overflow", "capacity", "key"),
    [(Overflow.CONFLATE, 1, None), (Overflow.DROP_OLDEST, 1, len), (Overflow.NEVER_DROP, 0, None)],
)
def test_impossible_mailboxes_are_refused(overflow, capacity, key):
    with pytest.raises(ValueError, match="mailbox orders"):
        mailbox(overflow, capacity, key)
