"""Every fault of frames and connections, over the wire."""

from __future__ import annotations

import pytest
import trio

from ctcore.sim import FaultKind, FaultPlan


def numbers(frames):
    return [int(frame.split()[1]) for frame in frames]


async def subscribed(venue, topic="books:BTC", target="/ws"):
    client = await venue.connect(target)
    await client.send(topic)
    await client.receive_all(0.35)
    return client


@pytest.mark.parametrize(("kind", "pattern"), [
    ("gap", [1, 2, 3]),
    ("duplicate", [0, 0, 1, 2, 3]),
    ("reorder", [1, 0, 2, 3]),
])
async def test_frames_of_one_connection(venue, autojump_clock, kind, pattern):
    one, two = await subscribed(venue), await subscribed(venue)
    await one.receive_all(0.35)  # between two publishes
    await venue.fault(kind)
    first = venue.server.number + 1
    seen = numbers(await one.receive_all(0.4))
    assert seen == [first + step for step in pattern]
    other = numbers(await two.receive_all(0.01))
    assert other == list(range(other[0], other[0] + len(other)))
    assert other[-1] >= first


async def test_stall(venue, autojump_clock):
    client = await subscribed(venue)
    await client.send("books:ETH")
    await client.receive_all(0.3)
    await venue.fault("stall", symbol="BTC", duration_us=2_000_000)
    during = await client.receive_all(1.95)
    assert {frame.split()[0] for frame in during} == {"books:ETH"}
    after = await client.receive_all(1)
    assert {frame.split()[0] for frame in after} == {"books:ETH", "books:BTC"}


async def test_corrupt(venue, autojump_clock):
    client = await subscribed(venue, "books:" + "B" * 30)
    await venue.fault("corrupt", count=5)
    frames = await client.receive_all(1)
    whole = [frame for frame in frames if frame.startswith("books:" + "B" * 30 + " ")]
    assert len(frames) - len(whole) in range(3, 6)  # a cut number is still a number


async def test_topics_that_are_not_to_be_struck(venue, autojump_clock):
    client = await subscribed(venue, "safe:BTC")
    await venue.fault("gap", count=100)
    seen = numbers(await client.receive_all(1))
    assert seen == list(range(seen[0], seen[0] + 10))
    assert venue.server.faults.struck == 0


async def test_disconnect(venue, autojump_clock):
    client = await subscribed(venue)
    await venue.fault("disconnect")
    await client.receive_all(1)
    assert client.close_code == 1006
    assert await client.receive() is None
    assert venue.server.connections == ()
    assert [strike.kind for strike in venue.server.faults.history] == ["disconnect"]


async def test_disconnect_of_one_symbol(venue, autojump_clock):
    one, two = await subscribed(venue, "books:BTC"), await subscribed(venue, "books:ETH")
    await venue.fault("disconnect", symbol="ETH")
    await two.receive_all(1)
    assert await two.receive() is None
    assert await one.receive_all(1)


async def test_half_open(venue, autojump_clock):
    client = await subscribed(venue)
    await venue.fault("half_open", duration_us=60_000_000)
    await client.receive_all(0.2)
    begin = trio.current_time()
    client.protocol.send_ping(b"anybody")
    await client.flush()
    assert await client.receive() is None
    assert trio.current_time() - begin == pytest.approx(60, abs=1)
    assert client.close_code == 1006
    await trio.sleep(1)
    assert venue.server.connections == ()


async def test_a_half_open_connection_ends_with_its_client(venue, autojump_clock):
    client = await subscribed(venue)
    await venue.fault("half_open")
    await client.receive_all(5)
    assert venue.server.connections[0].half_open
    await client.stream.aclose()
    await trio.sleep(1)
    assert venue.server.connections == ()


async def test_venue_notice(venue, autojump_clock):
    client = await subscribed(venue)
    await venue.fault("venue_notice")
    begin = trio.current_time()
    frames = await client.receive_all(10)
    assert "goodbye" in frames
    assert len(frames) - frames.index("goodbye") > 15  # business as usual until then
    assert client.close_code == 1001
    assert trio.current_time() - begin < 3


async def test_random_faults_leave_a_server_that_works(open_venue, autojump_clock):
    plan = FaultPlan(60.0, seed=5)
    venue = await open_venue(plan=plan)
    tasks = trio.lowlevel.current_statistics().tasks_living

    async def live(number):
        with trio.move_on_after(240):
            while True:
                client = await venue.connect()
                try:
                    with trio.move_on_after(15):
                        await client.send(f"books:{number}")
                        while await client.receive() is not None:
                            pass
                finally:
                    await trio.aclose_forcefully(client.stream)

    async def ask():
        with trio.move_on_after(240):
            while True:
                await venue.http.get("/x")
                await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(live, number)
        nursery.start_soon(ask)
    await venue.http.aclose()
    await trio.sleep(20)
    struck = {strike.kind for strike in venue.server.faults.history}
    assert struck == set(FaultKind)
    assert venue.server.connections == ()
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert venue.server.faults._held == {}
    assert venue.server.faults._stalled == {}
