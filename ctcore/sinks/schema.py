"""The tables of history: one definition for the embedded engine and a server, as numbered migrations.

**Time.** ``ts`` is when ctcore received an event (microseconds UTC), the order of history; ``exchange_us``
is the venue's own time, kept beside it.

**Numbers.** The bulk (order books and trades) keeps prices and quantities as Int64, scaled by the
instrument's ``price_scale`` and ``quantity_scale`` (decimal places), which compresses to a third of floats.
Everything else is Float64: mark prices, averages and volumes are no multiples of a tick. A scale of -1 means
that the Int64 holds the bits of the float itself: the way out for an instrument whose numbers fit no scale.

**Instruments.** ``instruments.id`` stands for a name *and its scales*. A finer tick makes a new row with a
new id; rows written before keep the id, and so the scale, that they were written with. One pair may
therefore have several ids: the views give names and floats back, and :mod:`ctcore.sinks.queries` puts the
ids together.

**Input tables.** ``*_in`` tables keep nothing: the engine scales what is inserted into them and spreads
arrays into rows, in C++ and without Python's lock, through a materialised view into the table proper. The
view refuses with :data:`SCALE_REFUSED` what is not exact at the given scale, and with :data:`REPEATED_PRICE`
a price that stands twice in one side of an event.

**Batches.** Every row knows its ``batch`` (a hash of the batch's id), so that a half-written batch can be
recognised and taken back. A finished batch has a row in ``batches``.

Pure data: imports no client.
"""
# ruff: noqa: S608  the texts are made of our own names and of integers

from __future__ import annotations

import attrs

from ctcore.sinks.views import SIDES, view_statements

SCALE_REFUSED = "ctcore: not a multiple of the scale"
REPEATED_PRICE = "ctcore: a price stands twice in one event"


@attrs.frozen
class Migration:
    """A step of the schema; steps are never edited once released, only followed by others."""

    version: int
    title: str
    statements: tuple[str, ...]


_US = "DateTime64(6, 'UTC')"
_HEAD = f"""
    instrument UInt32 CODEC(ZSTD(1)),
    ts {_US} CODEC(DoubleDelta, ZSTD(1)),
    exchange_us {_US} CODEC(DoubleDelta, ZSTD(1)),"""
_BATCH = "batch UInt64 CODEC(Delta, ZSTD(1))"
_IN_HEAD = f"instrument UInt32, ts {_US}, exchange_us {_US}"
_FACTORS = "price_factor Float64, quantity_factor Float64"
_LEVELS = "bids UInt32, prices Array(Float64), quantities Array(Float64)"


def _table(
    name: str, columns: str, order: str, *, engine: str = "MergeTree", partition: str = "toYYYYMM(ts)"
) -> str:
    return (f"CREATE TABLE IF NOT EXISTS {name} ({_HEAD}\n    {columns}\n    {_BATCH}\n) ENGINE = {engine} "
            f"PARTITION BY {partition} ORDER BY ({order})")


def _scaled(value: str, factor: str) -> str:
    rounded = f"ifNotFinite(round({value} * {factor}), 0)"  # infinity is refused elsewhere, with our words
    return f"if({factor} = 0, reinterpretAsInt64({value}), toInt64({rounded}))"


def _inexact(value: str, factor: str) -> str:
    """True where scaling would change the float; integers beyond 2**53 are not exact in one."""
    scaled = f"({value} * {factor})"
    return f"({factor} != 0 AND (round({scaled}) / {factor} != {value} OR abs({scaled}) >= 9007199254740992))"


def _repeated(values: str) -> str:
    return f"length(arrayDistinct({values})) != length({values})"


def _scaled_array(values: str, factor: str) -> str:
    return f"arrayMap(v -> {_scaled('v', factor)}, {values})"


def _inexact_array(values: str, factor: str) -> str:
    return f"arrayExists(v -> {_inexact('v', factor)}, {values})"


INSTRUMENTS = f"""
CREATE TABLE IF NOT EXISTS instruments (
    id UInt32, exchange LowCardinality(String), market LowCardinality(String), pair String, symbol String,
    kind LowCardinality(String), price_scale Int8, quantity_scale Int8, tick Float64, lot Float64,
    contract_size Float64, inverse UInt8, valid_from {_US} DEFAULT now64(6)
) ENGINE = MergeTree ORDER BY (exchange, market, pair, valid_from)"""

