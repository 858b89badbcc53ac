"""Questions to history: the order book at any microsecond, and what was collected when.

Every ``*_sql`` function is pure and returns text; the functions beside them ask it over a
:class:`~ctcore.sinks.client.HistoryClient` (blocking: call them in a worker thread, on a connection of their
own). All moments are on history's own clock, ``ts``: when ctcore received an event.
"""
# ruff: noqa: S608  the texts are made of our own names and of integers

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from ctcore.errors import UnknownInstrument
from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import Level
from ctcore.sinks.client import HistoryClient
from ctcore.sinks.encode import TABLES
from ctcore.sinks.scales import RAW, factor

BEYOND_END = "beyond the end of history"
"""Why a book is not in sync at a moment after which nothing tells that anybody still watched."""


@attrs.frozen
class WrittenId:
    """One of the ids that an instrument's rows are written with, and their scales."""

    id: int
    price_scale: int
    quantity_scale: int


@attrs.frozen
class HistoricBook:
    """An order book as history has it at ``at_us``; best level first.

    ``snapshot_us`` is the moment of the snapshot it is built on (None: there is none yet, the book is
    empty), ``last_us`` that of the newest row in it. ``in_sync`` is False inside a gap, before the first
    snapshot, and after the last sign of life: the book may then miss changes. ``gap_reason`` tells which.
    """

    instrument: InstrumentId
    at_us: int
    bids: list[Level]
    asks: list[Level]
    snapshot_us: int | None = None
    last_us: int | None = None
    seq: int = 0
    exchange_us: int = 0
    in_sync: bool = False
    gap_reason: str = ""


@attrs.frozen
class Coverage:
    """What history holds of one stream between two moments; ``open_gaps`` are those not closed by the end."""

    channel: str
    rows: int
    first_us: int | None
    last_us: int | None
    gaps: int
    open_gaps: int


def ids_of(client: HistoryClient, instrument: InstrumentId) -> list[WrittenId]:
    """The ids of an instrument, oldest first; raises :class:`UnknownInstrument` when there are none."""
    rows = client.rows(
        "SELECT id, any(price_scale), any(quantity_scale) FROM instruments "
        "WHERE exchange = {exchange:String} AND market = {market:String} AND pair = {pair:String} "
        "GROUP BY id ORDER BY min(valid_from)",
        {"exchange": instrument.exchange, "market": str(instrument.market), "pair": instrument.pair})
    if not rows:
        raise UnknownInstrument(f"history holds nothing of {instrument}; see the view v_instrument")
    return [WrittenId(*row) for row in rows]


def book_sql(ids: Sequence[WrittenId], at_us: int, snapshot: tuple[int, int], depth: int) -> str:
    """The levels at ``at_us``: those of the snapshot of ``(ts, seq)``, changed by every delta after it.

    A delta is after the snapshot when its ts is greater, or equal with a greater seq. Rows are
    ``(side, price, quantity)``, bids first, best first; ``depth`` levels a side, 0 for all.
    """
    price, quantity = unscaled("price", ids, "price"), unscaled("quantity", ids, "quantity")
    since, seq = moment(snapshot[0]), int(snapshot[1])
    of = f"instrument IN ({id_list(ids)})"
    limit = f"LIMIT {int(depth)} BY side" if depth else ""
    return f"""
WITH levels AS (
    SELECT ts, seq, side, level.1 AS price, level.2 AS quantity, instrument FROM (
        SELECT instrument, ts, seq, arrayZip(bid_prices, bid_quantities) AS bids,
               arrayZip(ask_prices, ask_quantities) AS asks
        FROM book_snapshot WHERE {of} AND ts = {since} AND seq = {seq} LIMIT 1
    )
    ARRAY JOIN arrayConcat(bids, asks) AS level,
               arrayConcat(arrayMap(b -> 0, bids), arrayMap(a -> 1, asks)) AS side
    UNION ALL
    SELECT ts, seq, toInt8(side) AS side, price, quantity, instrument
    FROM book_delta WHERE {of} AND ts <= {moment(at_us)} AND (ts > {since} OR ts = {since} AND seq > {seq})
)
SELECT side, p, argMax(q, (ts, seq)) AS q
FROM (SELECT ts, seq, side, {price} AS p, {quantity} AS q FROM levels)
GROUP BY side, p HAVING q != 0
ORDER BY side, if(side = 0, -p, p) {limit}"""


