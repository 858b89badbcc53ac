"""A stage for connections: a network in memory, the fake venue on it, and notes of all that is said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import httpx
import pytest
import trio

from ctcore.contracts.driver import Control, Fetch, HttpResponse
from ctcore.errors import CtcoreError, DecodeError
from ctcore.feed.connection import Connection
from ctcore.feed.keeper import BookKeeper
from ctcore.feed.plan_runner import CONNECT_BUCKET, FeedParts, PlanRunner
from ctcore.feed.rest import RestClient
from ctcore.model.ids import Channel, Market, Subscription
from ctcore.model.instrument import Catalogue
from ctcore.runtime.clock import MonotonicStamp, TrioClock
from ctcore.testing.fake_server import FakeServer
from ctcore.testing.fakes import FakeDriver, fake_instrument
from ctcore.testing.memory_network import MemoryNetwork
from ctcore.wire.ratelimit import BucketLimit, RateBudget

EPOCH_US = 1_700_000_000_000_000


class NoChance(Random):
    """Always the whole of a pause or lifetime."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class Notes:
    """An observer that writes everything down."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Any]] = []

    def opened(self, connection: str, url: str) -> None:
        self.lines.append(("opened", trio.current_time()))

    def closed(self, connection: str) -> None:
        self.lines.append(("closed", trio.current_time()))

    def sent(self, connection: str, data: str | bytes) -> None:
        self.lines.append(("sent", data))

    def received(self, connection: str, frame: bytes) -> None:
        self.lines.append(("received", frame))

    def answered(self, connection: str, response: HttpResponse) -> None:
        self.lines.append(("answered", response.body))

    def control(self, connection: str, control: Control) -> None:
        self.lines.append(("control", control.kind))

    def undecodable(self, connection: str, error: DecodeError) -> None:
        self.lines.append(("undecodable", error.kind))

    def fetch_failed(self, connection: str, fetch: Fetch, error: CtcoreError) -> None:
        self.lines.append(("fetch_failed", error))

    def of(self, kind: str) -> list[Any]:
        return [what for told, what in self.lines if told == kind]


class StageNetwork(MemoryNetwork):
    """Sockets in memory; HTTP calls go to ``answer``."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[httpx.Request] = []
        self.answer: Callable[[httpx.Request], Awaitable[httpx.Response]] | None = None

    def http_transport(self) -> Any:
        async def handle(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            await trio.lowlevel.checkpoint()
            return httpx.Response(200, text="fine") if self.answer is None else await self.answer(request)

        return httpx.MockTransport(handle)


class Stage:
    """Everything a connection or a plan's runner needs, and the venue to play against it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.network = StageNetwork()
        self.listener = self.network.listen("fake.venue", 80)
        self.driver = FakeDriver()
        self.btc = fake_instrument()
        self.published: list[Any] = []
        self.statuses: list[Any] = []
        self.notes = Notes()
        self.keeper = BookKeeper(self.published.append)
        self.keeper.watch(self.btc)
        self.stamp = MonotonicStamp(TrioClock(EPOCH_US)).now_us
        self.budget = RateBudget("fake", [BucketLimit("weight", 100, 60.0)])
        self.rest = RestClient(self.driver, self.budget, self.network)
        self.catalogue = Catalogue("fake", Market.SPOT)
        self.all_streams = tuple(
            Subscription(self.btc, channel) for channel in (Channel.ORDERBOOK, Channel.TRADE, Channel.TICKER)
        )

    def plan(self, *subscriptions: Subscription, **options: Any) -> Any:
        return self.driver.plan_of(*(subscriptions or self.all_streams), **options)

    def connection(self, plan: Any = None, *, session: Any = None, **options: Any) -> Connection:
        plan = plan or self.plan()
        return Connection(
            plan,
            session or self.driver.session(plan, self.catalogue),
            network=self.network,
            rest=self.rest,
            accept=options.pop("accept", self.keeper.accept),
            stamp=self.stamp,
            observer=self.notes,
            **options,
        )

    def runner(self, plan: Any = None, *, connects_per_sec: int = 10, **options: Any) -> PlanRunner:
        parts = FeedParts(
            driver=self.driver,
            network=self.network,
            rest=self.rest,
            connects=RateBudget("connects", [BucketLimit(CONNECT_BUCKET, connects_per_sec, 1.0)]),
            keeper=self.keeper,
            stamp=self.stamp,
            observer=self.notes,
            publish_status=self.statuses.append,
            random=options.pop("random", NoChance()),
            **options,
        )
        return PlanRunner(plan or self.plan(), self.catalogue, parts)

    async def venue(self) -> FakeServer:
        """The venue's end of the next connection, its handshake done."""
        server = FakeServer(await self.listener.accept())
        await server.accept()
        return server

    async def ready_venue(self, seq: int = 1) -> FakeServer:
        """As :meth:`venue`; every subscription is acknowledged and the book stands at ``seq``."""
        server = await self.venue()
        for subscription in self.all_streams:
            await server.receive()
            await server.send(["ok", subscription.instrument.pair, subscription.channel])
        await server.send(["snapshot", "BTC/USDT", seq, seq, [[1.0, float(seq)]], [[2.0, 1.0]]])
        return server


@pytest.fixture
async def stage():
    async with trio.open_nursery() as nursery:
        stage = Stage(nursery)
        async with stage.rest:
            yield stage
        nursery.cancel_scope.cancel()
