"""A venue's facts as data: where it is, what it offers, what it allows."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ctcore.model.ids import Channel, Market


@attrs.frozen
class Endpoints:
    """Base URLs of one environment: ``rest`` and ``stream`` by the driver's own names for its hosts.

    A name is a market (``spot``) or a market and a part of it (``futures_public``); a config may override
    any.
    """

    rest: Mapping[str, str]
    stream: Mapping[str, str]

    def override(self, rest: Mapping[str, str], stream: Mapping[str, str]) -> Endpoints:
        """These endpoints with some URLs replaced."""
        return Endpoints({**self.rest, **rest}, {**self.stream, **stream})


@attrs.frozen
class RateLimit:
    """``capacity`` units of ``bucket`` in every window of ``interval_sec`` seconds, per address."""

    bucket: str
    capacity: int
    interval_sec: float


@attrs.frozen
class Capabilities:
    """What a market of the venue offers.

    ``partial_depths`` are the depths the venue cuts by itself; any other depth is cut from the full book.
    ``full_depth`` is how many levels a side its full book knows at the start.
    """

    channels: frozenset[Channel]
    candle_intervals: tuple[str, ...]
    partial_depths: tuple[int, ...] = ()
    full_depth: int = 0


@attrs.frozen
class DriverInfo:
    """Everything about a venue that is not code. ``environments`` always holds ``live``."""

    id: str
    title: str
    environments: Mapping[str, Endpoints]
    capabilities: Mapping[Market, Capabilities]
    rate_limits: tuple[RateLimit, ...]
    connects_per_sec: float = 1.0

    @property
    def markets(self) -> tuple[Market, ...]:
        """The markets this driver serves."""
        return tuple(self.capabilities)


@attrs.frozen
class RateNotice:
    """What an answer told about the venue's budget.

    ``used`` is what the venue counts in a bucket now; ``parked_sec`` > 0 asks for that much silence.
    """

    used: Mapping[str, int] = attrs.field(factory=dict)
    parked_sec: float = 0.0
