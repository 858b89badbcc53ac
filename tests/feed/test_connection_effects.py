"""What sessions want done is done, in order and bounded; their mistakes are not hidden."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from ctcore.contracts.driver import Close, HttpRequest, Retire, Send
from ctcore.errors import DecodeError, RateLimited, TransportError
from ctcore.feed import connection as connection_module
from ctcore.model.ids import Channel
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason
from ctcore.testing.fake_server import FakeServer
from ctcore.testing.fakes import FakeSession

from .running import Scripted, fetch, settle, start


async def test_close_ends_it_and_what_was_said_before_is_done(autojump_clock, stage):
    running = await start(stage, session=Scripted([Send("first"), Close("told to"), Send("never")]))
    await running.ended.wait()
    assert str(running.error) == "fake spot 1: told to"
    assert running.connection.statistics().outbox == 1


async def test_retire_asks_for_a_successor_and_nothing_else(autojump_clock, stage):
    effects = [Retire("maintenance"), Retire("again"), Send("still here")]
    running = await start(stage, session=Scripted(effects))
    await running.connection.retiring.wait()
    assert running.connection.retire_reason == "maintenance"
    assert await running.server.receive() == b"still here"
    assert not running.ended.is_set()


async def test_old_age_asks_for_a_successor(autojump_clock, stage):
    began = trio.current_time()
    running = await start(stage, stage.plan(*stage.all_streams, lifetime_sec=7200.0, stall_sec=1e9))
    await running.connection.retiring.wait()
    assert trio.current_time() - began == pytest.approx(7200, abs=1.1)
    assert running.connection.retire_reason == "2.0 h old"


async def test_the_outbox_is_bounded(autojump_clock, stage, monkeypatch):
    monkeypatch.setattr(connection_module, "OUTBOX_FRAMES", 3)
    running = await start(stage, session=Scripted([Send("x")] * 4))
    await running.ended.wait()
    assert "3 frames wait to be sent" in str(running.error)


async def test_answers_come_back_after_their_delay(autojump_clock, stage):
    session = Scripted([fetch("/late", delay_sec=4.0), fetch("/now")])
    running = await start(stage, session=session, tapped=True)
    began = trio.current_time()
    await settle()
    assert [request.url.path for request in stage.network.requests] == ["/now"]
    assert running.connection.statistics().fetching == 1
    await trio.sleep(4.1)
    assert [getattr(answer, "body", answer) for answer in session.answers] == [b"fine", b"fine"]
    assert trio.current_time() - began == pytest.approx(4.1, abs=0.01)
    assert running.connection.statistics().fetching == 0
    assert stage.notes.of("answered") == [b"fine", b"fine"]


async def test_calls_that_fail_are_told_to_the_session(autojump_clock, stage):
    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/slow":
            await trio.sleep(100)
        if request.url.path == "/down":
            raise httpx.ConnectError("refused")
        if request.url.path == "/busy":
            return httpx.Response(429, headers={"retry-after": "2"})
        return httpx.Response(200, text="junk")

    stage.network.answer = answer
    paths = ["/slow", "/down", "/junk", "/busy"]
    session = Scripted([fetch(path, timeout_sec=3.0) for path in paths])
    running = await start(stage, session=session)
    await trio.sleep(5)
    texts = sorted(str(error) for error in session.answers)
    assert texts == [
        "/junk: junk", "GET /down: refused", "GET /slow: no answer within 3 s", "fake: too many requests",
    ]  # fmt: skip
    assert len(stage.notes.of("fetch_failed")) == 3
    assert stage.notes.of("undecodable") == ["answer"]
    assert not running.ended.is_set()


async def test_a_connection_that_ends_takes_its_calls_with_it(autojump_clock, stage):
    async def answer(request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    stage.network.answer = answer
    session = Scripted([fetch(timeout_sec=1e6), fetch(delay_sec=1e6)])
    running = await start(stage, session=session)
    await settle()
    await running.server.vanish()
    await running.ended.wait()
    assert running.connection.statistics().fetching == 0
    assert session.answers == []


async def test_frames_are_inflated_by_the_plans_codec(autojump_clock, stage):
    running = await start(stage, stage.plan(*stage.all_streams, codec="gzip"), tapped=True)
    whole = gzip.compress(b'["trade","BTC/USDT",1,1,1.0,1.0]')
    await running.server.send(whole[:-9], b"junk", whole)
    await settle()
    assert [event.trade_id for event in stage.published] == ["1"]
    assert running.connection.statistics().decode_errors == {"compression": 1, "fake": 1}
    assert stage.notes.of("received")[-1] == whole, "recorded as it was on the wire"


async def test_a_mistake_in_a_session_is_not_hidden(autojump_clock, stage):
    """Only what the venue does wrong is survived; a bug goes up to the supervisor."""

    class Buggy(Scripted):
        def received(self, frame: bytes, now_us: int) -> Any:
            raise KeyError("bug")

    connection = stage.connection(session=Buggy([]))

    async def venue() -> None:
        server: FakeServer = await stage.venue()
        await server.send("anything")

    stage.nursery.start_soon(venue)
    await connection.connect()
    with pytest.raises(BaseExceptionGroup) as caught:
        await connection.run()
    assert caught.group_contains(KeyError)
    assert stage.notes.of("closed")


async def test_a_session_that_answers_lazily_works_as_well(autojump_clock, stage):
    """Effects may come from a generator, which may fail half way."""

    class Lazy(FakeSession):
        def received(self, frame: bytes, now_us: int) -> Any:
            yield from super().received(frame, now_us)
            yield from super().received(b"junk", now_us)

    plan = stage.plan()
    running = await start(stage, plan, session=Lazy(plan, stage.driver.rule))
    await running.server.send(["trade", "BTC/USDT", 1, 1, 1.0, 1.0], ["trade", "BTC/USDT", 2, 2, 1.0, 1.0])
    await settle()
    assert [event.trade_id for event in stage.published] == ["1", "2"]
    assert running.connection.statistics().decode_errors == {"fake": 2}


async def test_resync_from_outside(autojump_clock, stage):
    connection = stage.connection()
    connection.resync(stage.btc, GapReason.HANDOVER)
    assert stage.published == [], "not running: nobody could ask"
    running = await start(stage)
    await running.server.send(["snapshot", "BTC/USDT", 1, 1, [], []], ["delta", "BTC/USDT", 1, 2, 2, [], []])
    await settle()
    running.connection.resync(stage.btc, GapReason.HANDOVER)
    assert [type(event) for event in stage.published] == [BookSnapshot, BookDelta, Gap]


async def test_an_answer_that_parks_the_budget(autojump_clock, stage):
    async def answer(request: httpx.Request) -> httpx.Response:
        status = 429 if len(stage.network.requests) == 1 else 200
        return httpx.Response(status, headers={"retry-after": "7", "X-Used": "90"}, text="ok")

    stage.network.answer = answer
    request = HttpRequest("GET", "http://fake.venue:8080/x", "GET /x", cost={"weight": 10})
    with pytest.raises(RateLimited):
        await stage.rest.perform(request)
    began = trio.current_time()
    assert stage.budget.statistics().buckets[0].used == 90
    response = await stage.rest.perform(request)
    assert trio.current_time() - began == pytest.approx(7, abs=0.01)
    assert response.headers["x-used"] == "90", "names in lower case"
    with pytest.raises(TransportError, match="GET /bad"):
        await stage.rest.perform(HttpRequest("GET", "http://[::1", "GET /bad"))


async def test_urgent_frames_overtake_the_paced_ones(autojump_clock, stage):
    session = Scripted([Send("1"), Send("2"), Send("3"), Send("pong", urgent=True)])
    running = await start(stage, stage.plan(send_interval_sec=5.0), session=session)
    began = trio.current_time()
    assert [await running.server.receive() for _ in range(3)] == [b"pong", b"1", b"2"]
    running.connection._act(Send("again", urgent=True))
    assert await running.server.receive() == b"again"
    assert trio.current_time() - began == pytest.approx(5, abs=0.1)
    assert await running.server.receive() == b"3"
    assert trio.current_time() - began == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("channel", [Channel.TRADE, Channel.ORDERBOOK, None])
async def test_a_frame_that_cannot_be_read_is_a_gap_of_its_stream(autojump_clock, stage, channel):
    class Picky(FakeSession):
        def received(self, frame: bytes, now_us: int) -> Any:
            if frame == b"junk":
                raise DecodeError("junk", instrument=stage.btc, channel=channel)
            return super().received(frame, now_us)

    plan = stage.plan()
    session = Picky(plan, stage.driver.rule)
    running = await start(stage, plan, session=session, interrupted=stage.keeper.interrupted)
    trades = [["trade", "BTC/USDT", number, number, 1.0, 1.0] for number in (1, 3)]
    await running.server.send(trades[0], b"junk", trades[1])
    await settle()
    gaps = [event for event in stage.published if isinstance(event, Gap)]
    told = [(gap.channel, gap.reason, gap.begin_us, gap.end_us) for gap in gaps]
    reason = GapReason.DECODE
    assert told == ([(channel, reason, 1, None), (channel, reason, 1, 3)] if channel is Channel.TRADE else [])


async def test_what_ends_a_connection_is_raised_in_its_own_task(autojump_clock, stage):
    running = await start(stage)
    await settle()
    running.connection.session.resync = lambda *_: (Close("no more requests"),)
    running.connection.resync(stage.btc, GapReason.HANDOVER)
    await running.ended.wait()
    assert str(running.error) == "fake spot 1: no more requests"
