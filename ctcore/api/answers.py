"""What the calls answer: one struct each, from which both the JSON and its schema are made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from ctcore.model.ids import Channel, Market
from ctcore.model.market import GapReason, Level
from ctcore.runtime.service import ServiceState

_ENCODER = msgspec.json.Encoder()


class JsonAnswer(Response):
    """Anything msgspec can encode, as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode."""
        return _ENCODER.encode(content)


class ErrorDetail(msgspec.Struct, frozen=True):
    """Why a call was not answered."""

    code: Annotated[str, Meta(description="stable word for programs")]
    message: Annotated[str, Meta(description="what is wrong and how to mend it, for people")]
    place: Annotated[str | None, Meta(description="where: query.depth, path.pair, header.Host; or null")]
    id: Annotated[str, Meta(description="of an internal error, as the log has it")] | UnsetType = UNSET


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The one shape of every answer of 400 and above."""

    error: ErrorDetail


class ControlAnswer(msgspec.Struct, frozen=True):
    """What became of the workers."""

    status: Literal["started", "already started", "stopped", "already stopped"]


class StatusAnswer(msgspec.Struct, frozen=True):
    """Whether the workers run, and of the last time they ended."""

    running: bool
    uptime: Annotated[str, Meta(description="1d 2h 23m 45s; units that are zero at the end are left out")]
    start_time: str | None
    shutdown_time: str | None
    error: str | None


class VersionAnswer(msgspec.Struct, frozen=True):
    """What is running."""

    version: str
    python_version: str
    timestamp: Annotated[str, Meta(description="the daemon's clock, RFC 3339 in UTC")]


class HealthAnswer(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["alive"]


class ReadyAnswer(msgspec.Struct, frozen=True):
    """Every wanted stream is in sync and every sink is open."""

    ready: Literal[True]
    missing: dict[str, Any]


class NotReadyAnswer(msgspec.Struct, frozen=True):
    """Not ready: ``missing`` tells what is not in sync or not open."""

    ready: Literal[False]
    missing: dict[str, Any]
    error: ErrorDetail


class ServiceRow(msgspec.Struct, frozen=True):
    """One supervised service; times in microseconds UTC."""

    name: str
    state: ServiceState
    since_us: int
    restarts: int
    last_error: str
    error_us: int | None
    next_start_us: int | None


class ServicesAnswer(msgspec.Struct, frozen=True):
    """Every supervised service."""

    services: list[ServiceRow]


class StreamRow(msgspec.Struct, frozen=True):
    """One stream; ``lag_us`` is the daemon's clock minus the venue's at the last message."""

    exchange: str
    market: Market
    pair: str
    channel: Channel
    messages: int
    messages_per_sec: float
    duplicates: int
    gaps: int
    last_exchange_us: int | None
    last_received_us: int | None
    lag_us: int | None
    open_gap: GapReason | None


class StreamsAnswer(msgspec.Struct, frozen=True):
    """The streams that were asked for."""

    streams: list[StreamRow]


class BookAnswer(msgspec.Struct, frozen=True):
    """An order book, best level first; a level is ``[price, quantity]``, ``levels`` counts the whole book."""

    exchange: str
    market: Market
    pair: str
    symbol: Annotated[str, Meta(description="the venue's own name")]
    source: Literal["live", "history"]
    in_sync: Annotated[bool, Meta(description="false inside a gap")]
    seq: int
    exchange_us: int
    received_us: int
    at_us: Annotated[int | None, Meta(description="the moment asked for; null for the live book")]
    bids: list[Level]
    asks: list[Level]
    levels: Annotated[tuple[int, int], Meta(description="[bids, asks] of the whole book")]


class GaugesAnswer(msgspec.Struct, frozen=True):
    """Every queue, cache and buffer with its statistics."""

    gauges: dict[str, Any]


class PluginsAnswer(msgspec.Struct, frozen=True):
    """Every plugin found."""

    plugins: list[dict[str, Any]]
