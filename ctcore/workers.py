"""Everything that can be stopped and started again while the API stays: simulators, feeds, the monitor, the
sinks.

The nesting of the blocks in :func:`open_workers` is the order of the end, inside out: feeds stop first, so
that the sinks below get their last events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import trio

from ctcore.config import Config, ExchangeConfig
from ctcore.contracts.driver import Driver, DriverPlugin
from ctcore.contracts.plugin.isolation import Failure, attempt
from ctcore.contracts.plugin.manager import PluginManager
from ctcore.contracts.sink import Sink
from ctcore.errors import ConfigError, PluginError, ServiceFailed
from ctcore.feed.connection import Observer
from ctcore.feed.keeper import BookKeeper
from ctcore.feed.venue import VenueFeed
from ctcore.model.ids import Channel, InstrumentId, Subscription
from ctcore.model.market import Gap, GapReason
from ctcore.monitor.batcher import Batcher
from ctcore.monitor.history import HistoryReader
from ctcore.monitor.monitor import Monitor
from ctcore.runtime.bus import Bus
from ctcore.runtime.last_seen import Progress
from ctcore.runtime.left_out import LeftOut, make
from ctcore.runtime.service import RestartForever, ServiceStatus
from ctcore.runtime.shutdown import Phase, ShutdownReport
from ctcore.runtime.supervisor import Supervisor, open_supervisor, waiting
from ctcore.sim.service import SimulatedVenue
from ctcore.wire.backoff import BackoffPolicy
from ctcore.wire.network import Network

SIMULATOR_START_SEC = 20.0
SINK_START_SEC = 10.0
SINK_END_SEC = 12.0
READER_END_SEC = 1.0
IN_FLIGHT = 3
"""Batches that the counts of a batcher do not show: being collected, in hand, and just written."""
RESTART = RestartForever(BackoffPolicy(first_sec=1.0, max_sec=30.0))


@attrs.frozen(kw_only=True)
class Surroundings:
    """What the workers need from outside. ``run_id`` makes the names of this run's batches unlike any
    other's."""

    config: Config
    plugins: PluginManager
    network: Network
    stamp: Callable[[], int]
    observer: Observer
    run_id: str
    tapped: bool = False


class Workers:
    """The running workers, to be looked at from outside; made by :func:`open_workers`."""

    def __init__(
        self,
        around: Surroundings,
        bus: Bus,
        keeper: BookKeeper,
        monitor: Monitor,
        batchers: tuple[Batcher, ...],
        feeds: tuple[VenueFeed, ...],
        rungs: Mapping[str, Supervisor],
        left_out: LeftOut,
    ) -> None:
        self.bus = bus
        self.keeper = keeper
        self.monitor = monitor
        self.feeds = {feed.driver.info.id: feed for feed in feeds}
        self._around = around
        self._batchers = batchers
        self._rungs = rungs
        self._left_out = left_out
        self._readers = _readers(around.config)

    def services(self) -> list[ServiceStatus]:
        """Every supervised service, the innermost last."""
        rungs = [status for rung in self._rungs.values() for status in rung.statistics()]
        connections = [status for feed in self.feeds.values() for status in feed.connections()]
        return [*rungs, *connections, *self._left_out.services]

    def unready(self) -> dict[str, list[str]]:
        """What is not whole yet, by kind, one line each; empty when everything is."""
        streams = [line for feed in self.feeds.values() for line in feed.unready]
        sinks = [f"{batcher.name}: not open" for batcher in self._batchers if not batcher.ready]
        streams += self._left_out.lines("feed")
        sinks += self._left_out.lines("sink")
        return {kind: lines for kind, lines in (("streams", streams), ("sinks", sinks)) if lines}

    def gauges(self) -> dict[str, Any]:
        """Every queue, buffer and budget, as plain data."""
        bus, rings = attrs.asdict(self.bus.statistics()), self.monitor.ring_sizes()
        gauges: dict[str, Any] = {"bus": bus, "rings": rings}
        gauges |= {batcher.name: attrs.asdict(batcher.statistics()) for batcher in self._batchers}
        return gauges | {feed.name: attrs.asdict(feed.statistics()) for feed in self.feeds.values()}

    def history(self) -> HistoryReader | None:
        """Whom to ask about the past; None when no sink can be asked."""
        return next(iter(self._readers), None)

    def last_seen(self) -> dict[str, dict[str, int]]:
        """Exchange time up to which each stream is whole, for the state file: instrument -> channel ->
        microseconds. That of its newest event, or the begin of its open gap, which the next run's gap then
        continues."""
        seen: dict[str, dict[str, int]] = {}
        for stream in self.keeper.statistics():
            gap = self.keeper.open_gap(stream.instrument, stream.channel)
            until_us = gap.begin_us if gap else stream.last_exchange_us or stream.last_received_us
            if until_us is not None:
                seen.setdefault(str(stream.instrument), {})[str(stream.channel)] = until_us
        return seen

    def seen_since(self, us: int) -> dict[str, dict[str, int]]:
        """As :meth:`last_seen`, but taken back to ``us``, a moment of our clock: where a stream had no event
        before it, none of its events is earlier than what this tells."""
        lags = {(str(s.instrument), str(s.channel)): (s.lag_us or 0) for s in self.keeper.statistics()}
        return {instrument: {channel: min(until_us, us - lags[instrument, channel])
                             for channel, until_us in channels.items()}
                for instrument, channels in self.last_seen().items()}

    def progress(self) -> dict[str, Progress]:
        """How far each sink is with storing what was published.

        A batch that leaves memory is counted as written or as spooled; one that is written from the spool
        moves from one count to the other.
        """
        told = {batcher.name: batcher.statistics() for batcher in self._batchers}
        return {name: Progress(now.written_batches + now.spooled_batches,
                               now.pending_batches + IN_FLIGHT if now.buffered else 0)
                for name, now in told.items()}

    def phases(self) -> list[Phase]:
        """The steps of an orderly end."""
        return [
            Phase("feeds", 5.0, partial(self._stop, "feeds")),
            Phase("monitor", 1.0, partial(self._stop, "monitor")),
            Phase("simulators", 3.0, partial(self._stop, "simulators")),
            Phase("history", 15.0, self._close_history, reserve_sec=5.0, essential=True),
        ]

    async def _stop(self, rung: str, report: ShutdownReport) -> None:
        for name, graceful in (await self._rungs[rung].stop_all()).items():
            report.add("service", name, "stopped" if graceful else "cancelled")

    async def _close_history(self, report: ShutdownReport) -> None:
        """The sinks first: a reader may be waiting for an answer, and events must not wait for that."""
        left_sec = trio.current_effective_deadline() - trio.current_time()
        await self._rungs["sinks"].stop_all(deadline_sec=min(SINK_END_SEC, left_sec * 0.7))
        for batcher in self._batchers:
            await batcher.rescue()
            report.add("sink", batcher.name, *batcher.outcome())
        with trio.move_on_after(READER_END_SEC):
            for reader in self._readers:
                await reader.aclose()


