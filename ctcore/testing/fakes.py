"""A venue small enough to read in a minute, for tests of whatever runs drivers.

:class:`FakeDriver` and :class:`FakeSession` are a whole driver whose wire is JSON arrays; :class:`FakeServer` is
the venue's end of its connections, which does nothing by itself: a test says what it sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar

import attrs
import msgspec
import trio
from websockets.frames import Close as CloseFrame
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from ctcore.book import SequenceRule
from ctcore.book.sequence import SNAPSHOT_IN_STREAM
from ctcore.contracts.driver import (
    BookStatistics,
    BookStream,
    Capabilities,
    Close,
    ConnectionPlan,
    Control,
    Driver,
    DriverInfo,
    Effect,
    Endpoints,
    Fetch,
    HttpRequest,
    HttpResponse,
    RateNotice,
    Retire,
    Send,
    StreamSession,
)
from ctcore.errors import CtcoreError, DecodeError, RateLimited, RequestRefused
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.model.instrument import Catalogue, Instrument
from ctcore.model.market import BookDelta, BookSnapshot, GapReason, Side, Ticker, Trade

FAKE_URL = "ws://fake.venue:80/stream"
FAKE_REST = "http://fake.venue:8080"


def fake_instrument(pair: str = "BTC/USDT") -> InstrumentId:
    """An instrument of the fake venue."""
    return InstrumentId("fake", Market.SPOT, pair)


class FakeServer:
    """The venue's end of one WebSocket, over any stream; every method is one step of a script."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.protocol = ServerProtocol()
        self._events: list[Any] = []

    async def accept(self, *, refuse: int = 0, text: str = "", then: bytes = b"") -> Request:
        """Answer the handshake, with an HTTP status where ``refuse`` is one; ``then`` follows in one write."""
        request = await self._next_event()
        assert isinstance(request, Request)  # noqa: S101  the first event of the protocol
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
        assert isinstance(event, Frame)  # noqa: S101  after the handshake there are only frames
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


def closing(frame: Frame) -> CloseFrame:
    """What a close frame says."""
    return CloseFrame.parse(frame.data)


class FakeSession(StreamSession):
    """The fake venue's protocol. The client sends ``["subscribe", pair, channel]``; the venue says::

        ["ok", pair, channel]                              acknowledged
        ["no", pair, channel]                              refused
        ["snapshot", pair, seq, us, bids, asks]            the whole book
        ["delta", pair, prev, seq, us, bids, asks]
        ["trade", pair, id, us, price, quantity]
        ["ticker", pair, us, last]
        ["fetch", path]                                    asks the client for a REST call
        ["retire", reason]  ["close", reason]              wants the client to leave
    """

    def __init__(self, plan: ConnectionPlan, rule: SequenceRule) -> None:
        self.plan = plan
        self.ticks = 0
        self.answers: list[HttpResponse | CtcoreError] = []
        self._waiting = {(s.instrument.pair, str(s.channel)) for s in plan.subscriptions}
        self._refused: set[str] = set()
        self._books = {
            s.instrument.pair: BookStream(
                s.instrument.pair, s.instrument, rule, self._asker(s.instrument.pair), snapshot_in_stream=True
            )
            for s in plan.subscriptions
            if s.channel is Channel.ORDERBOOK
        }

    def connected(self, now_us: int) -> Iterable[Effect]:
        """Subscribe to everything."""
        for book in self._books.values():
            book.subscribed(now_us)
        return [_subscribe(s.instrument.pair, s.channel) for s in self.plan.subscriptions]

    def received(self, frame: bytes, now_us: int) -> Iterable[Effect]:
        """One message of the venue."""
        try:
            kind, *rest = msgspec.json.decode(frame)
            return self._told(kind, rest, now_us)
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise DecodeError(f"fake: {error!r}: {frame[:80]!r}", kind="fake") from None

    def tick(self, now_us: int) -> Iterable[Effect]:
        """Late snapshots and silent books."""
        self.ticks += 1
        return [effect for book in self._books.values() for effect in book.tick(now_us)]

    def fetched(self, fetch: Fetch, response: HttpResponse, now_us: int) -> Iterable[Effect]:
        """Keep the answer; one that says ``junk`` cannot be decoded."""
        if response.body == b"junk":
            raise DecodeError(f"{fetch.purpose}: junk", kind="answer")
        self.answers.append(response)
        return ()

    def fetch_failed(self, fetch: Fetch, error: CtcoreError, now_us: int) -> Iterable[Effect]:
        """Keep the failure."""
        self.answers.append(error)
        return ()

    def resync(self, instrument: InstrumentId, reason: GapReason, now_us: int) -> Iterable[Effect]:
        """Subscribe to the book once more."""
        return self._books[instrument.pair].resync(reason, "", now_us)

    @property
    def ready(self) -> bool:
        """Acknowledged and in sync."""
        missing = {pair for pair, book in self._books.items() if not book.in_sync} - self._refused
        return not self._waiting and not missing

    def books(self) -> Mapping[InstrumentId, BookStatistics]:
        """Counts of every book."""
        return {book.instrument: book.statistics() for book in self._books.values()}

    def _told(self, kind: str, rest: list[Any], now_us: int) -> Iterable[Effect]:
        match kind, rest:
            case "ok" | "no", [pair, channel]:
                self._waiting.discard((pair, channel))
                if kind == "no" and channel == Channel.ORDERBOOK:
                    self._refused.add(pair)
                return [Control("ack" if kind == "ok" else "error", {"pair": pair, "channel": channel})]
            case "snapshot", [pair, seq, us, bids, asks]:
                book = self._books[pair]
                sides = _levels(bids), _levels(asks)
                return book.snapshot(BookSnapshot(book.instrument, us, now_us, seq, *sides), now_us)
            case "delta", [pair, prev, seq, us, bids, asks]:
                book = self._books[pair]
                sides = _levels(bids), _levels(asks)
                return book.delta(BookDelta(book.instrument, us, now_us, seq, prev, seq, *sides), now_us)
            case "trade", [pair, trade_id, us, price, quantity]:
                instrument = fake_instrument(pair)
                return [Trade(instrument, us, now_us, str(trade_id), price, quantity, Side.BUY)]
            case "ticker", [pair, us, last]:
                return [Ticker(fake_instrument(pair), us, now_us, last=last)]
            case "fetch", [path]:
                return [Fetch(HttpRequest("GET", FAKE_REST + path, f"GET {path}"), path)]
            case "retire", [reason]:
                return [Retire(reason)]
            case "close", [reason]:
                return [Close(reason)]
            case _:
                raise ValueError(kind)

    def _asker(self, pair: str) -> Any:
        return lambda delay_sec: [_subscribe(pair, Channel.ORDERBOOK)]  # noqa: ARG005  an asker's signature