def book_at(client: HistoryClient, instrument: InstrumentId, at_us: int, depth: int = 0) -> HistoricBook:
    """The order book at a microsecond, with ``depth`` levels a side (0 = all), and whether it can be trusted.

    Raises :class:`UnknownInstrument` for an instrument that history has never met.
    """
    ids = ids_of(client, instrument)
    anchor = _newest(client, "book_snapshot", ids, f"ts <= {moment(at_us)}")
    if anchor is None:
        return HistoricBook(instrument, at_us, [], [], gap_reason="no snapshot yet")
    since, seq, _ = anchor
    sides: tuple[list[Level], list[Level]] = ([], [])
    for side, price, quantity in client.rows(book_sql(ids, at_us, (since, seq), depth)):
        sides[side].append((price, quantity))
    last = _newest(client, "book_delta", ids, f"ts >= {moment(since)} AND ts <= {moment(at_us)}")
    last_us, at_seq, exchange_us = max(anchor, last or anchor)
    gap = gap_at(client, ids, at_us)
    if gap is None and not _watched(client, ids, at_us):
        gap = BEYOND_END
    return HistoricBook(
        instrument, at_us, *sides, since, last_us, at_seq, exchange_us,
        in_sync=gap is None, gap_reason=gap or "")


def gap_at(client: HistoryClient, ids: Sequence[WrittenId], at_us: int) -> str | None:
    """The reason of the gap that the order book is in at ``at_us``, None when it is whole.

    A gap begins to hurt at once after the last row before it was noticed, not when it was noticed: in
    between, something had already been missed. It ends with the closing row. As a stream has one gap at a
    time, a closing row ends all that came before it, those too that a crash has left open.
    """
    of = f"FROM gap WHERE instrument IN ({id_list(ids)}) AND channel = '{Channel.ORDERBOOK}'"
    newest = f"(SELECT max(ts) {of} AND ts <= {moment(at_us)})"
    rows = client.rows(
        f"SELECT any(reason), countIf(end_us IS NULL) > 0 AND countIf(end_us IS NOT NULL) = 0 AS is_open "
        f"{of} AND ts = {newest} GROUP BY begin_us ORDER BY is_open DESC LIMIT 1")
    if rows and rows[0][1]:
        return str(rows[0][0])
    following = client.rows(
        f"SELECT toUnixTimestamp64Micro(ts), reason {of} AND ts > {moment(at_us)} AND end_us IS NULL "
        "ORDER BY ts LIMIT 1")
    for opened, reason in following:
        return None if _heard(client, ids, at_us, int(opened)) else str(reason)
    return None


def coverage(client: HistoryClient, instrument: InstrumentId, begin_us: int, end_us: int) -> list[Coverage]:
    """Rows and gaps of each of an instrument's streams between two moments, begin included, end not."""
    ids = ids_of(client, instrument)
    within = f"instrument IN ({id_list(ids)}) AND ts >= {moment(begin_us)} AND ts < {moment(end_us)}"
    gaps = {str(channel): (int(total), int(unclosed)) for channel, total, unclosed in client.rows(
        "SELECT channel, count(), countIf(ended = 0) FROM ("
        f"SELECT channel, countIf(end_us IS NOT NULL) AS ended FROM gap WHERE {within} "
        "GROUP BY channel, begin_us) GROUP BY channel")}
    found = []
    for name, tables in _CHANNEL_TABLES.items():
        union = " UNION ALL ".join(f"SELECT ts FROM {table} WHERE {within}" for table in tables)
        rows, first, last = client.rows(
            f"SELECT count(), toUnixTimestamp64Micro(min(ts)), toUnixTimestamp64Micro(max(ts)) FROM ({union})"
        )[0]
        total, unclosed = gaps.get(name, (0, 0))
        if rows or total:
            first, last = (first, last) if rows else (None, None)
            found.append(Coverage(name, rows, first, last, total, unclosed))
    return found