@asynccontextmanager
async def open_workers(
    around: Surroundings,
    last_seen: Mapping[str, Mapping[str, int]],
    rungs: dict[str, Supervisor] | None = None,
) -> AsyncIterator[Workers]:
    """Start everything the configuration wants and stop it on leaving.

    ``last_seen`` is what :meth:`Workers.last_seen` said at the end of the run before: the time since then is
    a gap. ``rungs`` is filled with the supervisors as they come, for whoever watches the start.

    Raises :class:`~ctcore.errors.ConfigError`, :class:`~ctcore.errors.PluginError` when no sink can be made,
    and :class:`~ctcore.errors.ServiceFailed` when a simulator does not start.
    """
    config = around.config
    rungs = {} if rungs is None else rungs
    left_out = LeftOut(around.stamp)
    bus = Bus()
    keeper = BookKeeper(bus.publish)
    async with open_supervisor(stop_sec=15.0) as rungs["sinks"]:
        batchers = _batchers(around, keeper, left_out)
        for batcher in batchers:
            rungs["sinks"].add(batcher, RESTART)
        with trio.move_on_after(SINK_START_SEC):  # one that takes longer to say no is heard in the log
            await rungs["sinks"].wait_ready()
        async with open_supervisor() as rungs["simulators"]:
            venues = await _simulated(around, rungs["simulators"], left_out)
            monitor = _monitor(around, bus, keeper, batchers)
            async with open_supervisor() as rungs["monitor"]:
                rungs["monitor"].add(monitor, RESTART)
                _expect(keeper, config.subscriptions)
                _declare_absence(keeper, config.subscriptions, last_seen, around.stamp())
                async with open_supervisor() as rungs["feeds"]:
                    running = _feeds(around, keeper, bus, monitor, venues, left_out)
                    for feed in running:
                        rungs["feeds"].add(feed, RESTART)
                    yield Workers(around, bus, keeper, monitor, batchers, running, rungs, left_out)


def _wanted(config: Config) -> list[str]:
    """Exchanges that something is wanted of, in the order of the configuration."""
    wanted = {subscription.instrument.exchange for subscription in config.subscriptions}
    return [exchange for exchange in config.exchanges if exchange in wanted]


def _batchers(around: Surroundings, keeper: BookKeeper, left_out: LeftOut) -> tuple[Batcher, ...]:
    """One for each sink that can be made; raises what keeps the only one from it."""
    batchers = []
    for name, config in around.config.sinks.items():
        made = make(Sink, partial(around.plugins.sinks[config.kind].create, config.options))
        if isinstance(made, Failure):
            left_out.add(f"sink {name}", made)
        else:
            batchers.append(_batcher(around, keeper, name, made))
    if around.config.sinks and not batchers:
        ours = [error for error in left_out.errors if isinstance(error, ConfigError)]
        lines = "; ".join(left_out.lines("sink"))
        raise ours[0] if ours else PluginError(f"no sink is left: {lines}")
    return tuple(batchers)


