"""Keeps one connection plan alive: a connection, its planned successor, and the gap when there was none.

One run of :class:`PlanRunner` lasts until a connection is lost without a successor; the supervisor runs it
again.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio
from loguru import logger

from ctcore.contracts.driver import ConnectionPlan, Driver
from ctcore.errors import ConnectionLost, CtcoreError, TransportError
from ctcore.feed.connection import Connection, ConnectionStatistics, Observer
from ctcore.feed.handover import Handover
from ctcore.feed.keeper import BookKeeper
from ctcore.feed.rest import RestClient
from ctcore.model.ids import Channel
from ctcore.model.instrument import Catalogue
from ctcore.model.market import FeedState, FeedStatus, GapReason
from ctcore.runtime.service import Service
from ctcore.wire.network import Network
from ctcore.wire.ratelimit import RateBudget

HANDOVER_SEC = 60.0
SUCCESSOR_RETRY_SEC = 5.0
CONNECT_BUCKET = "connect"


@attrs.frozen(kw_only=True)
class FeedParts:
    """What all connections of a venue share. ``connects`` paces new sockets; ``stamp`` gives times of
    receipt.
    """

    driver: Driver
    network: Network
    rest: RestClient
    connects: RateBudget
    keeper: BookKeeper
    stamp: Callable[[], int]
    observer: Observer
    publish_status: Callable[[FeedStatus], None]
    tapped: bool = False


class _Live:
    """A running connection and how it ended."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.ended = trio.Event()
        self.error: CtcoreError = ConnectionLost(f"{connection.plan.name}: ended")
        self.scope = trio.CancelScope()


class PlanRunner(Service):
    """The service that keeps one plan connected."""

    def __init__(self, plan: ConnectionPlan, catalogue: Catalogue, parts: FeedParts) -> None:
        self.plan = plan
        self.name = plan.name
        self._catalogue = catalogue
        self._parts = parts
        self._live: _Live | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, and stay connected over planned ends; raises when a connection is lost."""
        task_status.started()
        async with trio.open_nursery() as nursery:
            live = self._live = await self._open(nursery, self._parts.keeper.accept)
            try:
                while True:
                    await _first_of(live.ended, live.connection.retiring)
                    if live.ended.is_set():
                        raise live.error
                    live = self._live = await self._replace(nursery, live)
            finally:
                lost = live.ended.is_set()
                self._interrupted(
                    GapReason.DISCONNECT if lost else GapReason.RESTART, str(live.error) if lost else "stopped"
                )
                self._live = None
                nursery.cancel_scope.cancel()

    def statistics(self) -> ConnectionStatistics | None:
        """Of the connection that feeds now, or None while there is none."""
        return self._live.connection.statistics() if self._live else None

    async def _open(self, nursery: trio.Nursery, accept: Callable[..., bool]) -> _Live:
        parts, plan = self._parts, self.plan
        await parts.connects.acquire({CONNECT_BUCKET: 1})
        if plan.prepare is not None:
            plan = parts.driver.prepared(plan, await parts.rest.perform(plan.prepare))
        connection = Connection(
            plan,
            parts.driver.session(plan, self._catalogue),
            network=parts.network,
            rest=parts.rest,
            accept=accept,
            stamp=parts.stamp,
            observer=parts.observer,
            tapped=parts.tapped,
        )
        await connection.connect()
        live = _Live(connection)
        nursery.start_soon(self._work, live)
        nursery.start_soon(self._declare_whole, live)
        self._status(FeedState.UP, plan.url.split("?", 1)[0])
        return live

    async def _work(self, live: _Live) -> None:
        with live.scope:
            try:
                await live.connection.run()
            except TransportError as error:
                live.error = error
        live.ended.set()

    async def _declare_whole(self, live: _Live) -> None:
        """Streams without snapshots are whole again as soon as the venue has acknowledged them."""
        with live.scope:
            await live.connection.became_ready.wait()
            now_us = self._parts.stamp()
            for subscription in self.plan.subscriptions:
                if subscription.channel is not Channel.ORDERBOOK:
                    self._parts.keeper.whole(subscription.instrument, subscription.channel, now_us, now_us)

    async def _replace(self, nursery: trio.Nursery, old: _Live) -> _Live:
        reason = old.connection.retire_reason
        self._status(FeedState.RETIRING, reason)
        new = await self._successor(nursery, old)
        handover = Handover(self._parts.keeper, old.connection, new.connection, self.plan.subscriptions)
        with trio.move_on_after(HANDOVER_SEC):
            while not handover.done or not new.connection.session.ready:
                if old.ended.is_set() or new.ended.is_set():
                    break
                await trio.sleep(0.1)
        handover.finish(self._parts.stamp())
        old.scope.cancel()
        await old.ended.wait()
        return new

    async def _successor(self, nursery: trio.Nursery, old: _Live) -> _Live:
        """Open the new connection, trying again for as long as the old one lasts."""
        while True:
            try:
                return await self._open(nursery, _ignore)
            except CtcoreError as error:
                if not error.retry or old.ended.is_set():
                    raise
                logger.warning("{}: no successor yet: {}", self.name, error)
            with trio.move_on_after(SUCCESSOR_RETRY_SEC):
                await old.ended.wait()

    def _interrupted(self, reason: GapReason, detail: str) -> None:
        parts = self._parts
        now_us = parts.stamp()
        self._status(FeedState.DOWN, detail)
        for subscription in self.plan.subscriptions:
            parts.keeper.interrupted(subscription.instrument, subscription.channel, reason, detail, now_us)

    def _status(self, state: FeedState, detail: str) -> None:
        plan = self.plan
        status = FeedStatus(plan.exchange, plan.market, plan.name, state, self._parts.stamp(), detail)
        self._parts.publish_status(status)


def _ignore(_: object) -> bool:
    """A successor says nothing before its handover begins."""
    return True


async def _first_of(*events: trio.Event) -> None:
    async with trio.open_nursery() as nursery:

        async def watch(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(watch, event)
