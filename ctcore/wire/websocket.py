"""A WebSocket client: the ``websockets`` library's sans-I/O protocol driven over a trio stream.

The library knows RFC 6455; this file moves bytes. One read may hold many frames: :meth:`WebSocket.receive`
returns them all, so that a burst costs one task switch.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State
from websockets.uri import parse_uri

from ctcore.errors import ConfigError, ConnectionLost, TransportError
from ctcore.wire.network import Network

READ_BYTES = 256 * 1024
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
CLOSE_WAIT_SEC = 2.0
ABNORMAL = 1006
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError)
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


async def connect(
    network: Network, url: str, *, headers: Mapping[str, str], timeout_sec: float = 10.0
) -> WebSocket:
    """Open a WebSocket; ``wss`` verifies the server by the system's certificate authorities.

    Raises :class:`TransportError` when connecting or the handshake fails or takes longer than
    ``timeout_sec``, and :class:`ConfigError` for a URL that is none.
    """
    try:
        uri = parse_uri(url)
    except InvalidURI as error:
        raise ConfigError(f"{url!r} is not a WebSocket URL: {error}") from None
    context = ssl.create_default_context() if uri.secure else None
    stream = await network.connect(uri.host, uri.port, tls=context, timeout_sec=timeout_sec)
    protocol = ClientProtocol(uri, max_size=MAX_MESSAGE_BYTES)
    socket = WebSocket(stream, protocol, name=f"{uri.host}:{uri.port}{uri.path}")
    try:
        with trio.fail_after(timeout_sec):
            await socket.handshake(headers)
    except trio.TooSlowError:
        await trio.aclose_forcefully(stream)
        raise TransportError(f"{socket.name}: no WebSocket handshake within {timeout_sec:g} s") from None
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return socket


class WebSocket:
    """One open connection. One task may receive while others send."""

    def __init__(self, stream: trio.abc.Stream, protocol: ClientProtocol, *, name: str) -> None:
        self.name = name
        self._stream = stream
        self._protocol = protocol
        self._send_lock = trio.Lock()
        self._parts: list[bytes] = []
        self._early: list[Frame] = []

    async def handshake(self, headers: Mapping[str, str]) -> None:
        """Upgrade; raises :class:`TransportError` with the server's status when it refuses."""
        protocol = self._protocol
        request = protocol.connect()
        request.headers.update(headers)
        protocol.send_request(request)
        await self._flush()
        while protocol.state is State.CONNECTING:
            data = await self._read()
            if not data:
                raise TransportError(f"{self.name}: connection ended during the WebSocket handshake")
            protocol.receive_data(data)
            if protocol.handshake_exc is not None:
                raise TransportError(f"{self.name}: WebSocket refused: {protocol.handshake_exc}")
        self._early = [event for event in protocol.events_received() if isinstance(event, Frame)]

    async def receive(self) -> list[bytes]:
        """Wait for bytes and return the whole messages they complete, maybe none; pings are answered.

        Raises :class:`ConnectionLost` with the close code when the connection has ended.
        """
        protocol = self._protocol
        if self._early:
            frames, self._early = self._early, []
            return self._messages(frames)
        data = await self._read()
        if data:
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
        messages = self._messages(protocol.events_received())
        if protocol.writes:
            await self._flush()
        if not messages and protocol.state is not State.OPEN:
            raise self._lost()
        return messages

    async def send(self, data: str | bytes) -> None:
        """Send one message: ``str`` as text, ``bytes`` as binary."""
        if self._protocol.state is not State.OPEN:
            raise self._lost()
        if isinstance(data, str):
            self._protocol.send_text(data.encode())
        else:
            self._protocol.send_binary(data)
        await self._flush()

    async def ping(self) -> None:
        """Send a protocol ping; the pong counts as traffic."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"ctcore")
            await self._flush()

    async def aclose(self, code: int = 1000) -> None:
        """Say goodbye and close; never waits longer than :data:`CLOSE_WAIT_SEC`, never raises."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_WAIT_SEC):
            try:
                if self._protocol.state is State.OPEN:
                    self._protocol.send_close(code)
                    await self._flush()
            except ConnectionLost:
                pass
        await trio.aclose_forcefully(self._stream)

    async def _read(self) -> bytes | bytearray:
        try:
            return await self._stream.receive_some(READ_BYTES)
        except _BROKEN as error:
            raise self._broken(error) from error

    async def _flush(self) -> None:
        async with self._send_lock:
            for data in self._protocol.data_to_send():
                if data:
                    try:
                        await self._stream.send_all(data)
                    except _BROKEN as error:
                        raise self._broken(error) from error

    def _messages(self, events: Sequence[Event]) -> list[bytes]:
        messages: list[bytes] = []
        for frame in events:
            if not isinstance(frame, Frame) or frame.opcode not in _DATA:
                continue
            if frame.fin and not self._parts:
                messages.append(bytes(frame.data))
                continue
            self._parts.append(bytes(frame.data))
            if frame.fin:
                messages.append(b"".join(self._parts))
                self._parts = []
        return messages

    def _broken(self, error: Exception) -> ConnectionLost:
        return ConnectionLost(f"{self.name}: connection broken: {error.__cause__ or error}")

    def _lost(self) -> ConnectionLost:
        closed = self._protocol.close_rcvd
        if closed is None:
            return ConnectionLost(f"{self.name}: connection ended without a close frame", code=ABNORMAL)
        reason = f" ({closed.reason})" if closed.reason else ""
        text = f"{self.name}: closed by the venue with code {closed.code}{reason}"
        return ConnectionLost(text, code=closed.code)
