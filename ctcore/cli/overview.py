"""The tables of a daemon's state: streams by market, sinks; for the live status and for ``ctcore status``."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from rich.table import Table

from ctcore.cli.screen import grouped, size, table
from ctcore.model.ids import Channel


@attrs.frozen
class StreamFigures:
    """What a row of the API's ``/streams`` and a stream of the daemon have in common."""

    exchange: str
    market: str
    channel: str
    messages: int
    per_sec: float
    lag_us: int | None
    gaps: int
    open_gap: str | None


def streams_table(streams: Iterable[StreamFigures]) -> Table:
    """A line for each market of each exchange: the lag is the median, the books are those in sync of all."""
    markets: dict[tuple[str, str], list[StreamFigures]] = {}
    for stream in streams:
        markets.setdefault((stream.exchange, stream.market), []).append(stream)
    made = table("exchange", "market", ("streams", "right"), ("messages/s", "right"), ("lag ms", "right"),
                 ("gaps", "right"), ("in sync", "right"))
    for (exchange, market), found in markets.items():
        lags = [stream.lag_us / 1000 for stream in found if stream.lag_us is not None]
        books = [stream for stream in found if stream.channel == Channel.ORDERBOOK]
        whole = sum(1 for book in books if book.messages and book.open_gap is None)
        made.add_row(
            exchange, market, grouped(len(found)), f"{sum(stream.per_sec for stream in found):,.1f}",
            f"{statistics.median(lags):,.0f}" if lags else "-", grouped(sum(stream.gaps for stream in found)),
            f"{whole}/{len(books)} books" if books else "-", style=None if whole == len(books) else "yellow")
    return made


def sinks_table(gauges: Mapping[str, Any], names: Iterable[str]) -> Table:
    """A line for each sink, from the daemon's gauges."""
    made = table("sink", ("rows written", "right"), ("waiting", "right"), ("spool", "right"),
                 ("refused", "right"), "state")
    for name in names:
        gauge = gauges.get(f"sink {name}")
        if gauge is None:
            continue
        state = f"down: {gauge['last_error']}" if gauge["down"] else "ok"
        made.add_row(name, grouped(gauge["written_events"]), grouped(gauge["buffered"]),
                     size(gauge["spooled_bytes"]), grouped(gauge["refused"]), state,
                     style="red" if gauge["down"] else None)
    return made
