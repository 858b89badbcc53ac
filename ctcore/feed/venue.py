"""All feeds of one venue: its catalogues, its rate budget, its connections."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet

import attrs
import trio
from loguru import logger

from ctcore.contracts.driver import Driver
from ctcore.errors import CtcoreError, UnknownInstrument
from ctcore.feed.connection import ConnectionStatistics, Observer
from ctcore.feed.keeper import BookKeeper
from ctcore.feed.plan_runner import CONNECT_BUCKET, FeedParts, PlanRunner
from ctcore.feed.rest import RestClient
from ctcore.model.ids import Channel, Market, Subscription
from ctcore.model.instrument import Catalogue, Instrument
from ctcore.model.market import FeedStatus
from ctcore.runtime.service import RestartForever, Service, ServiceStatus
from ctcore.runtime.supervisor import Supervisor, open_supervisor
from ctcore.wire.backoff import BackoffPolicy
from ctcore.wire.network import Network
from ctcore.wire.ratelimit import BucketLimit, RateBudget, RateStatistics

CATALOGUE_REFRESH_SEC = 3600.0
BUDGET_SHARE = 0.85
"""How much of what a venue allows is used: requests do not reach it exactly when they are sent."""
RECONNECT = RestartForever(BackoffPolicy(first_sec=0.5, max_sec=30.0, jitter=0.5))


@attrs.frozen
class VenueStatistics:
    """Of one venue; ``missing`` are the subscriptions whose instrument the venue does not list."""

    exchange: str
    instruments: int
    missing: tuple[str, ...]
    connections: tuple[ConnectionStatistics, ...]
    budget: RateStatistics


class VenueFeed(Service):
    """The service that feeds the keeper with everything ``wanted`` of one venue.

    A book is checked after ``quiet_sec`` of silence, or after the driver's own measure if that is longer.
    ``on_instruments`` is told of every instrument that is wanted, before its first event and when it changes.
    """

    def __init__(
        self,
        driver: Driver,
        wanted: AbstractSet[Subscription],
        *,
        keeper: BookKeeper,
        network: Network,
        stamp: Callable[[], int],
        observer: Observer,
        on_instruments: Callable[[Sequence[Instrument]], None],
        publish_status: Callable[[FeedStatus], None],
        quiet_sec: float = 0.0,
        tapped: bool = False,
    ) -> None:
        self.name = f"feed {driver.info.id}"
        self.driver = driver
        self.wanted = frozenset(wanted)
        self.missing: set[Subscription] = set()
        self.budget = _request_budget(driver)
        self.catalogues: dict[Market, Catalogue] = {}
        self._connects = _connect_budget(driver)
        self._handovers = trio.CapacityLimiter(1)
        self._keeper = keeper
        self._network = network
        self._stamp = stamp
        self._observer = observer
        self._on_instruments = on_instruments
        self._publish_status = publish_status
        self._quiet_sec = quiet_sec
        self._tapped = tapped
        self._runners: list[PlanRunner] = []
        self._supervisor: Supervisor | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Load the catalogues, connect, and keep both fresh."""
        self._runners.clear()
        async with RestClient(self.driver, self.budget, self._network) as rest:
            await self._load_catalogues(rest)
            async with open_supervisor(stop_sec=0.0) as supervisor:
                self._supervisor = supervisor
                try:
                    self.missing = set(self.wanted)
                    self._feed_known(rest)
                    task_status.started()
                    while True:
                        await trio.sleep(CATALOGUE_REFRESH_SEC)
                        await self._refresh(rest)
                finally:
                    self._supervisor = None

    def connections(self) -> tuple[ServiceStatus, ...]:
        """The state of each connection plan."""
        return self._supervisor.statistics() if self._supervisor else ()

    @property
    def unready(self) -> list[str]:
        """What is not whole yet, one line each; empty when every wanted stream is."""
        lines = [f"{self.name}: {wanted} is not listed" for wanted in sorted(map(str, self.missing))]
        if self._supervisor is None:
            return [*lines, f"{self.name}: not connected"]
        for runner in self._runners:
            statistics = runner.statistics()
            if statistics is None:
                lines.append(f"{runner.name}: not connected")
            elif not statistics.ready:
                lines.append(f"{runner.name}: not every stream is in sync")
        return lines

    def statistics(self) -> VenueStatistics:
        """A frozen picture."""
        found = [runner.statistics() for runner in self._runners]
        return VenueStatistics(
            exchange=self.driver.info.id,
            instruments=sum(map(len, self.catalogues.values())),
            missing=tuple(sorted(map(str, self.missing))),
            connections=tuple(statistics for statistics in found if statistics is not None),
            budget=self.budget.statistics(),
        )

    async def _load_catalogues(self, rest: RestClient) -> None:
        for market in sorted({subscription.instrument.market for subscription in self.wanted}):
            requests = self.driver.instruments(market)
            responses = [await rest.perform(request, priority=True) for request in requests]
            instruments = self.driver.parse_instruments(market, responses)
            catalogue = self.catalogues.setdefault(market, Catalogue(self.driver.info.id, market))
            self._tell(catalogue.update(instruments))
            logger.info("{}: {} {} instruments", self.name, len(instruments), market)

    async def _refresh(self, rest: RestClient) -> None:
        try:
            await self._load_catalogues(rest)
        except CtcoreError as error:
            logger.warning("{}: the catalogue could not be refreshed: {}", self.name, error)
        self._feed_known(rest)

    def _tell(self, instruments: Iterable[Instrument]) -> None:
        ids = {subscription.instrument for subscription in self.wanted}
        wanted = [instrument for instrument in instruments if instrument.id in ids]
        if wanted:
            self._on_instruments(wanted)

    def _feed_known(self, rest: RestClient) -> None:
        """Connect for whatever was missing and is listed now; say what is not."""
        known = {subscription for subscription in self.missing if self._listed(subscription)}
        self.missing -= known
        if not known or self._supervisor is None:
            return
        for subscription in known:
            depth = subscription.depth if subscription.channel is Channel.ORDERBOOK else None
            self._keeper.watch(subscription.instrument, depth)
        parts = FeedParts(
            driver=self.driver,
            network=self._network,
            rest=rest,
            connects=self._connects,
            handovers=self._handovers,
            keeper=self._keeper,
            stamp=self._stamp,
            observer=self._observer,
            publish_status=self._publish_status,
            tapped=self._tapped,
        )
        for plan in self.driver.plan(known, self.catalogues):
            quiet_sec = max(plan.quiet_sec, self._quiet_sec)
            plan = attrs.evolve(plan, name=self._unused(plan.name), quiet_sec=quiet_sec)
            runner = PlanRunner(plan, self.catalogues[plan.market], parts)
            self._runners.append(runner)
            self._supervisor.add(runner, RECONNECT)

    def _listed(self, subscription: Subscription) -> bool:
        try:
            self.catalogues[subscription.instrument.market][subscription.instrument]
        except UnknownInstrument as error:
            logger.error("{}: {} cannot be watched: {}", self.name, subscription, error)
            return False
        return True

    def _unused(self, name: str) -> str:
        taken = {runner.name for runner in self._runners}
        number, unused = 2, name
        while unused in taken:
            unused, number = f"{name}-{number}", number + 1
        return unused


def _request_budget(driver: Driver) -> RateBudget:
    return RateBudget(driver.info.id, [
        BucketLimit(limit.bucket, max(1, math.floor(limit.capacity * BUDGET_SHARE)), limit.interval_sec)
        for limit in driver.info.rate_limits
    ])  # fmt: skip


def _connect_budget(driver: Driver) -> RateBudget:
    per_sec = driver.info.connects_per_sec
    capacity = max(1, math.floor(per_sec))
    limit = BucketLimit(CONNECT_BUCKET, capacity, capacity / per_sec)
    return RateBudget(f"{driver.info.id} connects", [limit])
