"""A venue in memory whose bytes arrive in whatever pieces a test wants."""

from __future__ import annotations

import itertools
from typing import Any

import trio
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from ctcore.errors import ConnectionLost
from ctcore.testing.memory_network import MemoryNetwork
from ctcore.testing.memory_stream import MemoryStream, memory_stream_pair
from ctcore.wire import websocket
from ctcore.wire.websocket import WebSocket


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
