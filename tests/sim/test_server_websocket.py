"""WebSockets of a simulated venue: subscriptions, heartbeats, limits, and an end for every task."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import pytest
import trio

from ctcore.model.ids import Market
from ctcore.sim import ConnectionRules, SimClock
from ctcore.testing.memory_network import MemoryNetwork

from .acme import Acme


async def test_frames_reach_the_subscribers(venue, autojump_clock):
    one, two = await venue.connect("/ws?name=one"), await venue.connect()
    assert (one.greeting, two.greeting) == ("hello one", "hello you")
    await one.send("books:BTC")
    frames = await one.receive_all(1.05)
    assert [frame.split()[0] for frame in frames] == ["books:BTC"] * len(frames)
    numbers = [int(frame.split()[1]) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    assert await two.receive_all(1) == []
    await one.send("-books:BTC")
    await one.receive_all(1)
    assert await one.receive_all(1) == []
    assert venue.server.topics == ()


async def test_a_wrong_path_is_404(venue, autojump_clock):
    response = await venue.connect("/elsewhere")
    assert response.status_code == 404


async def test_the_closing_handshake(venue, autojump_clock):
    client = await venue.connect()
    await client.send("books:BTC")
    await client.close()
    with trio.fail_after(5):
        while await client.receive() is not None:
            pass
    assert client.close_code == 1000
    assert venue.server.connections == ()
    assert venue.server.gone == [1]
    assert venue.server.topics == ()


async def test_a_client_that_vanishes_is_forgotten(venue, autojump_clock):
    client = await venue.connect()
    await client.send("books:BTC")
    await trio.sleep(0.5)
    assert len(venue.server.connections) == 1
    await client.stream.aclose()
    await trio.sleep(0.5)
    assert venue.server.connections == ()
    assert venue.server.topics == ()


async def test_messages_of_all_forms(venue, autojump_clock):
    client = await venue.connect()
    await client.send(b"binary")
    assert await client.receive() == b"binary"
    client.protocol.send_text(b"x" * 600, fin=False)
    client.protocol.send_continuation(b"y" * 600, fin=True)
    await client.flush()
    assert await client.receive() == "x" * 600 + "y" * 600
    client.protocol.send_ping(b"are you there")
    await client.flush()
    await client.receive_all(1)
    assert venue.server.statistics().messages_received == 2


@pytest.mark.parametrize(("send", "code"), [
    (lambda protocol: protocol.send_text(b"refuse me"), 1008),
    (lambda protocol: protocol.send_text(b"\xff\xfe"), 1007),
    (lambda protocol: protocol.send_text(b"x" * (1 << 20) + b"x"), 1009),
    (lambda protocol: protocol.writes.append(b"\xff" * 20), 1002),
])
async def test_what_ends_a_connection(venue, autojump_clock, send, code):
    client = await venue.connect()
    send(client.protocol)
    with suppress(trio.BrokenResourceError):  # the server need not read to the end
        await client.flush()
    with trio.fail_after(60), suppress(trio.BrokenResourceError):
        assert await client.receive() is None
    assert client.close_code == code
    await trio.sleep(11)
    assert venue.server.connections == ()


async def test_server_pings_and_expects_pongs(open_venue, autojump_clock):
    class Pinging(Acme):
        rules: ClassVar[ConnectionRules] = ConnectionRules(ping_interval_sec=20.0, pong_timeout_sec=60.0)

    venue = await open_venue(Pinging)
    good, silent = await venue.connect(), await venue.connect()
    silent.answers_pings = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(good.receive_all, 205)
        begin = trio.current_time()
        assert await silent.receive() is None
        assert trio.current_time() - begin == pytest.approx(80, abs=1)
    assert silent.close_code == 1008
    assert good.pings == 10
    assert len(venue.server.connections) == 1


async def test_idle_and_old_connections_are_closed(open_venue, autojump_clock):
    class Strict(Acme):
        rules: ClassVar[ConnectionRules] = ConnectionRules(
            ping_interval_sec=None, idle_timeout_sec=30.0, lifetime_sec=100.0
        )

    venue = await open_venue(Strict)
    idle, busy = await venue.connect(), await venue.connect()
    ends: dict[str, tuple[int, int]] = {}

    async def read(name, client):
        while await client.receive() is not None:
            pass
        ends[name] = (round(trio.current_time() - begin), client.close_code)

    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, "idle", idle)
        nursery.start_soon(read, "busy", busy)
        for _ in range(9):
            await trio.sleep(10)
            await busy.send("safe")
    assert ends == {"idle": (30, 4004), "busy": (100, 1001)}


async def test_a_slow_reader_is_cut_off(open_venue, autojump_clock):
    class Narrow(Acme):
        rules: ClassVar[ConnectionRules] = ConnectionRules(ping_interval_sec=None, queue_frames=50)

        def publish(self, now_us):
            for topic in self.topics:
                self.broadcast(topic, "x" * 10_000)

    venue = await open_venue(Narrow)
    slow, quick = await venue.connect(), await venue.connect()
    await slow.send("books:BTC")
    await quick.send("books:BTC")
    assert len(await quick.receive_all(15)) > 100
    assert [connection.number for connection in venue.server.connections] == [2]
    assert venue.server.statistics().frames_dropped > 0


async def test_a_reader_that_stops_altogether_is_cut_off_in_time(open_venue, autojump_clock):
    class Loud(Acme):
        def publish(self, now_us):
            for topic in self.topics:
                self.broadcast(topic, "x" * 50_000)

    venue = await open_venue(Loud)
    client = await venue.connect()
    await client.send("books:BTC")
    await trio.sleep(40)
    assert venue.server.connections == ()


async def test_a_cancelled_server_leaves_nothing(make_market, start_us, autojump_clock):
    network = MemoryNetwork()
    server = Acme({Market.SPOT: make_market()}, SimClock(1.0, start_us))
    tasks = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run, [network.listen("acme", 80)])
        streams = [await network.connect("acme", 80) for _ in range(5)]
        await streams[0].send_all(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await trio.sleep(1)
        assert len(server.connections) == 1
        nursery.cancel_scope.cancel()
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert server.connections == ()
    for stream in streams[1:]:
        assert await stream.receive_some() == b""
    await network.listen("acme", 80).aclose()


async def test_tasks_end_with_their_connections(venue, autojump_clock):
    await trio.sleep(1)
    tasks = trio.lowlevel.current_statistics().tasks_living
    clients = [await venue.connect() for _ in range(20)]
    for client in clients:
        await client.send("books:BTC")
    await trio.sleep(1)
    assert trio.lowlevel.current_statistics().tasks_living > tasks + 20
    for number, client in enumerate(clients):
        if number % 2:
            await client.stream.aclose()
        else:
            await client.close()
            await client.receive_all(5)
    await trio.sleep(15)
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert venue.server.statistics().connections_total == 20


async def test_high_speed_publishes_more_coarsely(open_venue, autojump_clock):
    venue = await open_venue(speed=200.0)
    await trio.sleep(1)
    statistics = venue.server.statistics()
    assert 300 < statistics.publishes < 600
    assert statistics.skipped_us == 0
    assert venue.server.markets["spot"].now_us - venue.server.clock.start_us > 198_000_000
