"""A simulated OKX in memory, and ways to talk to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import trio
from ctdaemon_okx.config import OkxConfig
from ctdaemon_okx.driver import OkxDriver
from ctdaemon_okx.simulator import OkxSimulator
from ctdaemon_okx.symbols import symbol_of

from ctcore.contracts.driver import SimulatorOptions
from ctcore.errors import ConnectionLost
from ctcore.feed.keeper import BookKeeper
from ctcore.feed.observer import LoggingObserver
from ctcore.feed.venue import VenueFeed
from ctcore.model.ids import InstrumentId, Subscription
from ctcore.model.market import MarketEvent
from ctcore.runtime.clock import MonotonicStamp, TrioClock
from ctcore.testing.memory_network import MemoryNetwork
from ctcore.wire import websocket

HOST, PORT = "127.0.0.1", 9_000
START_US = 1_790_000_000_000_000


class Client:
    """One raw WebSocket; messages are read as JSON, pongs as text."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self.socket = socket
        self._waiting: list[Any] = []

    async def send(self, message: Any) -> None:
        await self.socket.send(message if isinstance(message, str) else json.dumps(message))

    async def subscribe(self, *args: dict[str, str], op: str = "subscribe") -> None:
        await self.send({"id": "t1", "op": op, "args": list(args)})

    async def next(self) -> Any:
        while not self._waiting:
            frames = await self.socket.receive()
            self._waiting += [frame if frame == b"pong" else json.loads(frame) for frame in frames]
        return self._waiting.pop(0)

    async def next_data(self, action: str | None = None) -> Any:
        while True:
            message = await self.next()
            if "data" in message and action in (None, message.get("action")):
                return message

    async def closed(self) -> int:
        """The code the venue closes with."""
        try:
            while True:
                await self.next()
        except ConnectionLost as lost:
            return lost.code


@attrs.define
class Venue:
    simulator: OkxSimulator
    network: MemoryNetwork
    http: httpx.AsyncClient

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        response = await self.http.get(f"/api/v5/{path}", params=query)
        return response.status_code, response.json()

    async def data(self, path: str, **query: str) -> Any:
        status, body = await self.get(path, **query)
        assert (status, body["code"], body["msg"]) == (200, "0", "")
        return body["data"]

    async def connect(self, socket: str = "public") -> Client:
        url = f"ws://{HOST}:{PORT}/ws/v5/{socket}"
        return Client(await websocket.connect(self.network, url, headers={}))


@asynccontextmanager
async def open_venue(*, ws_snapshot: bool = True, seed: int = 1) -> AsyncIterator[Venue]:
    network = MemoryNetwork(buffer_bytes=1 << 20)
    simulator = OkxSimulator(SimulatorOptions(seed=seed), ws_snapshot=ws_snapshot, start_us=START_US)
    async with (
        httpx.AsyncClient(transport=network.http_transport(), base_url=f"http://{HOST}:{PORT}") as http,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(simulator.run, [network.listen(HOST, PORT)])
        yield Venue(simulator, network, http)
        nursery.cancel_scope.cancel()


@attrs.define
class Fed:
    """The shipped feed at work on a venue; ``events`` is all that was published."""

    venue: Venue
    feed: VenueFeed
    keeper: BookKeeper
    events: list[MarketEvent]

    async def wait_ready(self, within_sec: float = 60.0) -> None:
        with trio.fail_after(within_sec):
            while self.feed.unready:  # noqa: ASYNC110  there is no event to wait for
                await trio.sleep(0.5)

    async def wait_equal(self, instruments: list[InstrumentId], within_sec: float = 60.0) -> None:
        """Stop the market and wait until every book is the simulator's own."""
        for market in self.venue.simulator.markets.values():
            market.halted = True
        with trio.fail_after(within_sec):
            while not all(map(self.equal, instruments)):  # noqa: ASYNC110  likewise
                await trio.sleep(0.5)

    def equal(self, instrument: InstrumentId) -> bool:
        item = self.venue.simulator.markets[instrument.market][symbol_of(instrument)]
        truth = item.book.levels(400)
        book = self.keeper.book(instrument)
        if book is None or not book.valid:
            return False
        return all(
            [(float(price), float(size)) for price, size in item.texts(wanted)] == got
            for wanted, got in ((truth.bids, book.bids()), (truth.asks, book.asks()))
        )


@asynccontextmanager
async def open_feed(
    venue: Venue, *wanted: Subscription, config: OkxConfig | None = None
) -> AsyncIterator[Fed]:
    events: list[MarketEvent] = []
    keeper = BookKeeper(events.append)
    stamp = MonotonicStamp(TrioClock(START_US))
    feed = VenueFeed(
        OkxDriver(venue.simulator.endpoints(f"{HOST}:{PORT}"), config),
        set(wanted),
        keeper=keeper,
        network=venue.network,
        stamp=stamp.now_us,
        observer=LoggingObserver(),
        on_instruments=lambda _: None,
        publish_status=lambda _: None,
    )
    for subscription in wanted:
        keeper.watch(subscription.instrument)
    async with trio.open_nursery() as nursery:
        await nursery.start(feed.run)
        yield Fed(venue, feed, keeper, events)
        nursery.cancel_scope.cancel()
