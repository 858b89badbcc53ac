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
from ctcore.errors import ConnectionLost, CtcoreError, raise_sole
from ctcore.feed.connection import Connection, ConnectionStatistics, Observer
from ctcore.feed.handover import Handover
from ctcore.feed.keeper import BookKeeper
from ctcore.feed.rest import RestClient
from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.instrument import Catalogue
from ctcore.model.market import FeedState, FeedStatus, GapReason
from ctcore.runtime.service import Service
from ctcore.wire.network import Network
from ctcore.wire.ratelimit import RateBudget

HANDOVER_SEC = 60.0
HANDOVER_POLL_SEC = 0.1
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

    def __init__(self, connection: Connection, since_us: int) -> None:
        self.connection = connection
        self.since_us = since_us
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
        try:
            async with trio.open_nursery() as nursery:
                error = await self._stay_connected(nursery)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise_sole(group)
        raise error

    async def _stay_connected(self, nursery: trio.Nursery) -> CtcoreError:
        """Returns how the connection was lost in the end."""
        live = self._live = await self._open(nursery, self._parts.keeper.accept)
        try:
            while True:
                await _first_of(live.ended, live.connection.retiring)
                if live.ended.is_set():
                    return live.error
                live = self._live = await self._replace(nursery, live)
        finally:
            lost = live.ended.is_set()
            reason = GapReason.DISCONNECT if lost else GapReason.RESTART
            self._interrupted(reason, str(live.error) if lost else "stopped")
            self._live = None

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
        live = _Live(connection, parts.stamp())
        nursery.start_soon(self._work, live)
        self._status(FeedState.UP, plan.url.split("?", 1)[0])
        return live

    async def _work(self, live: _Live) -> None:
        with live.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._declare_whole, live)
                try:
                    await live.connection.run()
                except CtcoreError as error:
                    live.error = error
                nursery.cancel_scope.cancel()
        live.ended.set()

    async def _declare_whole(self, live: _Live) -> None:
        """Streams without snapshots are whole again as soon as the venue has acknowledged them.

        Gaps from before this connection end here; those it opened itself are the session's to close.
        """
        await live.connection.became_ready.wait()
        keeper, now_us = self._parts.keeper, self._parts.stamp()
        for instrument, channel in self._streams_without_snapshots():
            gap = keeper.open_gap(instrument, channel)
            if gap is not None and gap.received_us <= live.since_us:
                keeper.whole(instrument, channel, now_us, now_us)

    async def _replace(self, nursery: trio.Nursery, old: _Live) -> _Live:
        """Go over to a successor; the old connection, ended, when there was none that lasted."""
        self._status(FeedState.RETIRING, old.connection.retire_reason)
        while not old.ended.is_set():
            new = await self._successor(nursery, old)
            handover = Handover(self._parts.keeper, old.connection, new.connection, self.plan.subscriptions)
            await self._meet(handover, old, new)
            now_us = self._parts.stamp()
            if old.ended.is_set() or not new.ended.is_set():
                handover.finish(now_us)
                self._declare_unready(old, new, now_us)
                old.scope.cancel()
                await old.ended.wait()
                return new
            logger.warning("{}: the successor did not last: {}", self.name, new.error)
            handover.abandon(now_us)
            await _sleep_unless(old.ended, SUCCESSOR_RETRY_SEC)
        return old

    async def _meet(self, handover: Handover, old: _Live, new: _Live) -> None:
        """Wait until the new connection has everything, one of the two has ended, or time is up."""
        with trio.move_on_after(HANDOVER_SEC):
            while not handover.done or not new.connection.session.ready:
                if old.ended.is_set() or new.ended.is_set():
                    break
                with trio.move_on_after(HANDOVER_POLL_SEC):
                    await _first_of(old.ended, new.ended)

    def _declare_unready(self, old: _Live, new: _Live, now_us: int) -> None:
        """Streams without snapshots have a hole when the old connection goes before the new one has them."""
        if new.connection.became_ready.is_set() or new.connection.session.ready:
            return
        new.since_us = now_us
        lost = old.ended.is_set()
        reason = GapReason.DISCONNECT if lost else GapReason.HANDOVER
        for instrument, channel in self._streams_without_snapshots():
            self._parts.keeper.interrupted(instrument, channel, reason, "the successor was not ready", now_us)

    def _streams_without_snapshots(self) -> list[tuple[InstrumentId, Channel]]:
        streams = ((s.instrument, s.channel) for s in self.plan.subscriptions)
        return [(instrument, channel) for instrument, channel in streams if channel is not Channel.ORDERBOOK]

    async def _successor(self, nursery: trio.Nursery, old: _Live) -> _Live:
        """Open the new connection, trying again for as long as the old one lasts."""
        while True:
            try:
                return await self._open(nursery, _ignore)
            except CtcoreError as error:
                if old.ended.is_set():
                    raise
                logger.warning("{}: no successor yet: {}", self.name, error)
            await _sleep_unless(old.ended, SUCCESSOR_RETRY_SEC)

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


async def _sleep_unless(event: trio.Event, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await event.wait()


async def _first_of(*events: trio.Event) -> None:
    async with trio.open_nursery() as nursery:

        async def watch(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(watch, event)