_CHANNEL_TABLES: dict[str, tuple[str, ...]] = {
    Channel.ORDERBOOK: ("book_delta", "book_snapshot"),
    **{channel: (str(channel),) for channel in Channel if channel is not Channel.ORDERBOOK},
}


def _watched(client: HistoryClient, ids: Sequence[WrittenId], at_us: int) -> bool:
    """Is there a sign at or after a moment that the book was being followed?

    Quiet books have one, too: whole books are written regularly.
    """
    since = f"WHERE instrument IN ({id_list(ids)}) AND ts >= {moment(at_us)}"
    of_book = f"AND channel = '{Channel.ORDERBOOK}'"
    sources = (f"book_delta {since}", f"book_snapshot {since}", f"gap {since} {of_book}")
    union = " UNION ALL ".join(f"SELECT 1 FROM {source} LIMIT 1" for source in sources)
    return bool(client.rows(f"SELECT 1 FROM ({union}) LIMIT 1"))


def _newest(
    client: HistoryClient, table: str, ids: Sequence[WrittenId], condition: str
) -> tuple[int, int, int] | None:
    """``(ts, seq, exchange_us)`` of the newest row under a condition."""
    rows = client.rows(
        "SELECT toUnixTimestamp64Micro(ts), seq, toUnixTimestamp64Micro(exchange_us) "
        f"FROM {table} WHERE instrument IN ({id_list(ids)}) AND {condition} "
        "ORDER BY ts DESC, seq DESC LIMIT 1")
    return (int(rows[0][0]), int(rows[0][1]), int(rows[0][2])) if rows else None


def _heard(client: HistoryClient, ids: Sequence[WrittenId], begin_us: int, end_us: int) -> bool:
    """Has the venue told anything of the book between two moments (both included)?

    A whole book that only repeats what was known is none of the venue's: ctcore writes them regularly.
    """
    between = f"ts >= {moment(begin_us)} AND ts <= {moment(end_us)}"
    if _newest(client, "book_delta", ids, between):
        return True
    tables = _CHANNEL_TABLES[Channel.ORDERBOOK]
    before = [_newest(client, table, ids, f"ts < {moment(begin_us)}") for table in tables]
    known = max((row[:2] for row in before if row), default=None)
    news = f" AND seq != {known[1]}" if known else ""
    return _newest(client, "book_snapshot", ids, between + news) is not None


def unscaled(column: str, ids: Sequence[WrittenId], what: str) -> str:
    """SQL of a column's float, by the scale of each row's id."""
    scales = {i.id: i.price_scale if what == "price" else i.quantity_scale for i in ids}
    distinct = set(scales.values())
    if distinct == {RAW}:
        return f"reinterpretAsFloat64({column})"
    if RAW not in distinct and len(distinct) == 1:
        return f"{column} / {factor(distinct.pop())!r}"
    factors = ", ".join(repr(factor(scale)) for scale in scales.values())
    by = f"transform(instrument, [{', '.join(map(str, scales))}], [{factors}], 1.0)"
    return f"if({by} = 0, reinterpretAsFloat64({column}), {column} / {by})"


def moment(us: int) -> str:
    """SQL of a moment in microseconds."""
    return f"fromUnixTimestamp64Micro({int(us)})"


def id_list(ids: Sequence[WrittenId]) -> str:
    """The ids as the inside of an ``IN (...)``."""
    return ", ".join(str(int(i.id)) for i in ids)


def table_rows(client: HistoryClient) -> dict[str, int]:
    """How many rows each table holds."""
    names = {table.table for table in TABLES.values()}
    rows: list[tuple[Any, ...]] = client.rows(
        "SELECT table, sum(rows) FROM system.parts WHERE active AND database = currentDatabase() "
        "GROUP BY table")
    found = {str(table): int(count) for table, count in rows}
    return {name: found.get(name, 0) for name in sorted(names)}
