"""Keeps one connection plan alive: a connection, its planned successor, and the gap when there was none.

One run of :class:`PlanRunner` lasts until a connection is lost without a successor; the supervisor runs it
again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

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
from ctcore.wire.backoff import Backoff, BackoffPolicy
from ctcore.wire.network import Network
from ctcore.wire.ratelimit import RateBudget

TURN_SEC = 60.0
"""After this a handover that goes on lets the venue's next one begin."""
HANDOVER_POLL_SEC = 0.1
SUCCESSOR = BackoffPolicy(first_sec=5.0, max_sec=120.0)
MIN_AGE_SEC = 10.0
"""A connection that wants a successor before this age gets it at this age."""
YOUNGEST_RETIREMENT = 0.85
"""The share of its lifetime that chance leaves a connection at least."""
CONNECT_BUCKET = "connect"


@attrs.frozen(kw_only=True)
class FeedParts:
    """What all connections of a venue share. ``connects`` paces new sockets; ``handovers`` lets one at a
    time be replaced for its age; ``stamp`` gives times of receipt.
    """

    driver: Driver
    network: Network
    rest: RestClient
    connects: RateBudget
    handovers: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))
    keeper: BookKeeper
    stamp: Callable[[], int]
    observer: Observer
    publish_status: Callable[[FeedStatus], None]
    tapped: bool = False
    random: Random = attrs.field(factory=Random)


