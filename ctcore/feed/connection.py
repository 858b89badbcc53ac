"""One WebSocket connection at work: a session's effects performed over a socket."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs
import trio

from ctcore.contracts.driver import (
    Close,
    ConnectionPlan,
    Control,
    Effect,
    Fetch,
    HttpResponse,
    Retire,
    Send,
    StreamSession,
)
from ctcore.errors import ConnectionLost, CtcoreError, DecodeError, raise_sole
from ctcore.feed.rest import RestClient
from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import GapReason, MarketEvent
from ctcore.wire import websocket
from ctcore.wire.codec import inflater
from ctcore.wire.network import Network

TICK_SEC = 1.0
OUTBOX_FRAMES = 10_000
MIN_PING_SEC = 1.0
DETAIL_SHOWN = 200

Accept = Callable[[MarketEvent], bool]
Interrupted = Callable[[InstrumentId, Channel, GapReason, str, int], None]


def _nobody(*_: object) -> None:
    """Nobody wants to know of frames that were lost."""


class Observer(Protocol):
    """Who watches a connection: for logs, counters and the recorder. Never raises."""

    def opened(self, connection: str, url: str) -> None:
        """A socket was opened."""

    def closed(self, connection: str) -> None:
        """It was closed."""

    def sent(self, connection: str, data: str | bytes) -> None:
        """A frame left."""

    def received(self, connection: str, frame: bytes) -> None:
        """A frame came, as it was on the wire."""

    def answered(self, connection: str, response: HttpResponse) -> None:
        """A REST call of the session was answered."""

    def control(self, connection: str, control: Control) -> None:
        """The venue said something that is no market data."""

    def undecodable(self, connection: str, error: DecodeError) -> None:
        """A frame could not be read."""

    def fetch_failed(self, connection: str, fetch: Fetch, error: CtcoreError) -> None:
        """A REST call of the session failed."""


@attrs.frozen
class ConnectionStatistics:
    """Counts of one connection; ``outbox`` is how many frames wait to be sent, at most ``OUTBOX_FRAMES``."""

    name: str
    frames: int
    decode_errors: dict[str, int]
    outbox: int
    fetching: int
    ready: bool


class Connection:
    """Runs one session until its socket ends.

    ``accept`` takes market events and may be exchanged while running (see :mod:`ctcore.feed.handover`).
    ``stamp`` gives the strictly increasing time of receipt in microseconds. ``tapped`` tells the observer of
    each frame, for the recorder. ``interrupted`` is told of a stream whose frame could not be read, as
    :meth:`BookKeeper.interrupted`; books find their holes themselves. ``retiring`` is set once the venue, or
    the plan's lifetime, wants a successor, and ``announced`` when it is the venue.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        session: StreamSession,
        *,
        network: Network,
        rest: RestClient,
        accept: Accept,
        stamp: Callable[[], int],
        observer: Observer,
        interrupted: Interrupted = _nobody,
        tapped: bool = False,
    ) -> None:
        self.plan = plan
        self.session = session
        self.accept = accept
        self.retiring = trio.Event()
        self.retire_reason = ""
        self.announced = trio.Event()
        self.became_ready = trio.Event()
        self.became_acknowledged = trio.Event()
        self._network = network
        self._rest = rest
        self._stamp = stamp
        self._observer = observer
        self._interrupted = interrupted
        self._tapped = tapped
        self._frames = 0
        self._decode_errors: Counter[str] = Counter()
        self._outbox: deque[str | bytes] = deque()
        self._urgent: deque[str | bytes] = deque()
        self._outbox_filled = trio.Event()
        self._heard = 0.0
        self._fetching = 0
        self._nursery: trio.Nursery | None = None
        self._socket: websocket.WebSocket | None = None

    async def connect(self) -> None:
        """Open the socket; raises :class:`~ctcore.errors.TransportError`."""
        self._socket = await websocket.connect(self._network, self.plan.url, headers=self.plan.headers)
        self._observer.opened(self.plan.name, self.plan.url)
        self._heard = trio.current_time()

    async def run(self) -> None:
        """Work until the connection ends, after :meth:`connect`; ends only by raising or being cancelled.

        Raises :class:`~ctcore.errors.TransportError`, most often its :class:`ConnectionLost`.
        """
        socket = self._socket
        if socket is None:
            raise ConnectionLost(f"{self.plan.name}: not connected")
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._perform(self.session.connected(self._stamp()))
                nursery.start_soon(self._send_outbox, socket)
                nursery.start_soon(self._watch, socket)
                nursery.start_soon(self._receive, socket)
        except BaseExceptionGroup as group:
            raise_sole(group)
        finally:
            self._nursery = None
            await socket.aclose()
            self._observer.closed(self.plan.name)

    def retire(self, reason: str) -> None:
        """Ask for a successor."""
        if not self.retiring.is_set():
            self.retire_reason = reason
            self.retiring.set()

    def resync(self, instrument: InstrumentId, reason: GapReason) -> None:
        """Tell the session that a book is wrong; nothing happens unless the connection is running.

        Whoever calls is in another connection's task: what ends this connection is raised in its own.
        """
        if self._nursery is None:
            return
        try:
            self._guarded(lambda: self.session.resync(instrument, reason, self._stamp()))
        except CtcoreError as error:
            self._nursery.start_soon(_raise, error)

    def statistics(self) -> ConnectionStatistics:
        """A frozen picture."""
        return ConnectionStatistics(
            self.plan.name,
            self._frames,
            dict(self._decode_errors),
            len(self._outbox) + len(self._urgent),
            self._fetching,
            self.session.ready,
        )

    async def _receive(self, socket: websocket.WebSocket) -> None:
        inflate, stamp, received = inflater(self.plan.codec), self._stamp, self.session.received
        while True:
            frames = await socket.receive()
            self._heard = trio.current_time()
            self._frames += len(frames)
            accept = self.accept
            for frame in frames:
                now_us = stamp()
                if self._tapped:
                    self._observer.received(self.plan.name, frame)
                try:
                    for effect in received(frame if inflate is None else inflate(frame), now_us):
                        if not isinstance(effect, MarketEvent):
                            self._act(effect)
                        elif not accept(effect):
                            self._crossed(effect, now_us)
                except DecodeError as error:
                    self._undecodable(error)

    async def _watch(self, socket: websocket.WebSocket) -> None:
        """Tick the session, find half-open sockets, and end the connection at its planned age."""
        stall_sec = self.plan.stall_sec
        born = pinged = trio.current_time()
        while True:
            await trio.sleep(TICK_SEC)
            now = trio.current_time()
            self._guarded(lambda: self.session.tick(self._stamp()))
            if self.session.acknowledged:
                self.became_acknowledged.set()
            if self.session.ready:
                self.became_ready.set()
            silent_sec = now - self._heard
            if silent_sec >= stall_sec:
                raise ConnectionLost(f"{self.plan.name}: nothing received for {stall_sec:g} s")
            if silent_sec >= stall_sec / 2 and now - pinged >= max(MIN_PING_SEC, stall_sec / 2):
                pinged = now
                await socket.ping()
            if self.plan.lifetime_sec is not None and now - born >= self.plan.lifetime_sec:
                self.retire(f"{self.plan.lifetime_sec / 3600:.1f} h old")

    async def _send_outbox(self, socket: websocket.WebSocket) -> None:
        paced_until = -math.inf
        while True:
            if self._urgent:
                await self._send(socket, self._urgent.popleft())
            elif self._outbox and trio.current_time() >= paced_until:
                await self._send(socket, self._outbox.popleft())
                paced_until = trio.current_time() + self.plan.send_interval_sec
            else:
                self._outbox_filled = trio.Event()
                with trio.move_on_at(paced_until if self._outbox else math.inf):
                    await self._outbox_filled.wait()

    async def _send(self, socket: websocket.WebSocket, data: str | bytes) -> None:
        await socket.send(data)
        if self._tapped:
            self._observer.sent(self.plan.name, data)

    async def _fetch(self, fetch: Fetch) -> None:
        try:
            await trio.sleep(fetch.delay_sec)
            response = await self._rest.perform(fetch.request)
        except CtcoreError as error:
            failure = error
            self._observer.fetch_failed(self.plan.name, fetch, failure)
            self._guarded(lambda: self.session.fetch_failed(fetch, failure, self._stamp()))
        else:
            if self._tapped:
                self._observer.answered(self.plan.name, response)
            try:
                self._perform(self.session.fetched(fetch, response, self._stamp()))
            except DecodeError as error:
                self._undecodable(error)
                wrong = error
                self._guarded(lambda: self.session.fetch_failed(fetch, wrong, self._stamp()))
        finally:
            self._fetching -= 1

    def _guarded(self, step: Callable[[], Iterable[Effect]]) -> None:
        try:
            self._perform(step())
        except DecodeError as error:
            self._undecodable(error)

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if not isinstance(effect, MarketEvent):
                self._act(effect)
            elif not self.accept(effect):
                self._crossed(effect, effect.received_us)

    def _crossed(self, event: MarketEvent, now_us: int) -> None:
        self._guarded(lambda: self.session.resync(event.instrument, GapReason.CROSSED, now_us))

    def _act(self, effect: Send | Fetch | Retire | Close | Control) -> None:
        match effect:
            case Send():
                if len(self._outbox) + len(self._urgent) >= OUTBOX_FRAMES:
                    raise ConnectionLost(f"{self.plan.name}: {OUTBOX_FRAMES} frames wait to be sent")
                (self._urgent if effect.urgent else self._outbox).append(effect.data)
                self._outbox_filled.set()
            case Fetch():
                if self._nursery is not None:
                    self._fetching += 1
                    self._nursery.start_soon(self._fetch, effect)
            case Retire():
                self.announced.set()
                self.retire(effect.reason)
            case Close():
                raise ConnectionLost(f"{self.plan.name}: {effect.reason}")
            case Control():
                self._observer.control(self.plan.name, effect)

    def _undecodable(self, error: DecodeError) -> None:
        self._decode_errors[error.kind] += 1
        self._observer.undecodable(self.plan.name, error)
        if error.instrument is not None and error.channel not in (None, Channel.ORDERBOOK):
            self._interrupted(
                error.instrument, error.channel, GapReason.DECODE, str(error)[:DETAIL_SHOWN], self._stamp()
            )


async def _raise(error: CtcoreError) -> None:
    raise error
