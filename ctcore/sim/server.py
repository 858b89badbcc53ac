"""The server of a simulated venue: HTTP and WebSocket on one listener; a venue's dialect is a subclass.

Every ``publish_us`` of market time the server advances the markets, strikes connections with the faults
that wait, and calls ``publish``. Between two calls of ``publish`` the markets stand still, so what a client
asks for by HTTP is the state that was last published.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs
import trio

from ctcore.errors import CtcoreError, VenueError
from ctcore.model.ids import Market
from ctcore.model.time import US_PER_SEC
from ctcore.sim.clock import SimClock
from ctcore.sim.connection import Connection, ConnectionRules, wire_frame
from ctcore.sim.control import control
from ctcore.sim.faults import CONNECTION_FAULTS, FaultKind, Faults
from ctcore.sim.http import BadRequest, HttpReader, SimRequest, SimResponse, Upgrade
from ctcore.sim.market import SimMarket

_CONNECTION_LIMIT = 2_000
_LEAST_TICK_SEC = 0.002  # at high speeds the publishing gets coarser rather than the computer busier


@attrs.frozen
class ServerStatistics:
    """Counts since the start; ``connections`` and ``topics`` are what is open now."""

    connections: int
    connections_total: int
    topics: int
    frames_sent: int
    frames_dropped: int
    messages_received: int
    http_requests: int
    faults_struck: int
    publishes: int
    skipped_us: int


class VenueServer(ABC):
    """Base of every venue's dialect.

    A dialect says which paths are WebSockets (:meth:`accepts`), answers calls (:meth:`handle_http`) and
    messages (:meth:`on_message`), lets connections ``subscribe`` to topics of its own naming, and
    broadcasts on them in :meth:`publish`. All of that is synchronous.
    """

    rules: ClassVar[ConnectionRules] = ConnectionRules()
    publish_us: ClassVar[int] = 100_000
    notice_grace_us: ClassVar[int] = 10 * US_PER_SEC
    body_limit: ClassVar[int] = 1 << 20
    keep_alive_sec: ClassVar[float] = 75.0

    def __init__(
        self, markets: Mapping[Market, SimMarket], clock: SimClock, faults: Faults | None = None
    ) -> None:
        self.markets = markets
        self.clock = clock
        self.faults = faults or Faults()
        self._connections: dict[int, Connection] = {}
        self._topics: dict[str, dict[int, Connection]] = {}
        self._symbols: dict[str, str] = {}
        self._closing: dict[int, int] = {}
        self._connections_total = 0
        self._http_requests = 0
        self._frames_sent = self._frames_dropped = self._messages_received = 0
        self._publishes = 0

    def now_us(self) -> int:
        """The venue's time, microseconds UTC."""
        return self.clock.now_us()

    # the dialect

    @abstractmethod
    def accepts(self, path: str) -> bool:
        """Whether a path is a WebSocket of the venue; others are answered 404."""

    @abstractmethod
    def handle_http(self, request: SimRequest) -> SimResponse:
        """Answer a call. A :class:`CtcoreError` raised here goes through :meth:`refused`."""

    @abstractmethod
    def on_message(self, connection: Connection, data: str | bytes) -> None:
        """A client's message. A :class:`CtcoreError` raised here closes the connection with code 1008."""

    @abstractmethod
    def publish(self, now_us: int) -> None:
        """Broadcast what has happened since the last call."""

    def on_connect(self, connection: Connection) -> None:  # noqa: B027  a dialect may need neither
        """A client's handshake is done; ``connection.path`` and ``.query`` tell what it asked for."""

    def on_disconnect(self, connection: Connection) -> None:  # noqa: B027  a dialect may need neither
        """A connection has ended; its topics are gone already."""

    def notice(self, connection: Connection) -> str | bytes | None:  # noqa: ARG002  the dialect's signature
        """The frame that announces the end of a connection (fault ``venue_notice``); the socket is closed
        ``notice_grace_us`` later. None: the venue closes without a word."""
        return None

    def faultable(self, topic: str) -> bool:  # noqa: ARG002  the dialect's signature
        """Whether frames of a topic may be struck by faults."""
        return True

    def symbol_of(self, request: SimRequest) -> str:
        """The symbol a call is about, for faults of one symbol."""
        return request.query.get("symbol") or request.query.get("instId") or ""

    def refused(self, request: SimRequest, error: CtcoreError) -> SimResponse:  # noqa: ARG002  likewise
        """The venue's way of saying no."""
        status = (error.status or 400) if isinstance(error, VenueError) else 400
        return SimResponse.json({"code": getattr(error, "code", ""), "msg": str(error)}, status=status)

    def http_fault(self, request: SimRequest, kind: FaultKind) -> SimResponse:  # noqa: ARG002  likewise
        """The venue's answer under the faults ``http_429``, ``http_418`` and ``http_500``."""
        return SimResponse.json({"msg": f"fault {kind}"}, status=int(kind.removeprefix("http_")),
                                headers={"retry-after": "1"})

    # for the dialect

    @property
    def connections(self) -> Sequence[Connection]:
        """The open connections, oldest first."""
        return tuple(self._connections.values())

    def subscribe(self, connection: Connection, topic: str, symbol: str = "") -> None:
        """Let a connection have a topic's frames from now on; ``symbol`` is what the topic is about."""
        connection.topics.add(topic)
        self._topics.setdefault(topic, {})[connection.number] = connection
        self._symbols[topic] = symbol

    def unsubscribe(self, connection: Connection, topic: str) -> None:
        """The opposite; not being subscribed is fine."""
        connection.topics.discard(topic)
        subscribers = self._topics.get(topic)
        if subscribers is None:
            return
        subscribers.pop(connection.number, None)
        if not subscribers:
            del self._topics[topic], self._symbols[topic]

    def wanted(self, topic: str) -> bool:
        """Whether anybody is subscribed: ask before making a frame."""
        return topic in self._topics

    @property
    def topics(self) -> Sequence[str]:
        """The topics that somebody is subscribed to."""
        return tuple(self._topics)

    def broadcast(self, topic: str, frame: str | bytes) -> None:
        """Send a frame to the topic's subscribers, faults applied for each of them apart."""
        subscribers = self._topics.get(topic)
        if not subscribers:
            return
        wire = wire_frame(frame)
        symbol, faultable, now_us = self._symbols[topic], self.faultable(topic), self.clock.now_us()
        for connection in tuple(subscribers.values()):
            if not faultable:
                connection.send_wire(wire)
                continue
            for out in self.faults.frame(now_us, connection.number, topic, symbol, frame):
                connection.send_wire(wire if out is frame else wire_frame(out))

    # running

    async def run(
        self,
        listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; ``started`` means that connections are accepted. Closes the listeners."""
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._serve, listeners)
            task_status.started()
            await self._tick_forever()

    def statistics(self) -> ServerStatistics:
        """Counts so far."""
        live = self._connections.values()
        return ServerStatistics(
            connections=len(self._connections),
            connections_total=self._connections_total,
            topics=len(self._topics),
            frames_sent=self._frames_sent + sum(connection.sent for connection in live),
            frames_dropped=self._frames_dropped + sum(connection.dropped for connection in live),
            messages_received=self._messages_received + sum(connection.received for connection in live),
            http_requests=self._http_requests,
            faults_struck=self.faults.struck,
            publishes=self._publishes,
            skipped_us=max((market.skipped_us for market in self.markets.values()), default=0),
        )

    async def _tick_forever(self) -> None:
        period_us = max(self.publish_us, round(_LEAST_TICK_SEC * self.clock.speed * US_PER_SEC))
        next_us = self.clock.now_us() + period_us
        while True:
            await self.clock.sleep_until(next_us)
            now_us = self.clock.now_us()
            next_us = max(next_us + period_us, now_us)
            self.tick(now_us)

    def tick(self, now_us: int) -> None:
        """One round: markets, faults of connections, publishing. :meth:`run` calls it."""
        for market in self.markets.values():
            market.advance(now_us)
        self.faults.tick(now_us)
        self._strike(now_us)
        self._publishes += 1
        self.publish(now_us)

    def _strike(self, now_us: int) -> None:
        """Take connections down, as the faults ask, and those whose notice has run out."""
        for connection in self.connections:
            if now_us >= self._closing.get(connection.number, now_us + 1):
                connection.close(1001, "announced")
            if not connection.open or connection.half_open:
                continue
            for symbol in sorted({self._symbols[topic] for topic in connection.topics} | {""}, reverse=True):
                fault = self.faults.strike(
                    CONNECTION_FAULTS, now_us, symbol=symbol, connection=connection.number
                )
                if fault is not None:
                    self._take_down(connection, fault.kind, fault.duration_us, now_us)
                    break

    def _take_down(self, connection: Connection, kind: FaultKind, duration_us: int, now_us: int) -> None:
        if kind is FaultKind.DISCONNECT:
            connection.abort("fault")
        elif kind is FaultKind.HALF_OPEN:
            connection.freeze(duration_us / US_PER_SEC / self.clock.speed)
        else:
            frame = self.notice(connection)
            if frame is not None:
                connection.send(frame)
            self._closing[connection.number] = now_us + (duration_us or self.notice_grace_us)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        """One stream: calls until the client is done, or one WebSocket."""
        reader = HttpReader(stream, _peer(stream), body_limit=self.body_limit)
        try:
            while True:
                try:
                    with trio.move_on_after(self.keep_alive_sec) as scope:
                        request = await reader.request()
                    if scope.cancelled_caught:
                        return
                except BadRequest as error:
                    await self._answer(reader, SimResponse.json({"error": error.reason}, status=error.status))
                    await _linger(stream)
                    return
                if request is None:
                    return
                if isinstance(request, Upgrade):
                    refusal = self._upgrade_refusal(request.request)
                    if refusal is None:
                        await self._websocket(stream, request)
                    else:
                        await self._answer(reader, refusal)
                    return
                if not await self._answer(reader, await self._respond(request)):
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    def _upgrade_refusal(self, request: SimRequest) -> SimResponse | None:
        if not self.accepts(request.path):
            return SimResponse.json({"error": "no such path"}, status=404)
        if len(self._connections) >= _CONNECTION_LIMIT:
            return SimResponse.json({"error": "too many connections"}, status=503)
        return None

    async def _answer(self, reader: HttpReader, response: SimResponse) -> bool:
        with trio.move_on_after(self.rules.send_timeout_sec):
            return await reader.answer(response)
        return False

    async def _respond(self, request: SimRequest) -> SimResponse:
        self._http_requests += 1
        if request.path.startswith("/_sim/"):
            return control(self, request)
        symbol, now_us = self.symbol_of(request), self.clock.now_us()
        delay_us = self.faults.delay_us(now_us, symbol)
        if delay_us:
            await self.clock.sleep(delay_us)
        refusal = self.faults.refusal(self.clock.now_us(), symbol)
        if refusal is not None:
            return self.http_fault(request, refusal)
        try:
            return self.handle_http(request)
        except CtcoreError as error:
            return self.refused(request, error)

    async def _websocket(self, stream: trio.abc.Stream, upgrade: Upgrade) -> None:
        self._connections_total += 1
        request, number = upgrade.request, self._connections_total
        connection = Connection(
            number,
            request.path,
            request.query,
            peer=request.peer,
            rules=self.rules,
            opened_us=self.clock.now_us(),
        )
        try:
            await connection.run(
                stream,
                upgrade.received,
                lambda: self._opened(connection),
                lambda data: self.on_message(connection, data),
            )
        finally:
            self._ended(connection)

    def _opened(self, connection: Connection) -> None:
        self._connections[connection.number] = connection
        self.on_connect(connection)

    def _ended(self, connection: Connection) -> None:
        self._frames_sent += connection.sent
        self._frames_dropped += connection.dropped
        self._messages_received += connection.received
        self._closing.pop(connection.number, None)
        self.faults.forget(connection.number)
        for topic in tuple(connection.topics):
            self.unsubscribe(connection, topic)
        if self._connections.pop(connection.number, None) is not None:
            self.on_disconnect(connection)


async def _linger(stream: trio.abc.Stream) -> None:
    """Read a moment longer: closing with bytes unread would take the answer away from the client."""
    with trio.move_on_after(1):
        while await stream.receive_some():
            pass


def _peer(stream: trio.abc.Stream) -> str:
    if isinstance(stream, trio.SocketStream):
        name = stream.socket.getpeername()
        return str(name[0]) if isinstance(name, tuple) else "local"
    return "memory"
