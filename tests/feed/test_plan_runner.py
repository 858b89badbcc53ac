"""A plan stays connected: gaps when a connection is lost, and what precedes a connection."""

from __future__ import annotations

import httpx
import pytest
import trio
import trio.testing

from ctcore.contracts.driver import HttpRequest
from ctcore.errors import ConnectionLost, RequestRefused, TransportError
from ctcore.feed import plan_runner
from ctcore.model.market import FeedState, Gap, GapReason, Trade
from ctcore.testing.fake_server import FakeServer, closing

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
)


async def test_a_lost_connection_is_a_gap_in_every_stream_until_the_next_one(autojump_clock, stage):
    service = Service(stage)
    server = await stage.ready_venue(1)
    await feed(server, 2, 4)
    assert service.runner.statistics().frames > 9
    await server.close(1_012, "restart")
    await service.ended.wait()
    assert isinstance(service.error, ConnectionLost), "alone, not in a group"
    assert service.error.code == 1_012
    assert service.runner.statistics() is None
    assert gaps(stage) == [(BOOK, LOST, True), (TRADE, LOST, True), (TICKER, LOST, True)]
    begun = [event for event in stage.published if isinstance(event, Gap)]
    assert [gap.begin_us for gap in begun] == [4, 4, 4]
    assert not stage.keeper.book(stage.btc).valid
    assert states(stage) == [FeedState.UP, FeedState.DOWN]
    assert "1012" in stage.statuses[-1].detail

    again = Service(stage, service.runner)
    server = await stage.ready_venue(9)
    await settle(1.1)
    assert stage.keeper.book(stage.btc).valid
    assert sorted(gaps(stage)[3:]) == [(BOOK, LOST, False), (TICKER, LOST, False), (TRADE, LOST, False)]
    await feed(server, 10, 10)
    assert deltas(stage) == [2, 3, 4, 10]
    assert not again.ended.is_set()


async def test_a_stream_ends_its_gap_with_its_first_event(autojump_clock, stage):
    """A book that does not come must not keep the trades' gap open."""
    service = Service(stage)
    server = await stage.ready_venue(1)
    await feed(server, 2, 2)
    await server.vanish()
    await service.ended.wait()
    Service(stage, service.runner)
    server = await stage.venue()
    await server.send(["trade", "BTC/USDT", 7, 77, 1.0, 1.0])
    await settle(5)
    closed = [event for event in stage.published if isinstance(event, Gap) and event.end_us is not None]
    assert [(gap.channel, gap.end_us) for gap in closed] == [(TRADE, 77)]
    assert isinstance(stage.published[-1], Trade)


async def test_what_never_had_an_event_has_no_gap(autojump_clock, stage):
    service = Service(stage)
    server = await stage.venue()
    await settle()
    await server.vanish()
    await service.ended.wait()
    assert stage.published == []


async def test_a_gap_the_connection_opened_itself_is_not_closed_by_its_readiness(autojump_clock, stage):
    Service(stage)
    server = await stage.venue()
    await settle()
    refused = Gap(stage.btc, 1, stage.stamp(), TRADE, GapReason.REFUSED, 1)
    stage.keeper.gap(refused)
    for channel in ("orderbook", "ticker"):
        await server.send(["ok", "BTC/USDT", channel])
    await server.send(["no", "BTC/USDT", "trade"], ["snapshot", "BTC/USDT", 1, 1, [], []])
    await settle(3)
    assert stage.keeper.open_gap(stage.btc, TRADE) is refused


async def test_told_to_close(autojump_clock, stage):
    service = Service(stage)
    server = await stage.ready_venue(1)
    await server.send(["close", "session expired"])
    await service.ended.wait()
    assert str(service.error) == "fake spot 1: session expired"
    assert gaps(stage) == [(BOOK, LOST, True)]


async def test_nobody_answers(autojump_clock, stage):
    await stage.listener.aclose()
    service = Service(stage)
    await service.ended.wait()
    assert isinstance(service.error, TransportError)
    assert stage.statuses == []


async def test_stopped_it_says_goodbye_and_marks_where_data_ends(autojump_clock, stage):
    service = Service(stage)
    server = await stage.ready_venue(1)
    await feed(server, 2, 2)
    service.scope.cancel()
    await service.ended.wait()
    assert service.error is None
    assert closing(await last_frame(server)).code == 1_000
    assert gaps(stage) == [(channel, GapReason.RESTART, True) for channel in (BOOK, TRADE, TICKER)]
    assert states(stage)[-1] is FeedState.DOWN
    assert sockets(stage) == ["opened", "closed"]


async def test_stopped_in_the_middle_of_a_handover(autojump_clock, stage):
    service = Service(stage)
    old = await stage.ready_venue(1)
    await settle(1)
    tasks = trio.lowlevel.current_statistics().tasks_living
    await old.send(["retire", "maintenance"])
    await stage.venue()
    await settle(1)
    service.scope.cancel()
    await service.ended.wait()
    assert service.error is None
    assert sockets(stage).count("opened") == sockets(stage).count("closed") == 2
    assert trio.lowlevel.current_statistics().tasks_living < tasks


