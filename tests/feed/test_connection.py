"""One connection: effects performed in order, bad frames survived, dead sockets found, nothing left over."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio
import trio.testing
from websockets.frames import Opcode

from ctcore.contracts.driver import Send
from ctcore.errors import ConnectionLost, TransportError
from ctcore.model.ids import Channel, Subscription
from ctcore.model.market import BookSnapshot, Gap, GapReason, Trade
from ctcore.testing.fake_server import closing

from .running import Scripted, settle, start


async def test_events_of_many_frames_are_published_in_order(autojump_clock, stage):
    running = await start(stage)
    trades = [["trade", "BTC/USDT", number, number + 1, 1.0, 1.0] for number in range(200)]
    await running.server.send(["snapshot", "BTC/USDT", 7, 5, [[1.0, 1.0]], []], *trades)
    await settle()
    assert [type(event) for event in stage.published] == [BookSnapshot] + [Trade] * 200
    assert [event.trade_id for event in stage.published[1:]] == [str(number) for number in range(200)]
    times = [event.received_us for event in stage.published]
    assert all(a < b for a, b in itertools.pairwise(times)), "no two frames share a time"
    assert running.connection.statistics().frames == 201


async def test_frames_are_sent_in_order_and_paced(autojump_clock, stage):
    plan = stage.plan(*stage.all_streams, send_interval_sec=0.25)
    running = await start(stage, plan)
    sent_at = []
    for subscription in stage.all_streams:
        expected = f'["subscribe","BTC/USDT","{subscription.channel}"]'.encode()
        assert await running.server.receive() == expected
        sent_at.append(trio.current_time())
    assert [round(b - a, 2) for a, b in itertools.pairwise(sent_at)] == [0.25, 0.25]


async def test_a_frame_that_cannot_be_read_is_counted_and_life_goes_on(autojump_clock, stage):
    running = await start(stage, tapped=True)
    good = ["trade", "BTC/USDT", 1, 1, 1.0, 1.0]
    junk = ["not json", b"\xff\xfe", '["trade","BTC/USDT"]', '{"a":1}', "[", '["snapshot","X",1,1,[],[]]']
    await running.server.send(*junk, good)
    await settle()
    assert [event.trade_id for event in stage.published] == ["1"]
    assert running.connection.statistics().decode_errors == {"fake": 6}
    assert stage.notes.of("undecodable") == ["fake"] * 6
    assert len(stage.notes.of("received")) == 7, "the recorder sees bad frames too"
    assert not running.ended.is_set()


async def test_levels_no_book_can_hold_cost_one_gap_not_the_connection(autojump_clock, stage):
    running = await start(stage)
    book = ["snapshot", "BTC/USDT", 1, 1, [[1.0, 1.0]], [[2.0, 1.0]]]
    await running.server.send(
        book,
        ["delta", "BTC/USDT", 1, 2, 2, [[1.5, -4.0]], []],
        ["delta", "BTC/USDT", 2, 3, 3, [[1.6, 1.0]], []],
        ["trade", "BTC/USDT", 1, 1, 1.0, 1.0],
    )
    await settle()
    assert [type(event) for event in stage.published] == [BookSnapshot, Gap, Trade]
    assert not stage.keeper.book(stage.btc).valid
    await running.server.send(["snapshot", "BTC/USDT", 9, 9, [[1.0, 1.0]], []])
    await settle()
    assert stage.keeper.book(stage.btc).valid
    assert stage.keeper.book(stage.btc).bids() == [(1.0, 1.0)]


async def test_a_crossed_book_is_resynced_and_nothing_of_it_published(autojump_clock, stage):
    running = await start(stage)
    for _ in stage.all_streams:
        await running.server.receive()
    await running.server.send(
        ["snapshot", "BTC/USDT", 1, 1, [[1.0, 1.0]], [[2.0, 1.0]]],
        ["delta", "BTC/USDT", 1, 2, 2, [[2.5, 1.0]], []],
        ["delta", "BTC/USDT", 2, 3, 3, [[2.5, 0.0]], []],
    )
    assert await running.server.receive() == b'["subscribe","BTC/USDT","orderbook"]'
    (snapshot, gap) = stage.published
    assert isinstance(snapshot, BookSnapshot)
    assert (gap.reason, gap.end_us) == (GapReason.CROSSED, None)
    assert not stage.keeper.book(stage.btc).valid
    await running.server.send(["snapshot", "BTC/USDT", 9, 9, [[1.0, 1.0]], [[2.0, 1.0]]])
    await settle()
    assert [type(event) for event in stage.published[2:]] == [BookSnapshot, Gap]
    assert stage.published[-1].end_us == 9


async def test_a_crossed_snapshot_leaves_the_gap_open(autojump_clock, stage):
    """The session believes it has closed the gap; the book says otherwise."""
    running = await start(stage)
    await running.server.send(
        ["snapshot", "BTC/USDT", 1, 1, [[1.0, 1.0]], [[2.0, 1.0]]],
        ["delta", "BTC/USDT", 5, 6, 2, [], []],
        ["snapshot", "BTC/USDT", 9, 9, [[3.0, 1.0]], [[2.0, 1.0]]],
    )
    await settle()
    gaps = [event for event in stage.published if isinstance(event, Gap)]
    assert [gap.end_us for gap in gaps] == [None]
    assert not stage.keeper.book(stage.btc).valid
    assert stage.keeper.picture(stage.btc, stage.stamp()) is None


async def test_a_half_open_socket_is_pinged_and_given_up(autojump_clock, stage):
    running = await start(stage, stage.plan(*stage.all_streams, stall_sec=20.0))
    began = trio.current_time()
    for _ in stage.all_streams:
        await running.server.receive()
    frame = await running.server.stream.receive_some()  # never answered
    assert frame[0] == 0x80 | Opcode.PING
    assert trio.current_time() - began == pytest.approx(10, abs=1.1)
    await running.ended.wait()
    assert trio.current_time() - began == pytest.approx(20, abs=1.1)
    assert str(running.error) == "fake spot 1: nothing received for 20 s"


async def test_a_quiet_venue_that_answers_pings_stays(autojump_clock, stage):
    running = await start(stage, stage.plan(*stage.all_streams, stall_sec=20.0))
    with trio.move_on_after(200):
        await running.server.receive()
        while True:
            await running.server.receive()  # the protocol answers pings
    assert not running.ended.is_set()


async def test_a_venue_that_reads_nothing_is_given_up(autojump_clock, stage):
    """The watch does not starve behind a send that never ends."""
    streams = [Subscription(stage.btc, Channel.CANDLE, interval=str(number) * 900) for number in range(9)]
    session = Scripted([Send("x" * 60_000)] * 3)
    running = await start(stage, stage.plan(*streams, stall_sec=20.0), session=session)
    began = trio.current_time()
    await running.ended.wait()
    assert trio.current_time() - began < 31
    assert running.error is not None


async def test_the_session_is_ticked_once_a_second_and_tells_when_it_is_ready(autojump_clock, stage):
    running = await start(stage)
    session = stage.driver.sessions[0]
    await trio.sleep(5.5)
    assert session.ticks == 5
    assert not running.connection.became_ready.is_set()
    for channel in ("orderbook", "trade", "ticker"):
        await running.server.send(["ok", "BTC/USDT", channel])
    await running.server.send(["snapshot", "BTC/USDT", 1, 1, [], []])
    await trio.sleep(1)
    assert running.connection.became_ready.is_set()
    assert running.connection.statistics().ready


@pytest.mark.parametrize(("how", "code", "text"), [
    ("close", 1_012, "closed by the venue with code 1012 (restart)"),
    ("vanish", 1_006, ""),
])
async def test_a_lost_connection_tells_why_and_leaves_nothing(autojump_clock, stage, how, code, text):
    running = await start(stage)
    tasks = stage_tasks(stage)
    if how == "close":
        await running.server.close(1_012, "restart")
    else:
        await running.server.vanish()
    await running.ended.wait()
    assert isinstance(running.error, ConnectionLost)
    assert running.error.code == code
    assert text in str(running.error)
    assert stage_tasks(stage) == tasks - 1
    assert [kind for kind, _ in stage.notes.lines if kind in ("opened", "closed")] == ["opened", "closed"]


def stage_tasks(stage: Any) -> int:
    return len(stage.nursery.child_tasks)


async def test_messages_before_the_close_are_published(autojump_clock, stage):
    running = await start(stage)
    server = running.server
    server.protocol.send_text(b'["trade","BTC/USDT",1,1,1.0,1.0]')
    server.protocol.send_close(1_000)
    await server.flush()
    await running.ended.wait()
    assert [event.trade_id for event in stage.published] == ["1"]


async def test_cancelled_it_says_goodbye(autojump_clock, stage):
    running = await start(stage)
    for _ in stage.all_streams:
        await running.server.receive()
    running.scope.cancel()
    assert closing(await running.server.frame()).code == 1_000
    await running.ended.wait()
    assert running.error is None
    assert running.ended_at - trio.current_time() < 1


async def test_cancelled_while_losing_the_connection_it_is_cancelled(autojump_clock, stage):
    """Both at once: the cancellation must not come out as an error in a group."""
    running = await start(stage)
    await settle()
    running.server.protocol.send_close(1_001)
    await running.server.flush()
    running.scope.cancel()
    await running.ended.wait()
    assert running.scope.cancelled_caught


async def test_running_without_connecting_is_a_mistake(stage):
    with pytest.raises(ConnectionLost, match="not connected"):
        await stage.connection().run()


async def test_connecting_where_nobody_is(autojump_clock, stage):
    with pytest.raises(TransportError, match="nobody listens"):
        await stage.connection(stage.plan(url="ws://elsewhere/")).connect()
    assert stage.notes.lines == []
