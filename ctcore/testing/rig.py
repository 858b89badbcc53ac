"""A test rig: one driver's shipped feed against its simulated venue, in memory and in virtual time.

Everything between the session and the bus is the real thing; only the sockets are memory. Run it under trio's
mock clock (the ``autojump_clock`` fixture of pytest-trio): minutes of market time then take seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import trio

from ctcore.contracts.driver import DriverPlugin, SimulatorOptions
from ctcore.feed.keeper import BookKeeper
from ctcore.feed.observer import LoggingObserver
from ctcore.feed.venue import VenueFeed
from ctcore.model.ids import Channel, InstrumentId, Subscription
from ctcore.model.instrument import Instrument
from ctcore.model.market import FeedStatus, MarketEvent
from ctcore.runtime.bus import Bus
from ctcore.runtime.clock import MonotonicStamp, TrioClock
from ctcore.runtime.service import RestartForever
from ctcore.runtime.supervisor import open_supervisor
from ctcore.testing.memory_network import MemoryNetwork
from ctcore.testing.witness import Witness
from ctcore.wire.backoff import BackoffPolicy

HOST, PORT = "127.0.0.1", 1
SYNC_SEC = 60.0
SETTLE_SEC = 60.0
PAIRS = ("BTC/USDT", "ETH/USDT")

_RESTART = RestartForever(BackoffPolicy(first_sec=0.5, max_sec=5.0))


def subscriptions(plugin: DriverPlugin, *, pairs: Iterable[str] = PAIRS, depth: int = 0) -> set[Subscription]:
    """Order books and trades of some pairs on every market the driver serves."""
    exchange, channels = plugin.info.id, (Channel.ORDERBOOK, Channel.TRADE)
    return {
        Subscription(InstrumentId(exchange, market, pair), channel, depth)
        for market in plugin.info.markets
        for pair in pairs
        for channel in channels
    }


class Rig:
    """The running rig; made by :func:`open_rig`."""

    def __init__(self, feed: VenueFeed, keeper: BookKeeper, bus: Bus, http: httpx.AsyncClient) -> None:
        self.feed = feed
        self.keeper = keeper
        self.bus = bus
        self.witness = Witness()
        self.events: list[MarketEvent] = []
        self.statuses: list[FeedStatus] = []
        self.instruments: dict[InstrumentId, Instrument] = {}
        self._http = http
        bus.subscribe(self.witness.see, types=[MarketEvent], on_error=_raise)
        bus.subscribe(self.statuses.append, types=[FeedStatus])

    async def wait_in_sync(self, seconds: float = SYNC_SEC) -> None:
        """Wait until every stream is whole; raises AssertionError saying what is not after ``seconds``."""
        with trio.move_on_after(seconds):
            while self.feed.unready or len(self.keeper.statistics()) == 0:
                await trio.sleep(0.05)
            return
        raise AssertionError(f"not in sync after {seconds:g} s: {self.feed.unready}")

    async def fault(self, kind: str, **more: Any) -> None:
        """Ask the venue for a fault; see ``POST /_sim/faults``."""
        await self._control("POST", "faults", {"kind": kind, **more})

    async def struck(self) -> list[dict[str, Any]]:
        """The faults that struck so far."""
        history: list[dict[str, Any]] = (await self._control("GET", "faults"))["history"]
        return history

    async def calm(self) -> None:
        """Let no further fault strike."""
        await self._control("POST", "calm", {})

    async def settle(self) -> None:
        """Stop the order flow and wait until the feed has caught up and is whole."""
        await self._control("POST", "pause", {"paused": True})
        await trio.sleep(2.0)
        await self.wait_in_sync(SETTLE_SEC)
        await trio.sleep(2.0)
        await self.wait_in_sync(SETTLE_SEC)

    async def true_book(self, instrument: InstrumentId) -> tuple[list[list[float]], list[list[float]]]:
        """The venue's own book: bids and asks, best first."""
        symbol = self.instruments[instrument].symbol
        found = await self._control("GET", f"book?market={instrument.market}&symbol={symbol}&depth=0")
        sides = found["bids"], found["asks"]
        bids, asks = ([[float(number) for number in level] for level in side] for side in sides)
        return bids, asks

    async def check_books(self, *, levels: int = 0) -> None:
        """Demand that every book equals the venue's, and that the published events rebuild it.

        ``levels`` > 0 compares only that many: a venue that gives 400 levels a side says nothing of the rest.
        """
        for instrument in sorted({s.instrument for s in self.feed.wanted}, key=str):
            book = self.keeper.book(instrument)
            assert book is not None, f"{instrument} has no book"
            assert book.valid, f"{instrument} is not in sync"
            bids, asks = await self.true_book(instrument)
            ours = [[list(level) for level in side] for side in (book.bids(levels), book.asks(levels))]
            theirs = [bids[: levels or None], asks[: levels or None]]
            assert ours == theirs, f"{instrument} differs from the venue"
            told = self.witness.books[instrument].book
            assert told.bids() == book.bids(), f"{instrument}: published events give other bids"
            assert told.asks() == book.asks(), f"{instrument}: published events give other asks"

    def check_witness(self) -> None:
        """Demand that nothing published was out of order, unannounced or twice."""
        assert not self.witness.objections, "\n".join(self.witness.objections[:20])

    async def _control(self, method: str, path: str, body: Any = None) -> Any:
        content = None if body is None else msgspec.json.encode(body)
        url, alone = f"http://{HOST}:{PORT}/_sim/{path}", {"connection": "close"}
        answer = await self._http.request(method, url, content=content, headers=alone)
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content)


@asynccontextmanager
async def open_rig(
    plugin: DriverPlugin,
    wanted: Iterable[Subscription] | None = None,
    *,
    config: Any = None,
    options: SimulatorOptions | None = None,
    simulator: Any = None,
) -> AsyncIterator[Rig]:
    """Start the venue and the feed; both end with the block.

    ``config`` is the driver's own section; ``simulator`` a simulator made by the caller (in place of
    ``options``).
    """
    if plugin.simulator is None:
        raise AssertionError(f"{plugin.info.id} brings no simulator")
    network = MemoryNetwork()
    venue = simulator or plugin.simulator(options or SimulatorOptions())
    bus = Bus()
    keeper = BookKeeper(bus.publish)
    chosen = frozenset(wanted if wanted is not None else subscriptions(plugin))
    for subscription in chosen:
        keeper.watch(subscription.instrument, subscription.depth or None)
    async with trio.open_nursery() as nursery, httpx.AsyncClient(transport=network.http_transport()) as http:
        await nursery.start(venue.run, [network.listen(HOST, PORT)])

        def learn(instruments: Sequence[Instrument]) -> None:
            rig.instruments.update((instrument.id, instrument) for instrument in instruments)

        feed = VenueFeed(
            plugin.create(venue.endpoints(f"{HOST}:{PORT}"), config),
            chosen,
            keeper=keeper,
            network=network,
            stamp=MonotonicStamp(TrioClock(venue.now_us())).now_us,
            observer=LoggingObserver(),
            on_instruments=learn,
            publish_status=bus.publish,
        )
        rig = Rig(feed, keeper, bus, http)
        async with open_supervisor() as supervisor:
            supervisor.add(feed, _RESTART)
            yield rig
        nursery.cancel_scope.cancel()


def _raise(error: Exception) -> None:
    raise error