async def test_the_url_is_prepared_before_every_connection(autojump_clock, stage):
    urls = ["ws://fake.venue:80/one?token=1", "ws://fake.venue:80/two?token=2"]

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=urls[len(stage.network.requests) - 1])

    stage.network.answer = answer
    prepare = HttpRequest("POST", "http://fake.venue:8080/token", "POST /token")
    stage.driver.preparation = prepare
    Service(stage)
    server = FakeServer(await stage.listener.accept())
    assert (await server.accept()).path == "/one?token=1"
    await server.send(["retire", "token expires"])
    server = FakeServer(await stage.listener.accept())
    assert (await server.accept()).path == "/two?token=2"
    await settle()
    assert not any("token=" in status.detail for status in stage.statuses)


async def test_a_preparation_that_is_refused(autojump_clock, stage):
    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403 if len(stage.network.requests) > 1 else 200, text="ws://fake.venue:80/")

    stage.network.answer = answer
    prepare = HttpRequest("POST", "http://fake.venue:8080/token", "POST /token")
    stage.driver.preparation = prepare
    service = Service(stage)
    server = await stage.ready_venue(1)
    await server.send(["retire", "token expires"])
    await settle(20)
    await feed(server, 2, 2)
    assert deltas(stage) == [2], "the old one is not given up for want of a new one"
    await server.vanish()
    await service.ended.wait()
    assert isinstance(service.error, RequestRefused | ConnectionLost)
    refused = Service(stage, service.runner)
    await refused.ended.wait()
    assert isinstance(refused.error, RequestRefused)


async def test_new_sockets_are_paced(autojump_clock, stage):
    opened = []
    runners = [stage.runner(connects_per_sec=1)]
    parts = runners[0]._parts
    runners += [plan_runner.PlanRunner(stage.plan(), stage.catalogue, parts) for _ in range(2)]
    for runner in runners:
        Service(stage, runner)
    for _ in runners:
        await stage.venue()
        opened.append(trio.current_time())
    assert [round(moment - opened[0], 1) for moment in opened] == [0.0, 1.0, 2.0]


async def test_a_crash_is_told_as_what_it_is(autojump_clock, stage):
    runner = stage.runner()
    ended = trio.Event()

    async def run() -> None:
        with pytest.raises(BaseExceptionGroup):
            await runner.run()
        ended.set()

    stage.nursery.start_soon(run)
    server = await stage.ready_venue(1)
    await feed(server, 2, 2)
    stage.driver.sessions[0].tick = lambda _: 1 // 0
    await ended.wait()
    assert gaps(stage) == [(channel, LOST, True) for channel in (BOOK, TRADE, TICKER)]
    assert stage.statuses[-1].state is FeedState.DOWN
    assert "ZeroDivisionError" in stage.statuses[-1].detail


async def test_started_is_connected(autojump_clock, stage):
    started = trio.Event()

    class Told:
        def started(self) -> None:
            started.set()

    async def run() -> None:
        await stage.runner().run(task_status=Told())

    stage.nursery.start_soon(run)
    await settle(1)
    assert not started.is_set()
    await stage.ready_venue(1)
    await settle()
    assert started.is_set()


async def test_a_refused_stream_stays_open_over_reconnects(autojump_clock, stage):
    service = Service(stage)
    for _ in range(2):
        server = await stage.venue()
        await settle()
        now_us = stage.stamp()
        stage.keeper.accept(Gap(stage.btc, now_us, now_us, TRADE, GapReason.REFUSED, now_us))
        for channel in ("orderbook", "ticker"):
            await server.send(["ok", "BTC/USDT", channel])
        await server.send(["no", "BTC/USDT", "trade"], ["snapshot", "BTC/USDT", 1, 1, [], []])
        await settle(3)
        assert stage.keeper.open_gap(stage.btc, TRADE) is not None
        await server.vanish()
        await service.ended.wait()
        service = Service(stage, service.runner)
    server = await stage.ready_venue(1)
    await settle(3)
    assert stage.keeper.open_gap(stage.btc, TRADE) is None, "and ends when it is granted"


async def test_a_book_that_does_not_come_keeps_no_other_gap_open(autojump_clock, stage):
    service = Service(stage)
    server = await stage.ready_venue(1)
    await feed(server, 2, 2)
    await server.vanish()
    await service.ended.wait()
    Service(stage, service.runner)
    server = await stage.venue()
    for channel in ("orderbook", "trade", "ticker"):
        await server.send(["ok", "BTC/USDT", channel])
    await settle(3)
    assert stage.keeper.open_gap(stage.btc, TRADE) is None
    assert stage.keeper.open_gap(stage.btc, BOOK) is not None
