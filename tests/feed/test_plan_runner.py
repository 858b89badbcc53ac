"""A plan stays connected: gaps when a connection is lost, an unbroken stream when it is replaced in time."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
import trio.testing

from ctcore.contracts.driver import HttpRequest
from ctcore.errors import ConnectionLost, RequestRefused, TransportError
from ctcore.feed import plan_runner
from ctcore.model.ids import Channel
from ctcore.model.market import BookDelta, BookSnapshot, FeedState, Gap, GapReason, Ticker, Trade
from ctcore.testing.fake_server import FakeServer, closing

LIFETIME_SEC = 3_600.0


class Service:
    """A runner in a task of its own, and how it ended."""

    def __init__(self, stage: Any, runner: Any = None) -> None:
        self.stage = stage
        self.runner = runner or stage.runner()
        self.error: BaseException | None = None
        self.ended = trio.Event()
        self.scope = trio.CancelScope()
        stage.nursery.start_soon(self._run)

    async def _run(self) -> None:
        with self.scope:
            try:
                await self.runner.run()
            except (TransportError, RequestRefused) as error:
                self.error = error
        self.ended.set()


async def settle(seconds: float = 0.0) -> None:
    await trio.sleep(seconds)
    for _ in range(5):
        await trio.testing.wait_all_tasks_blocked()


async def feed(server: FakeServer, first: int, last: int) -> None:
    """Deltas, trades and tickers numbered ``first`` to ``last``, each delta one message."""
    for number in range(first, last + 1):
        await server.send(
            ["delta", "BTC/USDT", number - 1, number, number, [[1.0, float(number)]], []],
            ["trade", "BTC/USDT", number, number, 1.0, 1.0],
            ["ticker", "BTC/USDT", number, float(number)],
        )
    await settle()


def states(stage: Any) -> list[FeedState]:
    return [status.state for status in stage.statuses]


def gaps(stage: Any) -> list[tuple[Channel, GapReason, bool]]:
    found = [event for event in stage.published if isinstance(event, Gap)]
    return [(gap.channel, gap.reason, gap.end_us is None) for gap in found]


def deltas(stage: Any) -> list[int]:
    return [event.seq for event in stage.published if isinstance(event, BookDelta)]


def trades(stage: Any) -> list[int]:
    return [int(event.trade_id) for event in stage.published if isinstance(event, Trade)]


def sockets(stage: Any) -> list[str]:
    return [kind for kind, _ in stage.notes.lines if kind in ("opened", "closed")]


BOOK, TRADE, TICKER = Channel.ORDERBOOK, Channel.TRADE, Channel.TICKER
LOST = GapReason.DISCONNECT


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


async def test_the_successor_is_open_before_the_old_one_closes(autojump_clock, stage):
    plan = stage.plan(*stage.all_streams, lifetime_sec=LIFETIME_SEC, stall_sec=1e9, quiet_sec=1e9)
    service = Service(stage, stage.runner(plan))
    old = await stage.ready_venue(1)
    await feed(old, 2, 5)
    await trio.sleep(LIFETIME_SEC)
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


async def last_frame(server: FakeServer) -> Any:
    frame = None
    while True:
        try:
            frame = await server.frame()
        except EOFError:
            return frame


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
        await old.send(["snapshot", "BTC/USDT", 5, 5, [[1.0, 5.0]], [[2.0, 1.0]]])
    new = await stage.ready_venue(5)
    await settle(2)
    await feed(new, 6, 7)
    assert not service.ended.is_set()
    assert trades(stage) == list(range(2, 8))
    if changed_hands:
        assert gaps(stage) == [(BOOK, GapReason.HANDOVER, True), (BOOK, GapReason.HANDOVER, False)]
    else:
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
    expected = [(BOOK, GapReason.HANDOVER, True)]
    if ready:
        expected += [(BOOK, GapReason.HANDOVER, False)]
    else:
        expected += [(TRADE, LOST, True), (TICKER, LOST, True)]
    assert gaps(stage) == expected
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


async def test_a_handover_that_takes_too_long_is_forced(autojump_clock, stage):
    service = Service(stage, stage.runner(stage.plan(stall_sec=1e9)))
    old = await stage.ready_venue(1)
    await settle(1)
    await feed(old, 2, 2)
    await old.send(["retire", "maintenance"])
    await stage.venue()
    began = trio.current_time()
    for number in range(3, 12):
        await trio.sleep(6)
        await feed(old, number, number)
    await settle(plan_runner.HANDOVER_SEC - (trio.current_time() - began) + 1)
    assert deltas(stage) == list(range(2, 12))
    assert gaps(stage) == [(channel, GapReason.HANDOVER, True) for channel in (BOOK, TRADE, TICKER)]
    assert sockets(stage) == ["opened", "opened", "closed"]
    assert not service.ended.is_set()


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
    Service(stage, stage.runner(stage.plan(*stage.all_streams, prepare=prepare)))
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
    service = Service(stage, stage.runner(stage.plan(*stage.all_streams, prepare=prepare)))
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
    assert [event.last for event in stage.published if isinstance(event, Ticker)] == [1.0, 3.0]
    assert len([event for event in stage.published if isinstance(event, BookSnapshot)]) == 1
