"""The venue's end of a WebSocket, for tests that script what a venue does. It does nothing by itself."""

from __future__ import annotations

from typing import Any

import msgspec
import trio
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol


class FakeServer:
    """The venue's end of one WebSocket, over any stream; every method is one step of a script."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.protocol = ServerProtocol()
        self._events: list[Any] = []

    async def accept(self, *, refuse: int = 0, text: str = "", then: bytes = b"") -> Request:
        """Answer the handshake, with the HTTP status ``refuse`` if there is one; ``then`` comes along."""
        request = await self._next_event()
        assert isinstance(request, Request)
        protocol = self.protocol
        response = protocol.reject(refuse, text) if refuse else protocol.accept(request)
        protocol.send_response(response)
        await self.stream.send_all(b"".join(protocol.data_to_send()) + then)
        return request

    async def send(self, *messages: Any) -> None:
        """Send messages, all in one write: text and bytes as they are, anything else as JSON."""
        for message in messages:
            if isinstance(message, bytes):
                self.protocol.send_binary(message)
            else:
                text = message.encode() if isinstance(message, str) else msgspec.json.encode(message)
                self.protocol.send_text(text)
        await self.flush()

    async def receive(self) -> bytes:
        """The next message; pings are answered. Raises ``EOFError`` when the client has gone."""
        while True:
            event = await self._next_event()
            if event.opcode in (Opcode.TEXT, Opcode.BINARY):
                return bytes(event.data)

    async def frame(self) -> Frame:
        """The next frame of any kind."""
        event = await self._next_event()
        assert isinstance(event, Frame)
        return event

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame, and wait for the client to go."""
        self.protocol.send_close(code, reason)
        await self.flush()
        while self.protocol.state is not State.CLOSED:
            try:
                await self._next_event()
            except EOFError:
                break
        await self.stream.aclose()

    async def vanish(self) -> None:
        """Be gone without a word."""
        await trio.aclose_forcefully(self.stream)

    async def flush(self) -> None:
        """Send what the protocol has to say."""
        await self.stream.send_all(b"".join(self.protocol.data_to_send()))

    async def _next_event(self) -> Any:
        while not self._events:
            data = await self.stream.receive_some(65_536)
            if not data:
                raise EOFError("the client has gone")
            self.protocol.receive_data(data)
            self._events += self.protocol.events_received()
            if self.protocol.state is State.OPEN and self.protocol.writes:
                await self.flush()
        return self._events.pop(0)


def closing(frame: Frame) -> Close:
    """What a close frame says."""
    return Close.parse(frame.data)
