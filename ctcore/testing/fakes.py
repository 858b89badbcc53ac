"""A driver small enough to read in a minute, for tests of whatever runs drivers.

Its wire is JSON arrays; :class:`~ctcore.testing.fake_server.FakeServer` is the venue's end of it.
"""
# ruff: noqa: ARG002  a fake ignores much of what the contract hands it

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar

import attrs
import msgspec

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

    @property
    def acknowledged(self) -> bool:
        """Nothing waits for an answer."""
        return not self._waiting

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
        capabilities={
            Market.SPOT: Capabilities(frozenset({Channel.ORDERBOOK, Channel.TRADE, Channel.TICKER}), ())
        },
        rate_limits=(),
    )

    def __init__(
        self, endpoints: Endpoints | None = None, *, rule: SequenceRule = SNAPSHOT_IN_STREAM
    ) -> None:
        super().__init__(endpoints or self.info.environments["live"])
        self.rule = rule
        self.preparation: HttpRequest | None = None
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
            name="fake spot 1",
            exchange="fake",
            market=Market.SPOT,
            url=url,
            subscriptions=subscriptions,
            **options,
        )

    def recorded(self, market: Market) -> ConnectionPlan:
        """A plan without subscriptions."""
        return self.plan_of(any_instrument=True)

    def session(self, plan: ConnectionPlan, catalogue: Catalogue) -> FakeSession:
        """A fresh session; all made so far are kept in ``sessions``."""
        self.sessions.append(FakeSession(plan, self.rule))
        return self.sessions[-1]

    def prepare(self, plan: ConnectionPlan, now_us: int) -> HttpRequest | None:
        """``preparation``, with the time added as ``at``."""
        return self.preparation and attrs.evolve(self.preparation, url=f"{self.preparation.url}?at={now_us}")

    def prepared(self, plan: ConnectionPlan, response: HttpResponse, now_us: int) -> ConnectionPlan:
        """The answer is the URL."""
        return attrs.evolve(plan, url=response.body.decode(), extra={"prepared_us": str(now_us)})

    def check(self, response: HttpResponse) -> None:
        """429 is 429, and any other status but 200 a refusal."""
        if response.status == 429:
            wait_sec = float(response.headers["retry-after"])
            raise RateLimited("fake: too many requests", retry_after_sec=wait_sec)
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