BATCHES = f"""
CREATE TABLE IF NOT EXISTS batches (
    batch UInt64, id String, events UInt64, rows UInt64, written {_US} DEFAULT now64(6)
) ENGINE = ReplacingMergeTree ORDER BY (batch, id) TTL toDateTime(written) + INTERVAL 90 DAY"""

BOOK_DELTA = _table("book_delta", """seq Int64 CODEC(DoubleDelta, ZSTD(1)),
    side Enum8('bid' = 0, 'ask' = 1) CODEC(ZSTD(1)),
    price Int64 CODEC(Delta, ZSTD(1)),
    quantity Int64 CODEC(T64, ZSTD(1)),""", "instrument, ts, seq, side, price", partition="toYYYYMMDD(ts)")

BOOK_DELTA_IN = f"""
CREATE TABLE IF NOT EXISTS book_delta_in (
    {_IN_HEAD}, seq Int64, {_FACTORS}, {_LEVELS}, batch UInt64
) ENGINE = Null"""

BOOK_DELTA_MV = f"""
CREATE MATERIALIZED VIEW IF NOT EXISTS book_delta_mv TO book_delta AS
SELECT instrument, ts, exchange_us, seq,
    CAST(toInt8(n > bids), 'Enum8(\\'bid\\' = 0, \\'ask\\' = 1)') AS side,
    {_scaled("p", "price_factor")} + repeated AS price,
    {_scaled("q", "quantity_factor")}
        + throwIf({_inexact("p", "price_factor")} OR {_inexact("q", "quantity_factor")},
                  '{SCALE_REFUSED}') AS quantity,
    batch
FROM (
    SELECT *, throwIf(
        {_repeated("arraySlice(prices, 1, bids)")} OR {_repeated("arraySlice(prices, bids + 1)")},
        '{REPEATED_PRICE}') AS repeated
    FROM book_delta_in
)
ARRAY JOIN prices AS p, quantities AS q, arrayEnumerate(prices) AS n"""

BOOK_SNAPSHOT = _table("book_snapshot", f"""seq Int64 CODEC(DoubleDelta, ZSTD(1)),
    {" ".join(f"{side} Array(Int64) CODEC(Delta, ZSTD(1))," for side in SIDES)}""",
    "instrument, ts, seq", partition="toYYYYMMDD(ts)")

BOOK_SNAPSHOT_IN = f"""
CREATE TABLE IF NOT EXISTS book_snapshot_in (
    {_IN_HEAD}, seq Int64, {_FACTORS}, {_LEVELS}, batch UInt64
) ENGINE = Null"""

BOOK_SNAPSHOT_MV = f"""
CREATE MATERIALIZED VIEW IF NOT EXISTS book_snapshot_mv TO book_snapshot AS
SELECT instrument, ts, exchange_us, seq + throwIf(
        {_inexact_array("prices", "price_factor")} OR {_inexact_array("quantities", "quantity_factor")},
        '{SCALE_REFUSED}') + throwIf(
        {_repeated("arraySlice(prices, 1, bids)")} OR {_repeated("arraySlice(prices, bids + 1)")},
        '{REPEATED_PRICE}') AS seq,
    {_scaled_array("arraySlice(prices, 1, bids)", "price_factor")} AS bid_prices,
    {_scaled_array("arraySlice(quantities, 1, bids)", "quantity_factor")} AS bid_quantities,
    {_scaled_array("arraySlice(prices, bids + 1)", "price_factor")} AS ask_prices,
    {_scaled_array("arraySlice(quantities, bids + 1)", "quantity_factor")} AS ask_quantities,
    batch
FROM book_snapshot_in"""

TRADE = _table("trade", """n UInt16 CODEC(T64, ZSTD(1)),
    trade_id String CODEC(ZSTD(1)),
    side Enum8('buy' = 0, 'sell' = 1) CODEC(ZSTD(1)),
    price Int64 CODEC(Delta, ZSTD(1)),
    quantity Int64 CODEC(T64, ZSTD(1)),""", "instrument, ts, n", partition="toYYYYMMDD(ts)")

TRADE_IN = f"""
CREATE TABLE IF NOT EXISTS trade_in (
    {_IN_HEAD}, n UInt16, trade_id String, side String, {_FACTORS}, p Float64, q Float64, batch UInt64
) ENGINE = Null"""

TRADE_MV = f"""
CREATE MATERIALIZED VIEW IF NOT EXISTS trade_mv TO trade AS
SELECT instrument, ts, exchange_us, n, trade_id, CAST(side, 'Enum8(\\'buy\\' = 0, \\'sell\\' = 1)') AS side,
    {_scaled("p", "price_factor")} AS price,
    {_scaled("q", "quantity_factor")}
        + throwIf({_inexact("p", "price_factor")} OR {_inexact("q", "quantity_factor")},
                  '{SCALE_REFUSED}') AS quantity,
    batch
FROM trade_in"""

