"""Market events of one kind as one Native block: which table, which columns. Pure.

The hot path of history: Python only walks the events once a column and flattens levels; scaling and
spreading levels into rows is the engine's work (see :mod:`ctcore.sinks.schema`). A delta of 20 levels costs
about 2 us here.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import attrs
from msgspec import structs

from ctcore.model.market import (
    BookDelta,
    BookSnapshot,
    Candle,
    FundingRate,
    Gap,
    Liquidation,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
)
from ctcore.sinks import native
from ctcore.sinks.native import Column
from ctcore.sinks.scales import Written

Columns: TypeAlias = tuple[int, list[Column]]
"""How many rows the table will get, and the columns peculiar to the kind."""

_flatten = chain.from_iterable


@attrs.frozen
class Table:
    """Where events of a kind go.

    ``into`` is what is inserted into, ``table`` where the rows end up. ``scaled``: it has scaled integers.
    ``replaces``: a later row replaces an equal key, so that writing a batch twice does no harm.
    """

    table: str
    into: str
    columns: Callable[[Sequence[Any]], Columns]
    scaled: bool = False
    replaces: bool = False


@attrs.frozen
class Encoded:
    """One block ready to be inserted, and the rows it makes in ``table.table``."""

    table: Table
    block: bytes = attrs.field(repr=False)
    rows: int


def encode(events: Sequence[MarketEvent], written: Sequence[Written], batch: int) -> Encoded:
    """Encode events of one kind; ``written`` is how each one's instrument is written.

    Raises OverflowError for an integer of more than 64 bits.
    """
    table = TABLES[type(events[0])]
    rows, columns = table.columns(events)
    inputs = len(events)
    head: list[Column] = [
        ("instrument", "UInt32", native.uint32([w.id for w in written])),
        ("ts", native.TIME, native.int64([e.received_us for e in events])),
        ("exchange_us", native.TIME, native.int64([e.exchange_us for e in events])),
        ("batch", "UInt64", native.repeat_uint64(batch, inputs)),
    ]
    if table.scaled:
        head += (
            ("price_factor", "Float64", native.float64([w.price_factor for w in written])),
            ("quantity_factor", "Float64", native.float64([w.quantity_factor for w in written])),
        )
    return Encoded(table, native.block(inputs, head + columns), rows)


def without_repeats(event: MarketEvent) -> MarketEvent:
    """An order book event in which each price of a side stands once, the last one counting."""
    if not isinstance(event, BookDelta | BookSnapshot):
        return event
    bids, asks = (list(dict(side).items()) for side in (event.bids, event.asks))
    return structs.replace(event, bids=bids, asks=asks)


def _levels(events: Sequence[BookSnapshot | BookDelta]) -> Columns:
    """Levels of both sides in one array a row; ``bids`` tells how many of them are bids."""
    levels = [e.bids + e.asks for e in events]
    flat = array("d", list(_flatten(_flatten(levels))))
    ends = native.offsets(map(len, levels))
    return len(flat) // 2, [
        ("seq", "Int64", native.int64([e.seq for e in events])),
        ("bids", "UInt32", native.uint32([len(e.bids) for e in events])),
        ("prices", "Array(Float64)", ends + native.float64(flat[0::2])),
        ("quantities", "Array(Float64)", ends + native.float64(flat[1::2])),
    ]


def _snapshots(events: Sequence[BookSnapshot]) -> Columns:
    return len(events), _levels(events)[1]


def _trades(events: Sequence[Trade]) -> Columns:
    return len(events), [
        ("n", "UInt16", native.uint16(_places(events))),
        ("trade_id", "String", native.strings([e.trade_id for e in events])),
        ("side", "String", native.strings([e.side for e in events])),
        ("p", "Float64", native.float64([e.price for e in events])),
        ("q", "Float64", native.float64([e.quantity for e in events])),
    ]


def _places(events: Sequence[Trade]) -> list[int]:
    """The place of each trade among those of one frame, which share their ``received_us``."""
    places = []
    place, before = 0, None
    for event in events:
        place = (place + 1) & 0xFFFF if event.received_us == before else 0
        before = event.received_us
        places.append(place)
    return places


def _floats(events: Sequence[MarketEvent], *names: str) -> list[Column]:
    return [(name, "Float64", native.float64([getattr(e, name) for e in events])) for name in names]


def _maybe(events: Sequence[MarketEvent], *names: str) -> list[Column]:
    return [(name, "Nullable(Float64)", native.maybe_float64([getattr(e, name) for e in events]))
            for name in names]


def _tickers(events: Sequence[Ticker]) -> Columns:
    return len(events), [
        ("seq", "Int64", native.int64([e.seq for e in events])),
        *_maybe(events, "bid", "bid_quantity", "ask", "ask_quantity", "last"),
        *_maybe(events, "volume_24h", "quote_volume_24h"),
    ]


def _candles(events: Sequence[Candle]) -> Columns:
    return len(events), [
        ("interval", "String", native.strings([e.interval for e in events])),
        ("open_us", native.TIME, native.int64([e.open_us for e in events])),
        ("closed", "UInt8", native.uint8([e.closed for e in events])),
        *_floats(events, "open", "high", "low", "close", "volume", "quote_volume"),
    ]


def _marks(events: Sequence[MarkPrice]) -> Columns:
    return len(events), [
        ("mark_price", "Float64", native.float64([e.mark for e in events])),
        ("index_price", "Nullable(Float64)", native.maybe_float64([e.index for e in events])),
    ]


def _funding(events: Sequence[FundingRate]) -> Columns:
    return len(events), [*_floats(events, "rate"),
                         ("funding_us", native.TIME, native.int64([e.funding_us for e in events]))]


def _open_interest(events: Sequence[OpenInterest]) -> Columns:
    return len(events), _floats(events, "quantity")


def _liquidations(events: Sequence[Liquidation]) -> Columns:
    return len(events), [("side", "String", native.strings([e.side for e in events])),
                         *_floats(events, "price", "quantity")]


def _gaps(events: Sequence[Gap]) -> Columns:
    return len(events), [
        ("channel", "String", native.strings([e.channel for e in events])),
        ("reason", "String", native.strings([e.reason for e in events])),
        ("begin_us", native.TIME, native.int64([e.begin_us for e in events])),
        ("end_us", f"Nullable({native.TIME})", native.maybe_int64([e.end_us for e in events])),
        ("detail", "String", native.strings([e.detail for e in events])),
    ]


TABLES: dict[type[MarketEvent], Table] = {
    BookDelta: Table("book_delta", "book_delta_in", _levels, scaled=True),
    BookSnapshot: Table("book_snapshot", "book_snapshot_in", _snapshots, scaled=True),
    Trade: Table("trade", "trade_in", _trades, scaled=True),
    Ticker: Table("ticker", "ticker", _tickers),
    Candle: Table("candle", "candle", _candles, replaces=True),
    MarkPrice: Table("mark", "mark", _marks),
    FundingRate: Table("funding", "funding", _funding),
    OpenInterest: Table("open_interest", "open_interest", _open_interest),
    Liquidation: Table("liquidation", "liquidation", _liquidations),
    Gap: Table("gap", "gap", _gaps),
}
"""Every kind of event that history keeps."""
