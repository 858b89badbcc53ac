"""What the API talks to: the daemon as seen through its doors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from ctcore.feed.streams import StreamStatistics
from ctcore.model.ids import InstrumentId
from ctcore.model.market import Level
from ctcore.runtime.service import ServiceStatus


@attrs.frozen(kw_only=True)
class DaemonStatus:
    """``running``: the workers run. ``shutdown_us`` and ``error`` tell of the last time they ended."""

    running: bool
    started_us: int | None
    uptime_sec: float
    shutdown_us: int | None = None
    error: str = ""


@attrs.frozen(kw_only=True)
class BookView:
    """An order book, best level first.

    ``source`` is ``live`` or ``history``; ``at_us`` is the moment asked for in history. ``in_sync`` is False
    inside a gap. ``levels`` counts [bids, asks] of the whole book.
    """

    instrument: InstrumentId
    symbol: str
    source: str
    in_sync: bool
    seq: int
    exchange_us: int
    received_us: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    levels: tuple[int, int]
    at_us: int | None = None


class ApiTarget(Protocol):
    """The daemon, as far as the API may reach it."""

    def status(self) -> DaemonStatus:
        """Whether the workers run, and since when."""

    async def start(self) -> None:
        """Start the workers; nothing happens when they run."""

    async def stop(self) -> None:
        """Stop the workers gracefully, within the shutdown budget; the API stays. Nothing happens when
        stopped."""

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether every wanted stream is in sync and every sink open, and what is not."""

    def services(self) -> Sequence[ServiceStatus]:
        """Every supervised service."""

    def streams(self) -> Sequence[StreamStatistics]:
        """Every stream: rates, lag, gaps, last message."""

    def gauges(self) -> dict[str, Any]:
        """Every queue, cache and buffer: name -> its statistics as plain data."""

    def book(self, instrument: InstrumentId, depth: int) -> BookView:
        """The live book; raises :class:`~ctcore.errors.UnknownInstrument` when it is not watched."""

    async def history_book(self, instrument: InstrumentId, at_us: int, depth: int) -> BookView:
        """The book at a moment, from history.

        Raises :class:`~ctcore.errors.UnknownInstrument` when history does not know the instrument or has no
        book by then, :class:`~ctcore.errors.ConfigError` when no configured sink can be asked, and
        :class:`~ctcore.errors.StorageError` when it does not answer.
        """

    def plugins(self) -> Sequence[dict[str, Any]]:
        """What is installed, as ``ctcore plugins`` shows it."""
