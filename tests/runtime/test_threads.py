import sys
import threading

import pytest
import trio
import trio.testing

from ctcore.errors import StorageError
from ctcore.runtime import BlockingWorker, OnDeadline


@pytest.fixture
def gate():
    gate = threading.Event()
    yield gate
    gate.set()


async def test_returns_and_raises_what_the_function_does():
    worker = BlockingWorker("db")
    assert await worker.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await worker.run(divmod, 1, 0)
    assert worker.statistics().calls == 2


async def test_never_two_calls_at_once():
    worker = BlockingWorker("db")
    inside, most = 0, 0
    lock = threading.Lock()

    def call():
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.001)
        with lock:
            inside -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(worker.run, call)
    assert most == 1


async def test_an_abandoned_call_keeps_others_out_until_it_ends(gate):
    worker = BlockingWorker("db")
    with pytest.raises(StorageError, match=r"no answer within 0\.01 s; it still runs"):
        await worker.run(gate.wait, deadline_sec=0.01)
    statistics = worker.statistics()
    assert (statistics.orphaned, statistics.abandoned, statistics.late) == (True, 1, 1)
    with pytest.raises(StorageError, match="never began"):
        await worker.run(int, deadline_sec=0.01)
    gate.set()
    assert await worker.run(int) == 0
    assert not worker.statistics().orphaned


async def test_a_call_that_must_be_known_is_waited_for_and_counted_as_late(gate):
    worker = BlockingWorker("db")
    threading.Timer(0.03, gate.set).start()
    assert await worker.run(gate.wait, deadline_sec=0.001, on_deadline=OnDeadline.WAIT) is True
    statistics = worker.statistics()
    assert (statistics.late, statistics.abandoned) == (1, 0)
    assert statistics.longest_sec > 0


async def test_cancelling_the_caller_leaves_the_thread(gate):
    worker = BlockingWorker("db")
    began = threading.Event()

    def call():
        began.set()
        gate.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run, call)
        assert await trio.to_thread.run_sync(began.wait, 5)
        nursery.cancel_scope.cancel()
    assert worker.statistics().orphaned


async def test_the_queue_is_bounded(gate):
    worker = BlockingWorker("db", max_waiting=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run, gate.wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(worker.run, int)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(StorageError, match="1 calls wait already"):
            await worker.run(int)
        gate.set()


async def test_a_call_that_wants_to_exit_has_failed():
    worker = BlockingWorker("db")
    with pytest.raises(StorageError, match=r"db: the call wanted to exit: SystemExit\(3\)"):
        await worker.run(sys.exit, 3)
    assert await worker.run(int) == 0