class FakeDriver(Driver):
    """Drives the fake venue; ``rule`` says how its deltas chain. Made without arguments."""

    info: ClassVar[DriverInfo] = DriverInfo(
        id="fake",
        title="Fake",
        environments={"live": Endpoints({"spot": FAKE_REST}, {"spot": FAKE_URL})},
        capabilities={Market.SPOT: Capabilities(frozenset({Channel.ORDERBOOK, Channel.TRADE, Channel.TICKER}))},
        rate_limits=(),
    )

    def __init__(self, endpoints: Endpoints | None = None, *, rule: SequenceRule = SNAPSHOT_IN_STREAM) -> None:
        super().__init__(endpoints or self.info.environments["live"])
        self.rule = rule
        self.sessions: list[FakeSession] = []

    def instruments(self, market: Market) -> Sequence[HttpRequest]:
        """The venue needs no asking."""
        return ()

    def parse_instruments(self, market: Market, responses: Sequence[HttpResponse]) -> list[Instrument]:
        """It lists nothing."""
        return []

    def plan(
        self, wanted: AbstractSet[Subscription], catalogues: Mapping[Market, Catalogue]
    ) -> list[ConnectionPlan]:
        """Everything on one connection."""
        return [self.plan_of(*sorted(wanted, key=str))]

    def plan_of(self, *subscriptions: Subscription, **options: Any) -> ConnectionPlan:
        """A plan for these; ``options`` are the plan's other fields."""
        url = options.pop("url", self.endpoints.stream["spot"])
        return ConnectionPlan(
            name="fake spot 1", exchange="fake", market=Market.SPOT, url=url, subscriptions=subscriptions, **options
        )

    def recorded(self, market: Market) -> ConnectionPlan:
        """A plan without subscriptions."""
        return self.plan_of(any_instrument=True)

    def session(self, plan: ConnectionPlan, catalogue: Catalogue) -> FakeSession:
        """A fresh session; all made so far are kept in ``sessions``."""
        self.sessions.append(FakeSession(plan, self.rule))
        return self.sessions[-1]

    def prepared(self, plan: ConnectionPlan, response: HttpResponse) -> ConnectionPlan:
        """The answer to ``prepare`` is the URL."""
        return attrs.evolve(plan, url=response.body.decode())

    def check(self, response: HttpResponse) -> None:
        """429 is 429, and any other status but 200 a refusal."""
        if response.status == 429:
            raise RateLimited("fake: too many requests", retry_after_sec=float(response.headers["retry-after"]))
        if response.status != 200:
            raise RequestRefused(f"fake: HTTP {response.status}", status=response.status)

    def rate_notice(self, response: HttpResponse) -> RateNotice:
        """Header ``x-used`` counts what was used of the bucket ``weight``."""
        used = response.headers.get("x-used")
        return RateNotice({"weight": int(used)} if used else {}, float(response.headers.get("x-park", "0")))


def _subscribe(pair: str, channel: Channel) -> Send:
    return Send(msgspec.json.encode(["subscribe", pair, channel]).decode())


def _levels(rows: list[list[float]]) -> list[tuple[float, float]]:
    return [(float(price), float(quantity)) for price, quantity in rows]
