"""A connection replaced in time is one unbroken stream; one that was not is a gap."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
import trio
import trio.testing

from ctcore.errors import ConnectionLost
from ctcore.feed import plan_runner
from ctcore.model.market import BookSnapshot, FeedState, Ticker
from ctcore.testing.fake_server import closing

from .service import (
    BOOK,
    LOST,
    TICKER,
    TRADE,
    Service,
    deltas,
    feed,
    gaps,
    last_frame,
    settle,
    sockets,
    states,
    trades,
)


async def test_the_successor_is_open_before_the_old_one_closes(autojump_clock, stage):
    plan = stage.plan(*stage.all_streams, lifetime_sec=3_600.0, stall_sec=1e9, quiet_sec=1e9)
    service = Service(stage, stage.runner(plan))
    old = await stage.ready_venue(1)
    await feed(old, 2, 5)
    await trio.sleep(3_600)
    new = await stage.ready_venue(5)
    await feed(new, 6, 8)  # the new one is faster
    await feed(old, 6, 7)
    await settle(1)
    assert sockets(stage) == ["opened", "opened", "closed"]
    assert closing(await last_frame(old)).code == 1_000
    await feed(new, 9, 10)
    assert deltas(stage) == list(range(2, 11))
    assert trades(stage) == list(range(2, 11))
    assert gaps(stage) == []
    assert states(stage) == [FeedState.UP, FeedState.RETIRING, FeedState.UP]
    assert "1.0 h old" in stage.statuses[1].detail
    assert not service.ended.is_set()
    times = [event.received_us for event in stage.published]
    assert times == sorted(times)


async def test_a_hundred_handovers_leave_one_connection_and_no_tasks(autojump_clock, stage):
    Service(stage)
    server = await stage.ready_venue(1)
    await settle(1)
    number = 1
    tasks = trio.lowlevel.current_statistics().tasks_living
    for _ in range(100):
        number += 1
        await feed(server, number, number)
        await server.send(["retire", "maintenance"])
        new = await stage.ready_venue(number)
        await settle(2)
        await last_frame(server)
        server = new
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert sockets(stage).count("opened") - sockets(stage).count("closed") == 1
    assert deltas(stage) == list(range(2, number + 1))
    assert gaps(stage) == []


async def test_the_old_one_goes_on_while_there_is_no_successor(autojump_clock, stage):
    Service(stage)
    old = await stage.ready_venue(1)
    await settle(1)
    await stage.listener.aclose()
    await old.send(["retire", "maintenance"])
    for number in range(2, 6):
        await settle(4)
        await feed(old, number, number)
    stage.listener = stage.network.listen("fake.venue", 80)
    new = await stage.ready_venue(5)
    await settle(1)
    await feed(new, 6, 6)
    assert deltas(stage) == [2, 3, 4, 5, 6]
    assert gaps(stage) == []


async def test_the_old_one_ends_and_there_is_no_successor(autojump_clock, stage):
    service = Service(stage)
    old = await stage.ready_venue(1)
    await settle(1)
    await stage.listener.aclose()
    await old.send(["retire", "maintenance"])
    await settle(1)
    await old.close(1_001, "as announced")
    with trio.fail_after(30):
        await service.ended.wait()
    assert service.error is not None
    assert gaps(stage) == [(BOOK, LOST, True)]
    assert states(stage) == [FeedState.UP, FeedState.RETIRING, FeedState.DOWN]


@pytest.mark.parametrize("changed_hands", [False, True])
async def test_a_successor_that_dies_is_tried_again(autojump_clock, stage, changed_hands):
    """The old connection is whole: nothing is lost with a successor that does not last."""
    service = Service(stage)
    old = await stage.ready_venue(1)
    await settle(1)
    await feed(old, 2, 3)
    await old.send(["retire", "maintenance"])
    new = await stage.venue()
    if changed_hands:  # the book, but not the rest
        await new.send(["snapshot", "BTC/USDT", 3, 3, [[1.0, 3.0]], [[2.0, 1.0]]])
    await settle(0.5)
    await new.vanish()
    await settle(0.5)
    await feed(old, 4, 5)
    if changed_hands:
        assert deltas(stage)[-2:] == [4, 5], "its chain goes on where the new one had come to"
    new = await stage.ready_venue(5)
    await settle(2)
    await feed(new, 6, 7)
    assert not service.ended.is_set()
    assert trades(stage) == list(range(2, 8))
    assert gaps(stage) == []
    assert deltas(stage) == list(range(2, 8))
    assert sockets(stage) == ["opened", "opened", "closed", "opened", "closed"]
    assert stage.keeper.book(stage.btc).valid


@pytest.mark.parametrize("ready", [False, True])
async def test_the_old_one_dies_during_the_handover(autojump_clock, stage, ready):
    service = Service(stage)
    old = await stage.ready_venue(1)
    await settle(1)
    await feed(old, 2, 3)
    await old.send(["retire", "maintenance"])
    new = await (stage.ready_venue(8) if ready else stage.venue())
    await settle()
    await old.vanish()
    await settle(0.5)
    expected = [(BOOK, LOST, True)]
    if ready:
        expected += [(BOOK, LOST, False)]
    else:
        expected += [(TRADE, LOST, True), (TICKER, LOST, True)]
    assert gaps(stage) == expected
    assert states(stage) == [FeedState.UP, FeedState.RETIRING, FeedState.DOWN, FeedState.UP]
    if not ready:
        for channel in ("orderbook", "trade", "ticker"):
            await new.send(["ok", "BTC/USDT", channel])
        await new.send(["snapshot", "BTC/USDT", 8, 8, [[1.0, 8.0]], [[2.0, 1.0]]])
    await settle(2)
    assert stage.keeper.statistics()[0].open_gap is None
    assert [is_open for _, _, is_open in gaps(stage)].count(True) == len(gaps(stage)) / 2
    await feed(new, 9, 10)
    assert deltas(stage) == [2, 3, 9, 10]
    assert not service.ended.is_set()
    assert service.runner.statistics().ready


async def test_a_whole_connection_waits_for_its_successor_however_long(autojump_clock, stage):
    """A snapshot may wait for the rate budget; nothing is given up for it."""
    Service(stage, stage.runner(stage.plan(stall_sec=1e9)))
    old = await stage.ready_venue(1)
    await settle(10)
    await feed(old, 2, 2)
    await old.send(["retire", "maintenance"])
    new = await stage.venue()
    for number in range(3, 24):
        await trio.sleep(30)
        await feed(old, number, number)
    assert states(stage) == [FeedState.UP, FeedState.RETIRING], "it is up when it feeds"
    for channel in ("orderbook", "trade", "ticker"):
        await new.send(["ok", "BTC/USDT", channel])
    await new.send(["snapshot", "BTC/USDT", 23, 23, [[1.0, 23.0]], [[2.0, 1.0]]])
    await settle(1)
    await feed(new, 24, 24)
    assert deltas(stage) == list(range(2, 25))
    assert gaps(stage) == []
    assert sockets(stage) == ["opened", "opened", "closed"]
    assert states(stage)[-1] is FeedState.UP


async def test_old_age_is_a_matter_of_chance_and_one_at_a_time(autojump_clock, stage):
    chance = Random(1)
    turns = trio.CapacityLimiter(1)
    plan = stage.plan(*stage.all_streams, lifetime_sec=1_000.0, stall_sec=1e9, quiet_sec=1e9)
    for _ in range(2):
        Service(stage, stage.runner(plan, random=chance, handovers=turns))
        await stage.ready_venue(1)
    await stage.venue()  # it does not get ready
    first = trio.current_time()
    assert 849 < first < 1_000
    await stage.venue()
    assert trio.current_time() > first + plan_runner.TURN_SEC - 1, "the next one waits, but not for ever"


async def test_who_retires_at_once_is_replaced_at_a_decent_age(autojump_clock, stage):
    Service(stage)
    for _ in range(3):
        server = await stage.ready_venue(1)
        began = trio.current_time()
        await server.send(["retire", "busy"])
    assert began == pytest.approx(2 * plan_runner.MIN_AGE_SEC, abs=1)


async def test_successors_that_fail_are_tried_less_and_less(autojump_clock, stage):
    Service(stage, stage.runner(stage.plan(stall_sec=1e9)))
    old = await stage.ready_venue(1)
    await settle(10)
    await old.send(["retire", "maintenance"])
    came = []
    for _ in range(5):
        new = await stage.venue()
        came.append(trio.current_time())
        await new.vanish()
    pauses = [after - before for before, after in pairwise(came)]
    assert all(after > 1.5 * before for before, after in pairwise(pauses))


async def test_an_end_without_a_successor_is_told_at_once(autojump_clock, stage):
    service = Service(stage)
    old = await stage.ready_venue(1)
    await settle(10)
    await feed(old, 2, 2)
    await old.send(["retire", "maintenance"])
    stream = await stage.listener.accept()  # takes the connection, but shakes no hands
    await old.vanish()
    await settle(1)
    assert gaps(stage) == [(channel, LOST, True) for channel in (BOOK, TRADE, TICKER)]
    assert states(stage)[-1] is FeedState.DOWN
    assert not service.ended.is_set()
    await stream.aclose()


async def test_both_die(autojump_clock, stage):
    service = Service(stage)
    old = await stage.ready_venue(1)
    await settle(1)
    await feed(old, 2, 2)
    await old.send(["retire", "maintenance"])
    new = await stage.venue()
    await settle()
    await old.vanish()
    await new.vanish()
    await service.ended.wait()
    assert isinstance(service.error, ConnectionLost)
    assert all(is_open for _, _, is_open in gaps(stage))
    assert len({channel for channel, _, _ in gaps(stage)}) == len(gaps(stage)) == 3, "each once"


async def test_tickers_change_hands_without_a_step_back(autojump_clock, stage):
    Service(stage)
    old = await stage.ready_venue(1)
    await settle(1)
    await old.send(["retire", "maintenance"])
    new = await stage.venue()
    await old.send(["ticker", "BTC/USDT", 1, 1.0])
    await new.send(["ticker", "BTC/USDT", 2, 2.0])
    await settle()
    for channel in ("orderbook", "trade", "ticker"):
        await new.send(["ok", "BTC/USDT", channel])
    await new.send(["snapshot", "BTC/USDT", 1, 1, [[1.0, 1.0]], [[2.0, 1.0]]])
    await settle(1)
    await new.send(["ticker", "BTC/USDT", 3, 3.0])
    await settle()
    assert [event.last for event in stage.published if isinstance(event, Ticker)] == [1.0, 2.0, 3.0]
    assert len([event for event in stage.published if isinstance(event, BookSnapshot)]) == 1