class _Live:
    """A running connection and how it ended. ``feeding`` is set once it is the one that feeds."""

    def __init__(self, connection: Connection, opened_us: int) -> None:
        self.connection = connection
        self.opened_us = self.since_us = opened_us
        self.mature_at = trio.current_time() + MIN_AGE_SEC
        self.feeding = trio.Event()
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
        self._crash = ""
        self._down = True

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, and stay connected over planned ends; raises when a connection is lost."""
        self._crash = ""
        try:
            async with trio.open_nursery() as nursery:
                error = await self._stay_connected(nursery, task_status)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise_sole(group)
        raise error

    async def _stay_connected(
        self, nursery: trio.Nursery, task_status: trio.TaskStatus[None]
    ) -> CtcoreError:
        """Returns how the connection was lost in the end."""
        live = self._live = await self._open(nursery)
        self._feeds(live)
        task_status.started()
        try:
            while True:
                await _first_of(live.ended, live.connection.retiring)
                if live.ended.is_set():
                    return live.error
                live = self._live = await self._replace(nursery, live)
        finally:
            lost = self._crash or (str(live.error) if live.ended.is_set() else "")
            reason = GapReason.DISCONNECT if lost else GapReason.RESTART
            self._interrupted(reason, lost or "stopped")
            self._live = None

    def statistics(self) -> ConnectionStatistics | None:
        """Of the connection that feeds now, or None while there is none."""
        return self._live.connection.statistics() if self._live else None

    async def _open(self, nursery: trio.Nursery) -> _Live:
        """A new connection; it says nothing before its caller waits for something."""
        parts, plan = self._parts, await self._prepared()
        connection = Connection(
            plan,
            parts.driver.session(plan, self._catalogue),
            network=parts.network,
            rest=parts.rest,
            accept=parts.keeper.accept,
            stamp=parts.stamp,
            observer=parts.observer,
            interrupted=lambda *what: self._unreadable(connection, *what),
            tapped=parts.tapped,
        )
        await connection.connect()
        live = _Live(connection, parts.stamp())
        nursery.start_soon(self._work, live)
        return live

    async def _prepared(self) -> ConnectionPlan:
        parts, plan = self._parts, self.plan
        await parts.connects.acquire({CONNECT_BUCKET: 1})
        request = parts.driver.prepare(plan, parts.stamp())
        if request is not None:
            response = await parts.rest.perform(request, priority=True)
            plan = parts.driver.prepared(plan, response, parts.stamp())
        if plan.lifetime_sec is not None:
            share = parts.random.uniform(YOUNGEST_RETIREMENT, 1.0)
            plan = attrs.evolve(plan, lifetime_sec=plan.lifetime_sec * share)
        return plan

    def _feeds(self, live: _Live) -> None:
        live.feeding.set()
        self._down = False
        self._status(FeedState.UP, live.connection.plan.url.split("?", 1)[0])

    def _unreadable(
        self, connection: Connection, instrument: InstrumentId, channel: Channel, reason: GapReason,
        detail: str, now_us: int,
    ) -> None:  # fmt: skip
        """A frame of a stream is lost; while a successor only listens, the other one has it."""
        if self._live is None or self._live.connection is connection:
            self._parts.keeper.interrupted(instrument, channel, reason, detail, now_us)

    async def _work(self, live: _Live) -> None:
        with live.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._declare_whole, live)
                try:
                    await live.connection.run()
                except CtcoreError as error:
                    live.error = error
                except Exception as crash:
                    self._crash = f"crashed: {crash!r}"
                    raise
                nursery.cancel_scope.cancel()
        live.ended.set()

    async def _declare_whole(self, live: _Live) -> None:
        """Streams without snapshots are whole again as soon as the venue has acknowledged them.

        Gaps from before this connection end here; those it opened itself are the session's to close, and a
        stream that was refused anew is not whole.
        """
        await live.feeding.wait()
        await live.connection.became_acknowledged.wait()
        keeper, now_us = self._parts.keeper, self._parts.stamp()
        for instrument, channel in self._streams_without_snapshots():
            gap = keeper.open_gap(instrument, channel)
            if gap is None or keeper.refused_us(instrument, channel) > live.opened_us:
                continue
            if gap.received_us <= live.since_us:
                keeper.whole(instrument, channel, now_us, now_us)

    async def _replace(self, nursery: trio.Nursery, old: _Live) -> _Live:
        """Go over to a successor; the old connection, ended, when there was none that lasted."""
        self._status(FeedState.RETIRING, old.connection.retire_reason)
        with trio.move_on_at(old.mature_at):
            await old.ended.wait()
        pauses = SUCCESSOR.start(self._parts.random)
        while not old.ended.is_set():
            async with self._turn(old) as let_next_begin:
                new = await self._successor(nursery, old, pauses)
                if new is None:
                    break
                handover = Handover(
                    self._parts.keeper, old.connection, new.connection, self.plan.subscriptions,
                    comparable=self.plan.ids_across_connections,
                )  # fmt: skip
                await self._meet(handover, old, new, let_next_begin)
                if old.ended.is_set() or not new.ended.is_set():
                    await self._go_over(handover, old, new)
                    return new
                logger.warning("{}: the successor did not last: {}", self.name, new.error)
                handover.abandon(self._parts.stamp())
            await _sleep_unless(old.ended, next(pauses))
        return old

    @asynccontextmanager
    async def _turn(self, old: _Live) -> AsyncIterator[Callable[[], None]]:
        """One connection at a time is replaced for its age; one whose end is announced waits for nobody."""
        limiter, holds = self._parts.handovers, False

        def release() -> None:
            nonlocal holds
            if holds:
                holds = False
                limiter.release_on_behalf_of(old)

        async with trio.open_nursery() as nursery:
            for event in (old.ended, old.connection.announced):
                nursery.start_soon(_cancel_after, event, nursery.cancel_scope)
            await limiter.acquire_on_behalf_of(old)
            holds = True
            nursery.cancel_scope.cancel()
        try:
            yield release
        finally:
            release()

    async def _meet(
        self, handover: Handover, old: _Live, new: _Live, let_next_begin: Callable[[], None]
    ) -> None:
        """Wait until the new connection has everything, or one of the two has ended.

        However long that takes: the old one is whole, and goes on.
        """
        began = trio.current_time()
        while not handover.done or not new.connection.session.ready:
            if old.ended.is_set() or new.ended.is_set():
                break
            with trio.move_on_after(HANDOVER_POLL_SEC):
                await _first_of(old.ended, new.ended)
            handover.tick(self._parts.stamp())
            if trio.current_time() - began >= TURN_SEC:
                let_next_begin()

    async def _go_over(self, handover: Handover, old: _Live, new: _Live) -> None:
        now_us, lost = self._parts.stamp(), old.ended.is_set()
        if lost:
            self._tell_down(str(old.error))
        handover.finish(now_us, GapReason.DISCONNECT if lost else GapReason.HANDOVER)
        self._declare_unready(old, new, now_us)
        self._feeds(new)
        old.scope.cancel()
        await old.ended.wait()

    def _declare_unready(self, old: _Live, new: _Live, now_us: int) -> None:
        """Streams without snapshots have a hole when the old connection goes before the new one has them."""
        if new.connection.became_acknowledged.is_set() or new.connection.session.acknowledged:
            return
        new.since_us = now_us
        lost = old.ended.is_set()
        reason = GapReason.DISCONNECT if lost else GapReason.HANDOVER
        for instrument, channel in self._streams_without_snapshots():
            self._parts.keeper.interrupted(instrument, channel, reason, "the successor was not ready", now_us)

    def _streams_without_snapshots(self) -> list[tuple[InstrumentId, Channel]]:
        streams = ((s.instrument, s.channel) for s in self.plan.subscriptions)
        return [(instrument, channel) for instrument, channel in streams if channel is not Channel.ORDERBOOK]

    async def _successor(self, nursery: trio.Nursery, old: _Live, pauses: Backoff) -> _Live | None:
        """Open the new connection, trying again for as long as the old one lasts; None when it has ended."""
        watching = trio.CancelScope()
        nursery.start_soon(self._tell_when_lost, old, watching)
        try:
            while True:
                try:
                    return await self._open(nursery)
                except CtcoreError as error:
                    logger.warning("{}: no successor yet: {}", self.name, error)
                if old.ended.is_set():
                    return None
                await _sleep_unless(old.ended, next(pauses))
        finally:
            watching.cancel()

    async def _tell_when_lost(self, old: _Live, watching: trio.CancelScope) -> None:
        """The old connection ends and there is no other: what comes from here on is missing."""
        with watching:
            await old.ended.wait()
            self._interrupted(GapReason.DISCONNECT, str(old.error))

    def _interrupted(self, reason: GapReason, detail: str) -> None:
        parts = self._parts
        now_us = parts.stamp()
        self._tell_down(detail)
        for subscription in self.plan.subscriptions:
            parts.keeper.interrupted(subscription.instrument, subscription.channel, reason, detail, now_us)

    def _tell_down(self, detail: str) -> None:
        if not self._down:
            self._down = True
            self._status(FeedState.DOWN, detail)

    def _status(self, state: FeedState, detail: str) -> None:
        plan = self.plan
        status = FeedStatus(plan.exchange, plan.market, plan.name, state, self._parts.stamp(), detail)
        self._parts.publish_status(status)


async def _sleep_unless(event: trio.Event, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await event.wait()


async def _cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _first_of(*events: trio.Event) -> None:
    async with trio.open_nursery() as nursery:
        for event in events:
            nursery.start_soon(_cancel_after, event, nursery.cancel_scope)
