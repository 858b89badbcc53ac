"""The daemon as the API sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ctcore.api.target import BookView, DaemonStatus
from ctcore.api.views import history_view, live_view
from ctcore.errors import ConfigError, UnknownInstrument, VenueUnavailable
from ctcore.feed.streams import StreamStatistics
from ctcore.model.ids import InstrumentId
from ctcore.model.time import US_PER_SEC
from ctcore.runtime.service import ServiceStatus

if TYPE_CHECKING:
    from ctcore.daemon import Daemon


class DaemonTarget:
    """Answers the API's questions from a running daemon; an :class:`~ctcore.api.target.ApiTarget`."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def status(self) -> DaemonStatus:
        """Whether the workers run, and since when."""
        daemon = self._daemon
        running = daemon.workers is not None
        uptime_us = daemon.clock.now_us() - (daemon.started_us or 0) if running else 0
        return DaemonStatus(
            running=running,
            started_us=daemon.started_us,
            uptime_sec=uptime_us / US_PER_SEC,
            shutdown_us=daemon.stopped_us,
            error="; ".join(filter(None, (daemon.error, daemon.state_error))),
        )

    async def start(self) -> None:
        """Start the workers."""
        await self._daemon.start()

    async def stop(self) -> None:
        """Stop the workers."""
        await self._daemon.stop("asked by the API")

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether every wanted stream is in sync and every sink open, and what is not."""
        workers = self._daemon.workers
        if workers is None:
            return False, {"workers": ["they are stopped"]}
        missing = workers.unready()
        return not missing, missing

    def services(self) -> Sequence[ServiceStatus]:
        """Every supervised service."""
        workers = self._daemon.workers
        return workers.services() if workers else []

    def streams(self) -> Sequence[StreamStatistics]:
        """Every stream."""
        workers = self._daemon.workers
        return workers.keeper.statistics() if workers else []

    def gauges(self) -> dict[str, Any]:
        """Every queue, cache and buffer."""
        workers = self._daemon.workers
        daemon = self._daemon
        state = {"saved_us": daemon.state_saved_us, "last_error": daemon.state_error}
        own = {"stamp": attrs.asdict(daemon.stamp.statistics()), "state": state}
        return own | (workers.gauges() if workers else {})

    def book(self, instrument: InstrumentId, depth: int) -> BookView:
        """The live book."""
        workers = self._daemon.workers
        book = workers.keeper.book(instrument) if workers else None
        if book is None:
            raise UnknownInstrument(f"{instrument} is not watched; see /streams for what is")
        if not book.received_us:
            raise VenueUnavailable(f"there is no book of {instrument} yet; see /ready for what is missing")
        return live_view(book, instrument, self._symbol(instrument), depth)

    async def history_book(self, instrument: InstrumentId, at_us: int, depth: int) -> BookView:
        """The book at a moment, from history."""
        workers = self._daemon.workers
        reader = workers.history() if workers else None
        if reader is None:
            raise ConfigError("no history to ask: configure a sink of kind clickhouse and start the workers")
        found = await reader.book_at(instrument, at_us)
        return history_view(found, self._symbol(instrument), depth)

    def plugins(self) -> Sequence[dict[str, Any]]:
        """What is installed, as ``ctcore plugins`` shows it."""
        return [attrs.asdict(report) for report in self._daemon.plugins.plugins()]

    def _symbol(self, instrument: InstrumentId) -> str:
        workers = self._daemon.workers
        feed = workers.feeds.get(instrument.exchange) if workers else None
        catalogue = feed.catalogues.get(instrument.market) if feed else None
        listed = catalogue.get(instrument) if catalogue else None
        return listed.symbol if listed else ""
