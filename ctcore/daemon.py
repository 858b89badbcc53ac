"""The daemon: the one place where everything meets.

The nesting of its blocks is the order of its end: workers, then the API (so that ``/status`` can say
"stopping"), then the state.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import trio
from loguru import logger

from ctcore.config import Config
from ctcore.contracts.plugin.manager import PluginManager
from ctcore.errors import ConfigError, CtcoreError, ServiceFailed, raise_sole
from ctcore.feed.connection import Observer
from ctcore.feed.observer import LoggingObserver
from ctcore.runtime.clock import Clock, MonotonicStamp, SystemClock
from ctcore.runtime.garbage import settle_garbage_collector
from ctcore.runtime.shutdown import Phase, ShutdownReport, StopSignals, run_shutdown
from ctcore.runtime.state_file import DaemonState, StateDirectory
from ctcore.wire.network import Network, SocketNetwork
from ctcore.workers import Surroundings, Workers, open_workers

SAVE_STATE_SEC = 10.0
START_SEC = 60.0
API_END_SEC = 3.0
STREAMS = "streams"


class Daemon:
    """Runs the configured roles and serves the API. ``network``, ``clock`` and ``observer`` are exchanged by
    tests.

    ``started_us``, ``stopped_us`` and ``error`` tell of the workers, which the API may stop and start again.
    """

    def __init__(
        self,
        config: Config,
        plugins: PluginManager,
        *,
        network: Network | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        if config.role.mode != "monitor":
            what = f"role.mode: {config.role.mode!r} trades, which this version cannot do; write monitor"
            raise ConfigError(f"{config.path}: {what}")
        self.config = config
        self.plugins = plugins
        self.clock = clock or SystemClock()
        self.stamp = MonotonicStamp(self.clock)
        self.workers: Workers | None = None
        self.started_us: int | None = None
        self.stopped_us: int | None = None
        self.error = ""
        self.api_url = ""
        self._network = network or SocketNetwork()
        self._observer = observer or LoggingObserver()
        self._state = StateDirectory(config.state.dir, name=config.state.name)
        self._last_seen: Mapping[str, Mapping[str, int]] = {}
        self._report = ShutdownReport(reason="nothing was running", budget_sec=config.shutdown.budget_sec)
        self._changing = trio.Lock()
        self._stopping = trio.Event()
        self._ended = trio.Event()
        self._signals = StopSignals()
        self._nursery: trio.Nursery | None = None

    async def run(
        self, signals: StopSignals, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> ShutdownReport:
        """Work until ``signals.graceful`` is set; returns the report of the end.

        Raises :class:`~ctcore.errors.ConfigError` when the API's port, the state directory or a simulator's
        port is not to be had.
        """
        self._signals = signals
        with self._state:
            self._resume()
            try:
                await self._serve(signals, task_status)
            except BaseExceptionGroup as group:
                raise_sole(group)
        return self._report

    async def _serve(self, signals: StopSignals, task_status: trio.TaskStatus[None]) -> None:
        from ctcore.api.hosting import open_api

        async with open_api(self) as self.api_url, trio.open_nursery() as nursery:
            self._nursery = nursery
            await self.start()
            settle_garbage_collector()
            nursery.start_soon(self._keep_state)
            task_status.started()
            await signals.graceful.wait()
            await self.stop(signals.name)
            self._nursery = None
            nursery.cancel_scope.cancel()

    async def start(self) -> None:
        """Start the workers; nothing happens when they run. Raises what keeps them from starting."""
        async with self._changing:
            if self.workers is not None:
                return
            if self._nursery is None:
                raise ServiceFailed("the daemon is ending; start it anew")
            self._stopping, self._ended = trio.Event(), trio.Event()
            self.started_us, self.stopped_us, self.error = self.clock.now_us(), None, ""
            try:
                await self._start_workers(self._nursery)
            except CtcoreError as error:
                self.error = str(error)
                raise
            await self._save(clean=False)  # from now on an end without a word is an unexpected one

    async def _start_workers(self, nursery: trio.Nursery) -> None:
        try:
            with trio.fail_after(START_SEC):
                await nursery.start(self._work)
        except trio.TooSlowError:
            raise ServiceFailed(f"the workers did not start within {START_SEC:g} s") from None
        except BaseExceptionGroup as group:
            raise_sole(group)

    async def stop(self, reason: str) -> ShutdownReport:
        """Stop the workers gracefully, within the shutdown budget; nothing happens when they are stopped."""
        async with self._changing:
            if self.workers is not None:
                self._report = ShutdownReport(reason=reason, budget_sec=self.config.shutdown.budget_sec)
                self._stopping.set()
                await self._ended.wait()
        return self._report

    async def _work(self, *, task_status: trio.TaskStatus[None]) -> None:
        """The life of one set of workers."""
        around = Surroundings(
            config=self.config,
            plugins=self.plugins,
            network=self._network,
            stamp=self.stamp.now_us,
            observer=self._observer,
            run_id=f"{self.clock.now_us():x}{secrets.token_hex(2)}",
        )
        try:
            async with open_workers(around, self._last_seen) as workers:
                self.workers = workers
                task_status.started()
                await self._stopping.wait()
                await self._end(workers)
        finally:
            self.workers = None
            self.stopped_us = self.clock.now_us()
            self._ended.set()

    async def _end(self, workers: Workers) -> None:
        budget_sec, reason = self.config.shutdown.budget_sec, self._report.reason
        save = Phase("state", 2.0, self._save_last, reserve_sec=1.0, essential=True)
        self._report = await run_shutdown(
            [*workers.phases(), save], total_sec=budget_sec, hurry=self._signals.immediate, reason=reason
        )
        lines = self._report.lines()
        for line in lines[:1] if self._report.clean else lines:  # who asked for the end shows all of it
            logger.log("INFO" if self._report.clean else "WARNING", "{}", line)

    def _resume(self) -> None:
        before = self._state.load(self.clock.now_us())
        if before is None:
            return
        self._last_seen = before.sections.get(STREAMS, {})
        logger.info("resuming after {} end", "an orderly" if before.clean else "an unexpected")

    async def _keep_state(self) -> None:
        while True:
            await trio.sleep(max(SAVE_STATE_SEC, self.config.monitor.flush_interval_sec))
            if self.workers is not None:
                await self._save(clean=False)

    async def _save_last(self, report: ShutdownReport) -> None:
        await self._save(clean=True)
        report.add("state", self._state.file.name, "saved")

    async def _save(self, *, clean: bool) -> None:
        """An unclean state has the picture of the save before: what came after may not be on disk yet."""
        earlier = self._last_seen
        if self.workers is not None:
            self._last_seen = {**earlier, **self.workers.last_seen()}
        seen = self._last_seen if clean else earlier
        sections: dict[str, dict[str, Any]] = {STREAMS: dict(seen)}
        state = DaemonState(
            name=self.config.state.name,
            mode=self.config.role.mode,
            started_us=self.started_us or 0,
            stopped_us=self.clock.now_us() if clean else None,
            clean=clean,
            sections=sections,
        )
        await trio.to_thread.run_sync(self._state.save, state)
