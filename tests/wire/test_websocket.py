"""The WebSocket client against the library's own server side, byte by byte, over streams in memory."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from ctcore.errors import ConfigError, ConnectionLost, TransportError
from ctcore.testing.fake_server import FakeServer, closing
from ctcore.testing.memory_network import MemoryNetwork
from ctcore.testing.memory_stream import MemoryStream, memory_stream_pair
from ctcore.wire import websocket
from ctcore.wire.websocket import WebSocket

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


# --- frames -------------------------------------------------------------------------------------------------


def frames(*parts: tuple[Opcode, bytes, bool]) -> bytes:
    return b"".join(Frame(opcode, data, fin).serialize(mask=False) for opcode, data, fin in parts)


class Pieces(trio.abc.Stream):
    """What was written is read back in the pieces given; then the stream ends."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.sent = b""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.pieces.pop(0) if self.pieces else b""

    async def send_all(self, data: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.sent += data

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class PiecesNetwork(MemoryNetwork):
    """Answers the handshake, and then with the pieces of a text cut at the given places."""

    def __init__(self, text: bytes, cuts: list[int]) -> None:
        super().__init__()
        self._text = text
        self._cuts = cuts

    async def connect(self, *args: Any, **options: Any) -> trio.abc.Stream:
        ours, theirs = memory_stream_pair(10_000_000)
        return _Answering(ours, theirs, self._text, self._cuts)


class _Answering(Pieces):
    def __init__(self, ours: MemoryStream, theirs: MemoryStream, text: bytes, cuts: list[int]) -> None:
        super().__init__([])
        self._protocol: ServerProtocol | None = ServerProtocol()
        self._text, self._cuts = text, cuts

    async def send_all(self, data: Any) -> None:
        protocol = self._protocol
        if protocol is None:
            await super().send_all(data)
            return
        protocol.receive_data(bytes(data))
        (request,) = protocol.events_received()
        protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]
        whole = b"".join(protocol.data_to_send()) + self._text
        cuts = sorted({cut % (len(whole) + 1) for cut in self._cuts} | {0, len(whole)})
        self.pieces = [whole[a:b] for a, b in itertools.pairwise(cuts)]
        self._protocol = None
        await trio.lowlevel.checkpoint()


async def everything(text: bytes, cuts: list[int]) -> tuple[list[bytes], ConnectionLost, bytes]:
    socket = await websocket.connect(PiecesNetwork(text, cuts), "ws://venue/", headers={})
    got, error = await until_lost(socket)
    stream: Any = socket._stream
    return got, error, stream.sent


async def until_lost(socket: WebSocket) -> tuple[list[bytes], ConnectionLost]:
    got: list[bytes] = []
    while True:
        try:
            got += await socket.receive()
        except ConnectionLost as error:
            return got, error


TEXT, BINARY, CONT, PING, PONG, CLOSE = (
    Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.PONG, Opcode.CLOSE,
)  # fmt: skip
CONVERSATION = [
    (TEXT, b"one", True), (PING, b"p", True), (BINARY, b"", True), (TEXT, b"spl", False), (CONT, b"", False),
    (PONG, b"", True), (CONT, b"it", True), (TEXT, b"x" * 126, True), (BINARY, b"y" * 70_000, True),
    (TEXT, b"", False), (CONT, b"late", True), (TEXT, b"last", True),
]  # fmt: skip
MESSAGES = [b"one", b"", b"split", b"x" * 126, b"y" * 70_000, b"late", b"last"]


async def test_frames_cut_anywhere_are_the_same_messages():
    """Every boundary of the small frames, and the whole answer in one piece with the handshake."""
    small = [part for part in CONVERSATION if len(part[1]) < 1_000]
    expected = [message for message in MESSAGES if len(message) < 1_000]
    text = frames(*small)
    assert (await everything(frames(*CONVERSATION), []))[0] == MESSAGES
    head = 200
    for cut in range(len(text) + head):
        got, error, sent = await everything(text, [cut])
        assert got == expected, cut
        assert error.code == 1006
        assert len(sent) == 7, "one pong, masked"
    got, _, _ = await everything(text, list(range(len(text) + head)))
    assert got == expected, "byte by byte"


PARTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([TEXT, BINARY]), st.binary(max_size=200), st.just(1)),
        st.tuples(st.just(TEXT), st.binary(max_size=300), st.integers(2, 4)),
        st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125), st.just(1)),
        st.tuples(st.just(BINARY), st.binary(min_size=1, max_size=3).map(lambda b: b * 30_000), st.just(1)),
    ),
    max_size=10,
)


@settings(deadline=None, max_examples=150)
@given(parts=PARTS, cuts=st.lists(st.integers(0, 100_000), max_size=8), control=st.booleans())
def test_any_conversation_in_any_pieces(parts, cuts, control):
    text, expected = b"", []
    for opcode, data, pieces in parts:
        if opcode in (TEXT, BINARY):
            expected.append(data)
        step = max(1, -(-len(data) // pieces))
        chunks = [data[at : at + step] for at in range(0, len(data), step)] or [b""]
        for index, chunk in enumerate(chunks):
            last = index == len(chunks) - 1
            text += frames((opcode if index == 0 else CONT, chunk, last))
            if control and not last:
                text += frames((PING, b"between", True))
    got, error, _ = trio.run(everything, text, cuts)
    assert got == expected
    assert error.code == 1006


@pytest.mark.parametrize(
    ("junk", "text"),
    [
        (b"\xff\xff\xff\xff\xff\xff", "no WebSocket"),
        (b"\x81\x85abcdhello", "no WebSocket"),
        (b"\x83\x00", "no WebSocket"),
        (b"\xc1\x01x", "no WebSocket"),
        (b"\x80\x01x", "no WebSocket"),
        (frames((TEXT, b"a", False), (TEXT, b"b", True)), "no WebSocket"),
        (b"\x89\x7e\x00\x80" + b"x" * 128, "no WebSocket"),
        (b"\x82\x7f" + struct.pack("!Q", 1 << 40), "no WebSocket"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "without a close frame"),
        (b"\x81\x05hel", "without a close frame"),
        (b"", "without a close frame"),
    ],
    ids=["ones", "masked", "opcode 3", "reserved bit", "continuation of nothing", "fragment in fragment",
         "long ping", "too long", "http", "cut short", "nothing"],
)  # fmt: skip
async def test_junk_ends_the_connection_after_what_was_good(junk, text):
    for good in ([], [b"good", b"too"]):
        before = frames(*((TEXT, message, True) for message in good))
        after = frames((TEXT, b"never read", True))
        got, error, _ = await everything(before + junk + (after if "no WebSocket" in text else b""), [])
        assert got == good
        assert text in str(error)
        assert str(error).startswith("venue:80/: ")
        assert error.code == 1006


async def test_a_message_of_many_fragments_is_bounded(monkeypatch):
    monkeypatch.setattr(websocket, "MAX_MESSAGE_BYTES", 1_000)
    fragments = [(TEXT, b"x" * 400, False)] + [(CONT, b"x" * 400, False)] * 5
    _, error, sent = await everything(frames(*fragments), [])
    assert "no WebSocket" in str(error)
    assert closing_code(sent) == 1009
    _, error, _ = await everything(frames((TEXT, b"x" * 70_000, True)), [])
    assert "no WebSocket" in str(error)


def closing_code(sent: bytes) -> int:
    """The code of a masked close frame."""
    mask, body = sent[2:6], sent[6:]
    return int.from_bytes(bytes(b ^ mask[i] for i, b in enumerate(body[:2])))


async def test_a_close_in_the_same_read_comes_after_the_messages_and_with_its_code():
    close = struct.pack("!H", 4_001) + b"maintenance"
    text = frames((TEXT, b"a", True), (CLOSE, close, True), (TEXT, b"b", True))
    got, error, sent = await everything(text, [])
    assert got == [b"a"]
    assert error.code == 4_001
    assert str(error) == "venue:80/: closed by the venue with code 4001 (maintenance)"
    assert closing_code(sent) == 4_001, "the close is echoed"


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