def _batcher(around: Surroundings, keeper: BookKeeper, name: str, sink: Sink) -> Batcher:
    config = around.config

    def snapshot(instrument: InstrumentId) -> None:
        picture = keeper.picture(instrument, around.stamp())
        if picture is not None:
            batcher.offer(picture)

    batcher = Batcher(
        f"sink {name}",
        sink,
        run_id=around.run_id,
        batch_size=config.monitor.batch_size,
        batch_interval_sec=config.monitor.flush_interval_sec,
        spool_directory=config.spool.dir / name,
        spool_max_bytes=config.spool.max_mb * 1024 * 1024,
        wants_snapshot=snapshot,
    )
    return batcher


async def _simulated(
    around: Surroundings, rung: Supervisor, left_out: LeftOut
) -> dict[str, SimulatedVenue]:
    """Start the simulated venues that the configuration wants and wait until they serve."""
    venues = {}
    for name in _wanted(around.config):
        exchange = around.config.exchanges[name]
        if not exchange.simulated:
            continue
        plugin, own = around.plugins.drivers[name], exchange.simulator
        made = attempt(partial(SimulatedVenue, plugin, own.options, own.port))
        if isinstance(made, Failure):
            left_out.add(f"feed {name}", made)
            continue
        venues[name] = made
        rung.add(made, RESTART)
    with trio.move_on_after(SIMULATOR_START_SEC):
        await rung.wait_ready()
        return venues
    raise ServiceFailed(f"not up within {SIMULATOR_START_SEC:g} s: {waiting({'simulators': rung})}")


def _monitor(around: Surroundings, bus: Bus, keeper: BookKeeper, batchers: tuple[Batcher, ...]) -> Monitor:
    config = around.config
    return Monitor(
        bus,
        keeper,
        batchers,
        config.subscriptions,
        stamp=around.stamp,
        ring_size=config.monitor.ring_buffer_size,
        snapshot_interval_sec=config.monitor.snapshot_interval_sec,
    )


def _feeds(
    around: Surroundings,
    keeper: BookKeeper,
    bus: Bus,
    monitor: Monitor,
    venues: Mapping[str, SimulatedVenue],
    left_out: LeftOut,
) -> tuple[VenueFeed, ...]:
    """One for each exchange whose driver can be made."""
    feeds = []
    for name in _wanted(around.config):
        exchange = around.config.exchanges[name]
        if exchange.simulated and name not in venues:
            continue  # left out already
        made = make(Driver, partial(_driver, around.plugins.drivers[name], exchange, venues.get(name)))
        if isinstance(made, Failure):
            left_out.add(f"feed {name}", made)
        else:
            feeds.append(_feed(around, keeper, bus, monitor, name, made))
    return tuple(feeds)


def _driver(plugin: DriverPlugin, exchange: ExchangeConfig, venue: SimulatedVenue | None) -> Driver:
    return plugin.create(_endpoints(plugin, exchange, venue), exchange.options)


def _feed(
    around: Surroundings, keeper: BookKeeper, bus: Bus, monitor: Monitor, name: str, driver: Driver
) -> VenueFeed:
    wanted = {s for s in around.config.subscriptions if s.instrument.exchange == name}
    return VenueFeed(
        driver,
        wanted,
        keeper=keeper,
        network=around.network,
        stamp=around.stamp,
        observer=around.observer,
        on_instruments=monitor.describe,
        publish_status=bus.publish,
        quiet_sec=around.config.monitor.stall_sec,
        tapped=around.tapped,
    )


def _endpoints(plugin: DriverPlugin, exchange: ExchangeConfig, venue: SimulatedVenue | None) -> Any:
    if venue is None:
        return exchange.endpoints(plugin.info)
    return venue.endpoints().override(exchange.rest, exchange.stream)


def _expect(keeper: BookKeeper, subscriptions: tuple[Subscription, ...]) -> None:
    for wanted in subscriptions:
        keeper.watch(wanted.instrument, wanted.depth if wanted.channel is Channel.ORDERBOOK else None)


def _declare_absence(
    keeper: BookKeeper,
    subscriptions: tuple[Subscription, ...],
    last_seen: Mapping[str, Mapping[str, int]],
    now_us: int,
) -> None:
    """Open the gap of the time nobody watched; a stream's first event closes it."""
    for instrument, channel in dict.fromkeys((s.instrument, s.channel) for s in subscriptions):
        begin_us = last_seen.get(str(instrument), {}).get(str(channel))
        if begin_us is not None:
            absence = GapReason.RESTART, begin_us, None, "the daemon was down"
            keeper.gap(Gap(instrument, begin_us, now_us, channel, *absence))


def _readers(config: Config) -> list[HistoryReader]:
    return [HistoryReader(sink.options) for sink in config.sinks.values() if sink.kind == "clickhouse"]


