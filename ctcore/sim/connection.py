"""One WebSocket client of a simulated venue: a bounded send queue, heartbeats, and faults that take it
down."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import trio
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from ctcore.errors import CtcoreError

_CHUNK = 65_536


@attrs.frozen(kw_only=True)
class ConnectionRules:
    """How a venue treats its sockets. Times are real seconds (trio's clock), whatever the market's speed.

    ``ping_interval_sec`` None: the venue does not ping. A client that has sent nothing for
    ``idle_timeout_sec`` is closed with ``idle_close``; one older than ``lifetime_sec`` with
    ``lifetime_close``; a reader that lets ``queue_frames`` frames or ``queue_bytes`` bytes wait is cut off.
    """

    ping_interval_sec: float | None = 20.0
    pong_timeout_sec: float = 60.0
    idle_timeout_sec: float | None = None
    idle_close: tuple[int, str] = (4004, "no data received")
    lifetime_sec: float | None = None
    lifetime_close: tuple[int, str] = (1001, "lifetime over")
    message_limit: int = 1 << 20
    queue_frames: int = 2_000
    queue_bytes: int = 16 << 20
    send_timeout_sec: float = 30.0
    close_timeout_sec: float = 10.0
    handshake_timeout_sec: float = 10.0


def wire_frame(data: str | bytes) -> bytes:
    """A whole unmasked frame, as every client gets it."""
    if isinstance(data, str):
        return Frame(Opcode.TEXT, data.encode()).serialize(mask=False)
    return Frame(Opcode.BINARY, data).serialize(mask=False)


class Connection:
    """One client. The dialect keeps what it likes in ``context``.

    All methods are synchronous: frames wait in the queue for the connection's own task.
    """

    def __init__(
        self,
        number: int,
        path: str,
        query: Mapping[str, str],
        *,
        peer: str,
        rules: ConnectionRules,
        opened_us: int,
    ) -> None:
        self.number = number
        self.path = path
        self.query = query
        self.peer = peer
        self.opened_us = opened_us
        self.context: Any = None
        self.topics: set[str] = set()
        self.sent = 0
        self.received = 0
        self.dropped = 0
        self.ended = ""
        self._rules = rules
        self._protocol = ServerProtocol(max_size=rules.message_limit)
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._wake = trio.Event()
        self._idle = trio.Event()
        self._pinged: float | None = None
        self._scope = trio.CancelScope()
        self._half_open = False
        self._heard = 0.0
        self._fragments: list[bytes] = []
        self._text = True

    @property
    def open(self) -> bool:
        """Whether frames still reach the client, as far as the venue knows."""
        return self._protocol.state is OPEN and not self.ended

    @property
    def half_open(self) -> bool:
        """Whether the fault of that name holds it."""
        return self._half_open

    @property
    def waiting(self) -> int:
        """Frames in the send queue."""
        return len(self._queue)

    def send(self, data: str | bytes) -> None:
        """Queue a text (str) or binary (bytes) frame."""
        self.send_wire(wire_frame(data))

    def send_wire(self, frame: bytes) -> None:
        """Queue a frame made by :func:`wire_frame`."""
        if self._half_open or not self.open:
            self.dropped += 1
            return
        rules = self._rules
        if len(self._queue) >= rules.queue_frames or self._queued + len(frame) > rules.queue_bytes:
            self.dropped += 1
            self.abort("slow reader")
            return
        self.sent += 1
        self._push(frame)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake."""
        if self._half_open or not self.open:
            return
        self._protocol.send_close(code, reason)
        self._flush()
        self._end_within(self._rules.close_timeout_sec)

    def abort(self, reason: str) -> None:
        """Cut the socket without a word."""
        self.ended = self.ended or reason
        self._scope.cancel()

    def freeze(self, lasting_sec: float) -> None:
        """Become half-open: say nothing more, hear nothing more, and vanish after ``lasting_sec``."""
        self._half_open = True
        self._queue.clear()
        self._queued = 0
        self._end_within(lasting_sec)

    async def run(
        self,
        stream: trio.abc.Stream,
        received: bytes,
        on_open: Callable[[], None],
        on_message: Callable[[str | bytes], None],
    ) -> None:
        """Serve the client until it or the venue ends the connection. ``received`` begins with its
        request."""
        with self._scope:
            try:
                with trio.fail_after(self._rules.handshake_timeout_sec):
                    accepted = await self._shake_hands(stream, received)
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                accepted = False
            if not accepted:
                self.ended = "no handshake"
                return
            self._heard = trio.current_time()
            on_open()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, stream)
                nursery.start_soon(self._watch)
                await self._read(stream, on_message)
                self._end_within(self._rules.close_timeout_sec)
                await self._idle.wait()
                nursery.cancel_scope.cancel()
        self.ended = self.ended or "closed"

    async def _shake_hands(self, stream: trio.abc.Stream, received: bytes) -> bool:
        protocol = self._protocol
        protocol.receive_data(received)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
        await stream.send_all(b"".join(protocol.data_to_send()))
        return protocol.state is OPEN

    async def _read(self, stream: trio.abc.Stream, on_message: Callable[[str | bytes], None]) -> None:
        """Take in what the client sends until either side has said its last word."""
        protocol = self._protocol
        while not protocol.eof_sent:
            try:
                data = await stream.receive_some(_CHUNK)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                protocol.receive_eof()
                return
            if self._half_open:
                continue
            self._heard = trio.current_time()
            protocol.receive_data(bytes(data))
            for event in protocol.events_received():
                if isinstance(event, Frame):
                    self._take(event, on_message)
            self._flush()

    def _take(self, frame: Frame, on_message: Callable[[str | bytes], None]) -> None:
        match frame.opcode:
            case Opcode.PONG:
                self._pinged = None
                return
            case Opcode.TEXT | Opcode.BINARY:
                self._text = frame.opcode is Opcode.TEXT
                self._fragments = [bytes(frame.data)]
            case Opcode.CONT:
                self._fragments.append(bytes(frame.data))
            case _:
                return
        if not frame.fin or self._half_open or not self.open:
            return
        whole, self._fragments = b"".join(self._fragments), []
        self.received += 1
        try:
            on_message(whole.decode() if self._text else whole)
        except UnicodeDecodeError:
            self.close(1007, "a text frame is not UTF-8")
        except CtcoreError as error:
            self.close(1008, str(error)[:100])

    async def _write(self, stream: trio.abc.Stream) -> None:
        try:
            while True:
                if not self._queue:
                    self._idle.set()
                    await self._wake.wait()
                self._wake = trio.Event()
                data = b"".join(self._queue)
                self._queue.clear()
                self._queued = 0
                with trio.fail_after(self._rules.send_timeout_sec):
                    await stream.send_all(data)
        except trio.TooSlowError:
            self.abort("slow reader")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.abort("the client is gone")

    async def _watch(self) -> None:
        """Ping, and close what is silent or too old."""
        rules, opened = self._rules, trio.current_time()
        next_ping = opened + (rules.ping_interval_sec or math.inf)
        ends = opened + (rules.lifetime_sec or math.inf)
        while self.open and not self._half_open:
            silent = self._heard + (rules.idle_timeout_sec or math.inf)
            unanswered = math.inf if self._pinged is None else self._pinged + rules.pong_timeout_sec
            await trio.sleep_until(min(next_ping, ends, silent, unanswered))
            now = trio.current_time()
            if now >= ends:
                self.close(*rules.lifetime_close)
            elif now >= self._heard + (rules.idle_timeout_sec or math.inf):
                self.close(*rules.idle_close)
            elif self._pinged is not None and now >= self._pinged + rules.pong_timeout_sec:
                self.close(1008, "no pong")
            elif now >= next_ping:
                next_ping += rules.ping_interval_sec or math.inf
                self._ping(now)

    def _ping(self, now: float) -> None:
        if not self.open or self._half_open:
            return
        self._protocol.send_ping(str(round(now * 1_000)).encode())
        self._flush()
        if self._pinged is None:
            self._pinged = now

    def _flush(self) -> None:
        """Queue what the protocol has to say."""
        for data in self._protocol.data_to_send():
            if data and not self._half_open:
                self._push(data)

    def _end_within(self, seconds: float) -> None:
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + seconds)

    def _push(self, data: bytes) -> None:
        self._queue.append(data)
        self._queued += len(data)
        self._idle = trio.Event()
        self._wake.set()
