"""The daemon: the one place where everything meets.

The nesting of its blocks is the order of its end: workers, then the API (so that ``/status`` can say
"stopping"), then the state.
"""

from __future__ import annotations

import secrets
from typing import Any

import trio
from loguru import logger

from ctcore.config import Config
from ctcore.contracts.plugin.manager import PluginManager
from ctcore.errors import ConfigError, CtcoreError, ServiceFailed, StorageError, raise_sole
from ctcore.feed.connection import Observer
from ctcore.feed.observer import LoggingObserver
from ctcore.runtime.clock import Clock, MonotonicStamp, SystemClock
from ctcore.runtime.garbage import settle_garbage_collector
from ctcore.runtime.last_seen import LastSeen, Seen, merge
from ctcore.runtime.redact import redact
from ctcore.runtime.shutdown import Phase, PhaseOutcome, ShutdownReport, StopSignals, run_shutdown
from ctcore.runtime.state_file import DaemonState, StateDirectory
from ctcore.runtime.supervisor import Supervisor, waiting
from ctcore.wire.network import Network, SocketNetwork
from ctcore.workers import Surroundings, Workers, open_workers

SAVE_STATE_SEC = 10.0
LOOK_SEC = 1.0
START_SEC = 60.0
API_END_SEC = 6.0
"""Of the shutdown's budget for the API, which ends last; a fifth of a budget below 30 s."""
STREAMS = "streams"


class _Ending(ServiceFailed):
    """The daemon was asked to end while the workers started."""


class Daemon:
    """Runs the configured roles and serves the API. ``network``, ``clock`` and ``observer`` are exchanged by
    tests.

    ``started_us``, ``stopped_us`` and ``error`` tell of the workers, which the API may stop and start again;
    ``state_error`` is why the state could not be saved, while it cannot.
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
        if config.role.mode == "trader":
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
        self.state_error = ""
        self.state_saved_us: int | None = None
        self.api_url = ""
        self._network = network or SocketNetwork()
        self._observer = observer or LoggingObserver()
        self._state = StateDirectory(config.state.dir, name=config.state.name)
        self._seen = LastSeen({})
        self._asked_at: float | None = None
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

        end_sec = self._api_end_sec
        async with open_api(self, end_sec=end_sec) as self.api_url, trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await self.start()
            except _Ending:
                self._report.reason = f"{signals.name or 'asked to end'} before everything was up"
            settle_garbage_collector()
            nursery.start_soon(self._keep_state)
            task_status.started()
            await signals.graceful.wait()
            await self.stop(signals.name, asked_at=signals.asked_at)
            self._nursery = None
            nursery.cancel_scope.cancel()

    @property
    def _api_end_sec(self) -> float:
        return min(API_END_SEC, self.config.shutdown.budget_sec / 5)

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
                self.error = redact(str(error))
                raise
            await self._save_on_the_way()  # from now on an end without a word is an unexpected one

    async def _start_workers(self, nursery: trio.Nursery) -> None:
        rungs: dict[str, Supervisor] = {}
        up = False
        try:
            with trio.move_on_after(START_SEC):
                async with trio.open_nursery() as watch:
                    watch.start_soon(_cancel_upon, self._signals.graceful, watch.cancel_scope)
                    await nursery.start(self._work, rungs)
                    up = True
                    watch.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise_sole(group)
        if up:
            return
        if self._signals.graceful.is_set():
            raise _Ending("the daemon is ending; start it anew")
        raise ServiceFailed(f"the workers did not start within {START_SEC:g} s: {waiting(rungs)}")

    async def stop(self, reason: str, *, asked_at: float | None = None) -> ShutdownReport:
        """Stop the workers gracefully, within the shutdown budget; nothing happens when they are stopped.

        The budget counts from ``asked_at``, a moment of trio's clock; from now if absent.
        """
        asked_at = trio.current_time() if asked_at is None else asked_at
        async with self._changing:
            if self.workers is not None:
                self._report = ShutdownReport(reason=reason, budget_sec=self.config.shutdown.budget_sec)
                self._asked_at = asked_at
                self._stopping.set()
                await self._ended.wait()
        return self._report

    async def _work(self, rungs: dict[str, Supervisor], *, task_status: trio.TaskStatus[None]) -> None:
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
            self._seen = LastSeen(self._seen.durable)
            async with open_workers(around, self._seen.durable, rungs) as workers:
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
            [*workers.phases(), save],
            total_sec=budget_sec - self._api_end_sec,
            began=self._asked_at,
            hurry=self._signals.immediate,
            reason=reason,
        )
        self._report.budget_sec = budget_sec
        lines = self._report.lines()
        for line in lines[:1] if self._report.clean else lines:  # who asked for the end shows all of it
            logger.log("INFO" if self._report.clean else "WARNING", "{}", line)

    def _resume(self) -> None:
        before = self._state.load(self.clock.now_us())
        if before is None:
            return
        self._seen = LastSeen(before.sections.get(STREAMS, {}))
        logger.info("resuming after {} end", "an orderly" if before.clean else "an unexpected")

    async def _keep_state(self) -> None:
        """Save regularly, and soon after the first event of a stream that the state does not know."""
        looked_us, saved_at = self.clock.now_us(), trio.current_time()
        while True:
            await trio.sleep(LOOK_SEC)
            workers, now_us, now = self.workers, self.clock.now_us(), trio.current_time()
            if workers is not None:
                due = now >= saved_at + SAVE_STATE_SEC
                if due:
                    self._seen.advance(workers.last_seen(), workers.progress())
                if self._seen.first(workers.seen_since(looked_us)) or due:
                    await self._save_on_the_way()
                    saved_at = now
            looked_us = now_us

    async def _save_on_the_way(self) -> None:
        """Save what an unexpected end would leave; a disk that is full now may have room at the end."""
        try:
            await self._save(self._seen.durable, clean=False)
        except StorageError as error:
            if not self.state_error:
                logger.error("{}; ctcore goes on and keeps trying", error)
            self.state_error = redact(str(error))

    async def _save_last(self, report: ShutdownReport) -> None:
        """All that was seen, unless some of it found its way neither to a sink nor to the spool."""
        kept = all(phase.outcome is PhaseOutcome.DONE for phase in report.phases if phase.name == "history")
        kept = kept and not any(item.kind == "sink" and item.outcome == "failed" for item in report.items)
        if self.workers is not None and kept:
            self._seen = LastSeen(merge(self._seen.durable, self.workers.last_seen()))
        await self._save(self._seen.durable, clean=kept)
        report.add("state", self._state.file.name, "saved")

    async def _save(self, seen: Seen, *, clean: bool) -> None:
        now_us = self.clock.now_us()
        sections: dict[str, dict[str, Any]] = {STREAMS: dict(seen)}
        state = DaemonState(
            name=self.config.state.name,
            mode=self.config.role.mode,
            started_us=self.started_us or 0,
            stopped_us=now_us if clean else None,
            clean=clean,
            sections=sections,
        )
        await trio.to_thread.run_sync(self._state.save, state)
        if self.state_error:
            logger.info("state file {}: saved again", self._state.file)
        self.state_error, self.state_saved_us = "", now_us


async def _cancel_upon(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