CANDLE_1M = """
CREATE TABLE IF NOT EXISTS candle_1m (
    instrument UInt32, minute DateTime('UTC'),
    open AggregateFunction(argMin, Float64, Tuple(Int64, Int64, UInt16)),
    high SimpleAggregateFunction(max, Float64),
    low SimpleAggregateFunction(min, Float64),
    close AggregateFunction(argMax, Float64, Tuple(Int64, Int64, UInt16)),
    volume SimpleAggregateFunction(sum, Float64),
    quote_volume SimpleAggregateFunction(sum, Float64),
    trades SimpleAggregateFunction(sum, UInt64)
) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(minute) ORDER BY (instrument, minute)"""


def candle_select(source: str) -> str:
    """One-minute bars by the venue's time, from trades with floats ``p`` and ``q``."""
    moment = "(toUnixTimestamp64Micro(exchange_us), toUnixTimestamp64Micro(ts), n)"
    return f"""SELECT instrument, toDateTime(toStartOfMinute(exchange_us), 'UTC') AS minute,
    argMinState(p, {moment}) AS open, max(p) AS high, min(p) AS low, argMaxState(p, {moment}) AS close,
    sum(q) AS volume, sum(p * q) AS quote_volume, count() AS trades
FROM {source} GROUP BY instrument, minute"""


CANDLE_1M_MV = f"""
CREATE MATERIALIZED VIEW IF NOT EXISTS candle_1m_mv TO candle_1m AS
{candle_select('trade_in')}"""

_FLOAT = "Float64 CODEC(ZSTD(1))"
_MAYBE = "Nullable(Float64) CODEC(ZSTD(1))"

TICKER = _table("ticker", f"""seq Int64 CODEC(DoubleDelta, ZSTD(1)),
    bid {_MAYBE}, bid_quantity {_MAYBE}, ask {_MAYBE}, ask_quantity {_MAYBE}, last {_MAYBE},
    volume_24h {_MAYBE}, quote_volume_24h {_MAYBE},""", "instrument, ts")

CANDLE = _table("candle", f"""interval LowCardinality(String), open_us {_US} CODEC(DoubleDelta, ZSTD(1)),
    open {_FLOAT}, high {_FLOAT}, low {_FLOAT}, close {_FLOAT}, volume {_FLOAT}, quote_volume {_FLOAT},
    closed UInt8 CODEC(ZSTD(1)),""", "instrument, interval, open_us",
    engine="ReplacingMergeTree(ts)", partition="toYYYYMM(open_us)")

MARK = _table("mark", f"mark_price {_FLOAT}, index_price {_MAYBE},", "instrument, ts")
FUNDING = _table("funding", f"rate {_FLOAT}, funding_us {_US} CODEC(DoubleDelta, ZSTD(1)),", "instrument, ts")
OPEN_INTEREST = _table("open_interest", f"quantity {_FLOAT},", "instrument, ts")
LIQUIDATION = _table(
    "liquidation", f"side Enum8('buy' = 0, 'sell' = 1) CODEC(ZSTD(1)), price {_FLOAT}, quantity {_FLOAT},",
    "instrument, ts")
GAP = _table("gap", f"""channel LowCardinality(String), reason LowCardinality(String),
    begin_us {_US}, end_us Nullable({_US}), detail String,""", "instrument, channel, begin_us, ts")

SCHEMA_VERSION_TABLE = f"""
CREATE TABLE IF NOT EXISTS schema_version (
    version UInt32, title String, applied {_US} DEFAULT now64(6)
) ENGINE = MergeTree ORDER BY version"""

MIGRATIONS = (
    Migration(1, "tables, input tables and views", (
        INSTRUMENTS, BATCHES,
        BOOK_DELTA, BOOK_DELTA_IN, BOOK_DELTA_MV,
        BOOK_SNAPSHOT, BOOK_SNAPSHOT_IN, BOOK_SNAPSHOT_MV,
        TRADE, TRADE_IN, TRADE_MV, CANDLE_1M, CANDLE_1M_MV,
        TICKER, CANDLE, MARK, FUNDING, OPEN_INTEREST, LIQUIDATION, GAP,
        *view_statements(),
    )),
)
"""Every step, in order; :func:`ctcore.sinks.migrate.migrate` applies those a database lacks."""
