"""The WebSocket client against the library's own server side, over streams in memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
import trio
from websockets.frames import Opcode

from ctcore.errors import ConfigError, ConnectionLost, TransportError
from ctcore.testing.fake_server import FakeServer, closing
from ctcore.testing.memory_network import MemoryNetwork
from ctcore.wire import websocket
from ctcore.wire.websocket import WebSocket

from .pieces import (
    CLOSE,
    PING,
    TEXT,
    frames,
    until_lost,
)

URL = "ws://venue:80/ws?token=secret"


class Link:
    """A network of one venue; ``open`` connects and lets ``script`` be the venue in a task of its own."""

    def __init__(self, nursery: trio.Nursery, *, buffer_bytes: int = 65_536) -> None:
        self.network = MemoryNetwork(buffer_bytes=buffer_bytes)
        self.listener = self.network.listen("venue", 80)
        self.nursery = nursery
        self.server: Any = None

    async def serve(self, script: Callable[[FakeServer], Any]) -> None:
        self.server = FakeServer(await self.listener.accept())
        await script(self.server)

    async def open(self, **accept: Any) -> WebSocket:
        async def script(server: FakeServer) -> None:
            await server.accept(**accept)

        self.nursery.start_soon(self.serve, script)
        return await websocket.connect(self.network, URL, headers={"X-Key": "k"})


@pytest.fixture
async def link():
    async with trio.open_nursery() as nursery:
        yield Link(nursery)
        nursery.cancel_scope.cancel()


# --- the handshake ------------------------------------------------------------------------------------------


async def test_the_handshake_carries_headers_and_the_query(autojump_clock, link):
    requests: list[Any] = []

    async def script(server: FakeServer) -> None:
        requests.append(await server.accept())

    link.nursery.start_soon(link.serve, script)
    socket = await websocket.connect(link.network, URL, headers={"X-Key": "k"})
    (request,) = requests
    assert request.path == "/ws?token=secret"
    assert request.headers["X-Key"] == "k"
    assert socket.name == "venue:80/ws", "no secrets in names"


@pytest.mark.parametrize("status", [403, 404, 429, 503])
async def test_a_refusal_tells_the_status(autojump_clock, link, status):
    link.nursery.start_soon(link.serve, lambda server: server.accept(refuse=status, text="go away"))
    with pytest.raises(TransportError, match=f"venue:80/ws: WebSocket refused: .*{status}"):
        await websocket.connect(link.network, URL, headers={})


async def test_a_refusal_that_ends_with_the_connection_tells_the_status(autojump_clock, link):
    """Many proxies send no Content-Length: the body lasts until they close."""

    async def script(server: FakeServer) -> None:
        await server.stream.receive_some()
        await server.stream.send_all(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nblocked")
        await server.stream.aclose()

    link.nursery.start_soon(link.serve, script)
    with pytest.raises(TransportError, match="403"):
        await websocket.connect(link.network, URL, headers={})


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"\x00" * 20_000,
        b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    ],
    ids=["no HTTP", "no headers", "wrong key", "200", "zeros", "too many headers"],
)
async def test_an_answer_that_is_no_upgrade_is_refused(autojump_clock, link, answer):
    link.nursery.start_soon(link.serve, lambda server: server.stream.send_all(answer))
    with pytest.raises(TransportError, match="venue:80/ws: WebSocket refused"):
        await websocket.connect(link.network, URL, headers={})


async def test_a_connection_that_ends_in_the_handshake(autojump_clock, link):
    link.nursery.start_soon(link.serve, lambda server: server.stream.aclose())
    with pytest.raises(TransportError, match=r"venue:80/ws: "):
        await websocket.connect(link.network, URL, headers={})


async def test_a_server_that_never_answers(autojump_clock, link):
    began = trio.current_time()
    with pytest.raises(TransportError, match=r"venue:80/ws: no WebSocket handshake within 3 s"):
        await websocket.connect(link.network, URL, headers={}, timeout_sec=3.0)
    assert trio.current_time() - began == 3.0


async def test_a_handshake_that_fails_leaves_no_stream_open(autojump_clock, link):
    link.nursery.start_soon(link.serve, lambda server: server.accept(refuse=403))
    with pytest.raises(TransportError):
        await websocket.connect(link.network, URL, headers={})
    with pytest.raises(trio.BrokenResourceError):
        await link.server.stream.send_all(b"anybody there?")


async def test_cancelling_a_connect_leaves_no_stream_open(autojump_clock, link):
    accepted: list[FakeServer] = []

    async def script(server: FakeServer) -> None:
        accepted.append(server)

    link.nursery.start_soon(link.serve, script)
    with trio.move_on_after(1):
        await websocket.connect(link.network, URL, headers={})
    with pytest.raises(trio.BrokenResourceError):
        await accepted[0].stream.send_all(b"anybody there?")


@pytest.mark.parametrize("url", ["http://venue/", "ws://", "ws://v:99999/", "ws://v:abc/", "ws://[::1", ""])
async def test_a_url_that_is_none_is_the_operators_mistake(url):
    with pytest.raises(ConfigError, match="is not a WebSocket URL"):
        await websocket.connect(MemoryNetwork(), url, headers={})


async def test_nobody_listens():
    with pytest.raises(TransportError, match="venue:80"):
        await websocket.connect(MemoryNetwork(), URL, headers={})


# --- both ends ----------------------------------------------------------------------------------------------


async def test_both_ways(autojump_clock, link):
    socket = await link.open()
    await socket.send("text")
    await socket.send(b"\x00binary")
    assert await link.server.receive() == b"text"
    assert (await link.server.frame()).opcode is Opcode.BINARY
    await link.server.send(*(f"m{number}" for number in range(500)))
    assert await socket.receive() == [], "nothing came with the handshake"
    got = await socket.receive()
    assert got == [f"m{number}".encode() for number in range(500)], "one read, one list"


async def test_pings_are_answered_and_ours_is_one(autojump_clock, link):
    socket = await link.open()
    link.server.protocol.send_ping(b"venue")
    await link.server.flush()
    await socket.receive()
    assert await socket.receive() == []
    pong = await link.server.frame()
    assert (pong.opcode, pong.data) == (Opcode.PONG, b"venue")
    await socket.ping()
    assert (await link.server.frame()).opcode is Opcode.PING
    assert await socket.receive() == [], "the pong"


async def test_what_came_with_the_handshake_is_answered_too(autojump_clock, link):
    """A ping, then a close, in the very write that accepts: the venue must not wait for us for ever."""
    text = frames((TEXT, b"hello", True), (PING, b"1", True), (CLOSE, struct.pack("!H", 1_013), True))
    socket = await link.open(then=text)
    assert await socket.receive() == [b"hello"]
    with pytest.raises(ConnectionLost, match="1013"):
        await socket.receive()
    assert (await link.server.frame()).opcode is Opcode.PONG
    assert closing(await link.server.frame()).code == 1_013


async def test_after_a_close_the_end_is_not_waited_for(autojump_clock, link):
    """A venue that says goodbye and leaves the socket open does not hold us up."""
    socket = await link.open()
    link.server.protocol.send_close(1_001, "bye")
    await link.server.flush()
    await socket.receive()
    with trio.fail_after(1), pytest.raises(ConnectionLost) as caught:
        await socket.receive()
    assert caught.value.code == 1_001
    with pytest.raises(ConnectionLost, match="1001"):
        await socket.receive()
    with pytest.raises(ConnectionLost, match="1001"):
        await socket.send("too late")
    await socket.ping()


async def test_messages_before_a_venues_sudden_end_are_not_lost(autojump_clock, link):
    """A pong that can no longer be sent does not take with it what came in the same read."""
    socket = await link.open()
    link.server.protocol.send_text(b"precious")
    link.server.protocol.send_ping(b"?")
    await link.server.flush()
    await link.server.send("and more")
    await link.server.vanish()
    got, _ = await until_lost(socket)
    assert got == [b"precious", b"and more"]


async def test_a_venue_that_closes_and_vanishes_is_quoted(autojump_clock, link):
    socket = await link.open()
    link.server.protocol.send_close(1_012, "restart")
    await link.server.flush()
    await link.server.vanish()
    await socket.receive()
    with pytest.raises(ConnectionLost) as caught:
        await socket.receive()
    assert caught.value.code == 1_012


async def test_a_venue_that_does_not_read_is_given_up(autojump_clock):
    async with trio.open_nursery() as nursery:
        link = Link(nursery, buffer_bytes=1_000)
        socket = await link.open()
        began = trio.current_time()
        with pytest.raises(ConnectionLost, match="nothing could be sent for 10 s"):
            await socket.send("x" * 5_000)
        assert trio.current_time() - began == pytest.approx(10, abs=0.1)
        await socket.aclose()
        assert trio.current_time() - began <= 12.1


async def test_a_ping_behind_a_blocked_send_does_not_wait_for_ever(autojump_clock):
    async with trio.open_nursery() as nursery:
        link = Link(nursery, buffer_bytes=1_000)
        socket = await link.open()

        async def send() -> None:
            with pytest.raises(ConnectionLost):
                await socket.send("x" * 5_000)

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(11), pytest.raises(ConnectionLost):
            await socket.ping()


async def test_closing_says_goodbye_once_and_never_raises(autojump_clock, link):
    socket = await link.open()
    await socket.aclose(1_001)
    assert closing(await link.server.frame()).code == 1_001
    await socket.aclose()
    with pytest.raises(ConnectionLost):
        await socket.send("x")


async def test_closing_while_cancelled_still_says_goodbye(autojump_clock, link):
    socket = await link.open()
    with trio.CancelScope() as scope:
        scope.cancel()
        await socket.aclose()
    assert closing(await link.server.frame()).code == 1_000


async def test_many_senders_do_not_mix_their_frames(autojump_clock):
    async with trio.open_nursery() as nursery:
        link = Link(nursery, buffer_bytes=100)
        socket = await link.open()
        texts = [str(number) * 300 for number in range(10)]
        async with trio.open_nursery() as senders:
            for text in texts:
                senders.start_soon(socket.send, text)
            got = [(await link.server.receive()).decode() for _ in texts]
        assert sorted(got) == texts
