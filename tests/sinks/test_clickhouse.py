"""The ClickHouse sink on the real embedded engine: every event comes back as it went in, once."""

from __future__ import annotations

import math
from decimal import Decimal
from random import Random

import attrs
import msgspec
import pytest

from ctcore.errors import StorageError
from ctcore.model.ids import Channel, InstrumentId, Market
from ctcore.model.instrument import Instrument, InstrumentKind
from ctcore.model.market import (
    BookDelta,
    BookSnapshot,
    Candle,
    FundingRate,
    Gap,
    GapReason,
    Liquidation,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    Side,
    Ticker,
    Trade,
)
from ctcore.sinks.clickhouse import ClickHouseSink
from ctcore.sinks.client import BatchRefused, EngineRefused, HistoryClient, connect
from ctcore.sinks.config import ClickHouseConfig
from ctcore.sinks.encode import TABLES
from ctcore.sinks.queries import table_rows
from ctcore.sinks.replay import read_book

BTC = InstrumentId("binance", Market.SPOT, "BTC/USDT")
T0 = 1_760_000_000_000_000
MINUTE = 60_000_000


def one_of_each() -> list[MarketEvent]:
    return [
        BookSnapshot(BTC, T0, T0, 1, [(100.5, 1.0), (100.0, 2.0)], [(101.0, 1.5)]),
        BookDelta(BTC, T0 + 1, T0 + 1, 2, 1, 2, [(100.5, 0.0)], [(101.0, 0.25), (102.0, 3.0)]),
        Trade(BTC, T0 + 2, T0 + 2, "7", 100.5, 0.1, Side.BUY),
        Trade(BTC, T0 + 2, T0 + 2, "8", 100.6, 0.2, Side.SELL),
        Ticker(BTC, T0, T0 + 3, 100.5, None, 101.0, 1.5, seq=5),
        Candle(BTC, T0, T0 + 4, "1m", T0, 1.0, 2.0, 0.5, 1.5, 10.0, 12.0, False),
        MarkPrice(BTC, T0, T0 + 5, 100.123456789, None),
        FundingRate(BTC, T0, T0 + 6, 0.0001, T0 + 8 * 3600 * 1_000_000),
        OpenInterest(BTC, T0, T0 + 7, 12345.5),
        Liquidation(BTC, T0, T0 + 8, Side.SELL, 99.98765, 2.0),
        Gap(BTC, T0, T0 + 9, Channel.ORDERBOOK, GapReason.SEQUENCE, T0 + 9, None, "a 'hole'"),
    ]


def counts(reader: HistoryClient) -> dict[str, int]:
    return {table.table: reader.rows(f"SELECT count() FROM {table.table}")[0][0] for table in TABLES.values()}


def describe(sink: ClickHouseSink, tick: str, lot: str, instrument: InstrumentId = BTC) -> None:
    sink.describe([Instrument(
        id=instrument, symbol="BTCUSDT", kind=InstrumentKind.SPOT, base="BTC", quote="USDT", settle="USDT",
        tick_size=Decimal(tick), lot_size=Decimal(lot))])


def test_every_kind_of_event_has_a_row(sink: ClickHouseSink, reader: HistoryClient) -> None:
    sink.write_batch("run-1", one_of_each())
    assert counts(reader) == {
        "book_delta": 3, "book_snapshot": 1, "trade": 2, "ticker": 1, "candle": 1, "mark": 1, "funding": 1,
        "open_interest": 1, "liquidation": 1, "gap": 1}
    assert table_rows(reader) == counts(reader)


VIEWS: list[tuple[str, str, tuple[object, ...]]] = [
    ("v_trade", "exchange, market, pair, trade_id, side, price, quantity",
     ("binance", "spot", "BTC/USDT", "7", "buy", 100.5, 0.1)),
    ("v_book_delta", "side, price, quantity, seq", ("bid", 100.5, 0.0, 2)),
    ("v_book_snapshot", "bid_prices, bid_quantities, ask_prices, ask_quantities",
     ([100.5, 100.0], [1.0, 2.0], [101.0], [1.5])),
    ("v_ticker", "bid, bid_quantity, ask, seq", (100.5, None, 101.0, 5)),
    ("v_candle", "interval, open, high, low, close, volume, closed", ("1m", 1.0, 2.0, 0.5, 1.5, 10.0, 0)),
    ("v_candle_1m", "open, high, low, close, trades", (100.5, 100.6, 100.5, 100.6, 2)),
    ("v_mark", "mark_price, index_price", (100.123456789, None)),
    ("v_funding", "rate, toUnixTimestamp64Micro(funding_us)", (0.0001, T0 + 8 * 3600 * 1_000_000)),
    ("v_open_interest", "quantity", (12345.5,)),
    ("v_liquidation", "side, price, quantity", ("sell", 99.98765, 2.0)),
    ("v_gap", "channel, reason, detail, closed", ("orderbook", "sequence", "a 'hole'", None)),
]


def test_views_give_back_what_went_in(sink: ClickHouseSink, reader: HistoryClient) -> None:
    sink.write_batch("run-1", one_of_each())
    for view, columns, row in VIEWS:
        assert (view, reader.rows(f"SELECT {columns} FROM {view} LIMIT 1")) == (view, [row])


def test_a_gap_is_shown_closed_once_it_is(sink: ClickHouseSink, reader: HistoryClient) -> None:
    opened = Gap(BTC, T0, T0 + 10, Channel.TRADE, GapReason.STALL, T0, None, "silence")
    closed = Gap(BTC, T0 + 50, T0 + 60, Channel.TRADE, GapReason.STALL, T0, T0 + 50, "silence")
    sink.write_batch("run-1", [opened])
    sink.write_batch("run-2", [closed])
    micro = "toUnixTimestamp64Micro"
    assert reader.rows(f"SELECT {micro}(begin_us), {micro}(assumeNotNull(end_us)), {micro}(opened), "
                       f"{micro}(assumeNotNull(closed)) FROM v_gap") == [(T0, T0 + 50, T0 + 10, T0 + 60)]


def test_a_batch_written_twice_is_kept_once(sink: ClickHouseSink, reader: HistoryClient) -> None:
    sink.write_batch("run-1", one_of_each())
    before = counts(reader)
    sink.write_batch("run-1", one_of_each())
    assert counts(reader) == before
    assert sink.statistics().repeated == 1


class CutOff(HistoryClient):
    """A connection that dies at the n-th insert, before or after the engine has taken it."""

    def __init__(self, inner: HistoryClient, at: int, *, after: bool) -> None:
        self._inner, self._left, self._after = inner, at, after
        self.execute, self.rows = inner.execute, inner.rows  # type: ignore[method-assign]
        self.close, self.use = inner.close, inner.use  # type: ignore[method-assign]

    def insert(self, table: str, data: bytes, *, form: str = "Native") -> None:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise StorageError("cut off before")
        self._inner.insert(table, data, form=form)
        if self._left == 0:
            raise StorageError("cut off after")


@pytest.mark.parametrize(("after", "restart"), [(False, True), (True, False)])
def test_exactly_once_wherever_the_connection_dies(
    sink: ClickHouseSink, reader: HistoryClient, config: ClickHouseConfig, after: bool, restart: bool
) -> None:
    kinds = (BookSnapshot, BookDelta, Trade, Ticker, Gap)
    batch = [event for event in one_of_each() if isinstance(event, kinds)]
    sink.write_batch("run-0", batch)
    once = counts(reader)
    inserts = len(kinds) + 1
    for at in range(1, inserts + 1):
        healthy = sink._client
        assert healthy is not None
        sink._client = CutOff(healthy, at, after=after)
        shifted = [_later(event, at) for event in batch]
        with pytest.raises(StorageError, match="cut off"):
            sink.write_batch(f"run-{at}", shifted)
        sink._client = healthy
        if restart:
            sink.close()
            sink.open()
        sink.write_batch(f"run-{at}", shifted)
        assert counts(reader) == {table: rows * (at + 1) for table, rows in once.items()}
        trades, volume = reader.rows("SELECT sum(trades), sum(volume) FROM v_candle_1m")[0]
        assert trades == 2 * (at + 1)
        assert volume == pytest.approx(0.3 * (at + 1))


def _later(event: MarketEvent, minutes: int) -> MarketEvent:
    shift = {name: getattr(event, name) + minutes * MINUTE for name in ("exchange_us", "received_us")}
    if isinstance(event, Gap):
        shift["begin_us"] = event.begin_us + minutes * MINUTE
    return msgspec.structs.replace(event, **shift)


def test_part_of_a_batch_in_a_table_is_taken_back(sink: ClickHouseSink, reader: HistoryClient) -> None:
    trades: list[MarketEvent] = [
        Trade(BTC, T0 + i, T0 + i, str(i), 100.0 + i, 1.0, Side.BUY) for i in range(10)]
    sink.write_batch("run-1", trades)
    reader.execute("DELETE FROM trade WHERE trade_id IN ('3', '4')")
    reader.execute("TRUNCATE TABLE batches")
    sink.close()
    sink.open()
    sink.write_batch("run-1", trades)
    assert reader.rows("SELECT count(), uniq(trade_id) FROM trade") == [(10, 10)]
    assert reader.rows("SELECT open, high, low, close, volume, trades FROM v_candle_1m") == [
        (100.0, 109.0, 100.0, 109.0, 10.0, 10)]
    assert sink.statistics().repaired == 1


def test_a_batch_in_several_inserts(config: ClickHouseConfig, reader: HistoryClient) -> None:
    sink = ClickHouseSink(attrs.evolve(config, max_batch_size=3))
    sink.open()
    trades: list[MarketEvent] = [Trade(BTC, T0, T0 + i, str(i), 100.0, 1.0, Side.BUY) for i in range(10)]
    sink.write_batch("run-1", trades)
    reader.execute("TRUNCATE TABLE batches")
    reader.execute("DELETE FROM trade WHERE trade_id = '7'")
    sink.close()
    sink.open()
    sink.write_batch("run-1", trades)
    sink.close()
    assert reader.rows("SELECT count(), uniq(trade_id) FROM trade") == [(10, 10)]


def test_a_batch_over_midnight(sink: ClickHouseSink, reader: HistoryClient) -> None:
    midnight = T0 // (86_400 * 1_000_000) * 86_400 * 1_000_000
    trades: list[MarketEvent] = [
        Trade(BTC, midnight + i, midnight + i, str(i), 100.0, 1.0, Side.BUY) for i in range(-5, 5)]
    sink.write_batch("run-1", trades)
    assert reader.rows("SELECT count(), uniq(toYYYYMMDD(ts)) FROM trade") == [(10, 2)]


# Numbers: nothing is lost, whatever the scale.

AWKWARD = [
    0.1, 1e-8, 123456.789012, 100.123456789012, 1e17, 1.7976931348623157e308, 5e-324, math.inf, -3.25,
    0.30000000000000004, 9007199254740993.0,
]


@pytest.mark.parametrize("described", [True, False])
def test_any_float_comes_back_bit_for_bit(
    sink: ClickHouseSink, reader: HistoryClient, described: bool
) -> None:
    events: list[MarketEvent] = []
    for number, price in enumerate(AWKWARD):
        instrument = InstrumentId("binance", Market.SPOT, f"C{number:02}/USDT")
        if described:
            describe(sink, "0.1", "0.001", instrument)
        events += [
            BookSnapshot(instrument, T0, T0 + 1, 1, [(price, 1.0)], [(100.5, price)]),
            BookDelta(instrument, T0, T0 + 2, 2, 1, 2, [(price, 2.0)], []),
            Trade(instrument, T0, T0, "0", 100.5, 1.0, Side.BUY),
            Trade(instrument, T0, T0 + 3, "1", price, 2.0, Side.BUY),
        ]
    sink.write_batch("run-1", events[::4])
    sink.write_batch("run-2", events)
    trades = reader.rows("SELECT price FROM v_trade WHERE trade_id = '1' ORDER BY pair")
    assert trades == [(price,) for price in AWKWARD]
    deltas = reader.rows("SELECT price, quantity FROM v_book_delta ORDER BY pair")
    assert deltas == [(price, 2.0) for price in AWKWARD]
    snapshots = reader.rows(
        "SELECT DISTINCT pair, bid_prices[1], ask_prices[1], ask_quantities[1] FROM v_book_snapshot "
        "ORDER BY pair")
    assert [row[1:] for row in snapshots] == [(p, 100.5, p) for p in AWKWARD]
    first = InstrumentId("binance", Market.SPOT, "C00/USDT")
    assert [type(e) for e in read_book(reader, first, T0, T0 + 10)] == [BookSnapshot, BookSnapshot, BookDelta]


def test_every_scale_gives_back_every_decimal(sink: ClickHouseSink, reader: HistoryClient) -> None:
    rng = Random(5)
    events: list[MarketEvent] = []
    for scale in range(19):
        instrument = InstrumentId("binance", Market.SPOT, f"S{scale:02}/USDT")
        describe(sink, f"1e-{scale}", "1", instrument)
        for number in range(40):
            price = float(f"{rng.randrange(10 ** rng.randint(1, 15))}e-{scale}")
            events.append(Trade(instrument, T0, T0 + len(events), str(number), price, 1.0, Side.BUY))
    sink.write_batch("run-1", events)
    assert sink.statistics().widened == 0
    assert [price for (price,) in reader.rows("SELECT price FROM v_trade ORDER BY ts")] == [
        event.price for event in events if isinstance(event, Trade)]
    scales = reader.rows("SELECT uniq(id), min(price_scale), max(price_scale) FROM instruments")
    assert scales == [(19, -1, 15)]


def test_a_finer_tick_gets_another_id_and_the_old_rows_keep_theirs(
    sink: ClickHouseSink, reader: HistoryClient
) -> None:
    describe(sink, "0.1", "0.001")
    sink.write_batch("run-1", [Trade(BTC, T0, T0, "1", 100.5, 0.123, Side.BUY)])
    sink.write_batch("run-2", [Trade(BTC, T0, T0 + 1, "2", 100.25, 0.123, Side.BUY)])
    sink.write_batch("run-3", [Trade(BTC, T0, T0 + 2, "3", 100.5, 0.123, Side.BUY)])
    assert reader.rows("SELECT price FROM v_trade ORDER BY ts") == [(100.5,), (100.25,), (100.5,)]
    assert reader.rows("SELECT price FROM trade ORDER BY ts") == [(1005,), (10025,), (10050,)]
    assert reader.rows("SELECT price_scale FROM instruments ORDER BY valid_from") == [(1,), (2,)]
    assert reader.rows("SELECT open, close, trades FROM v_candle_1m") == [(100.5, 100.5, 3)]
    assert sink.statistics().widened == 1


def test_scales_and_ids_survive_a_restart(
    sink: ClickHouseSink, reader: HistoryClient, config: ClickHouseConfig
) -> None:
    describe(sink, "0.1", "0.001")
    sink.write_batch("run-1", [Trade(BTC, T0, T0, "1", 100.25, 0.123, Side.BUY)])
    again = ClickHouseSink(config)
    again.open()
    describe(again, "0.1", "0.001")
    again.write_batch("run-2", [Trade(BTC, T0, T0 + 1, "2", 100.25, 0.123, Side.BUY)])
    again.close()
    assert reader.rows("SELECT uniq(instrument) FROM trade") == [(1,)]
    assert again.statistics().widened == 0


def test_the_last_of_a_repeated_price_counts(sink: ClickHouseSink, reader: HistoryClient) -> None:
    sink.write_batch("run-1", [
        BookDelta(BTC, T0, T0, 1, 0, 1, [(1.0, 1.0), (2.0, 5.0), (1.0, 3.0)], [(1.0, 7.0)]),
        BookSnapshot(BTC, T0, T0 + 1, 1, [(1.0, 1.0), (1.0, 2.0)], []),
    ])
    assert reader.rows("SELECT side, price, quantity FROM v_book_delta ORDER BY side, price") == [
        ("bid", 1.0, 3.0), ("bid", 2.0, 5.0), ("ask", 1.0, 7.0)]
    assert reader.rows("SELECT bid_prices, bid_quantities FROM v_book_snapshot") == [([1.0], [2.0])]


def test_integers_beyond_64_bits_do_not_stop_the_batch(sink: ClickHouseSink, reader: HistoryClient) -> None:
    sink.write_batch("run-1", [
        BookDelta(BTC, T0, T0, 1, 0, 2**64, [(1.0, 1.0)], []),
        BookDelta(BTC, T0, T0 + 1, 1, 0, 2, [(1.0, 1.0)], []),
        Ticker(BTC, T0, T0 + 2, seq=2**70),
    ])
    assert counts(reader)["book_delta"] == 1
    assert counts(reader)["ticker"] == 0
    assert sink.statistics().rejected == 2


def test_contracts_and_base_amount_stand_side_by_side(sink: ClickHouseSink, reader: HistoryClient) -> None:
    swap = InstrumentId("okx", Market.FUTURES, "BTC/USDT")
    inverse = InstrumentId("okx", Market.FUTURES, "BTC/USD")
    linear = Instrument(
        id=swap, symbol="BTC-USDT-SWAP", kind=InstrumentKind.PERPETUAL, base="BTC", quote="USDT",
        settle="USDT", tick_size=Decimal("0.1"), lot_size=Decimal(1), contract_size=Decimal("0.01"))
    sink.describe([linear, attrs.evolve(
        linear, id=inverse, symbol="BTC-USD-SWAP", quote="USD", settle="BTC", contract_size=Decimal(100),
        inverse=True)])
    sink.write_batch("run-1", [Trade(swap, T0, T0, "1", 50_000.0, 3.0, Side.BUY),
                               Trade(inverse, T0, T0 + 1, "1", 50_000.0, 5.0, Side.BUY)])
    rows = reader.rows("SELECT quantity, base_quantity FROM v_trade ORDER BY ts")
    assert rows == [(3.0, 0.03), (5.0, 0.01)]


def test_queries_have_a_deadline(config: ClickHouseConfig, reader: HistoryClient) -> None:
    client = connect(attrs.evolve(config, query_timeout_sec=1))
    with pytest.raises(EngineRefused) as caught:
        client.rows("SELECT count() FROM numbers(100000000000)")
    client.close()
    assert caught.value.code == 159  # TIMEOUT_EXCEEDED


def test_a_sink_that_is_not_open_says_so(config: ClickHouseConfig) -> None:
    with pytest.raises(StorageError, match="not open"):
        ClickHouseSink(config).write_batch("run-1", one_of_each())


# What must not spoil the rest.


def test_one_absurd_number_does_not_change_how_the_others_are_written(
    sink: ClickHouseSink, reader: HistoryClient, config: ClickHouseConfig
) -> None:
    describe(sink, "0.1", "0.001")
    prices = [100.5, 1e300, 100.6, 5e-324, 100.7]
    batch = [Trade(BTC, T0, T0 + i, str(i), price, 0.5, Side.BUY) for i, price in enumerate(prices)]
    sink.write_batch("run-1", batch)
    sink.write_batch("run-2", [Trade(BTC, T0, T0 + 9, "9", 1e300, 0.5, Side.BUY)])
    again = ClickHouseSink(config)
    again.open()
    for number, one in enumerate((sink, again)):
        price = 100.8 + number
        one.write_batch(f"run-{number + 3}", [Trade(BTC, T0, T0 + 10 + number, "10", price, 0.5, Side.BUY)])
    again.close()
    assert [price for (price,) in reader.rows("SELECT price FROM v_trade ORDER BY ts")] == [
        *prices, 1e300, 100.8, 101.8]
    scales = "SELECT price_scale, count() FROM trade ANY LEFT JOIN v_instrument USING (instrument) GROUP BY 1"
    assert sorted(reader.rows(scales)) == [(-1, 3), (1, 5)]
    assert reader.rows("SELECT sum(trades) FROM v_candle_1m") == [(8,)]


def test_candles_are_repaired_from_trades_near_them_and_only_when_need_be(
    sink: ClickHouseSink, reader: HistoryClient
) -> None:
    far: list[MarketEvent] = [
        Trade(BTC, T0, T0, "1", 100.0, 1.0, Side.BUY),
        Trade(BTC, T0 + 9000 * MINUTE, T0 + 9000 * MINUTE, "2", 100.0, 1.0, Side.BUY)]
    asked: list[str] = []
    healthy = sink._client
    assert healthy is not None
    execute = healthy.execute
    healthy.execute = lambda sql: (asked.append(sql), execute(sql))[1]  # type: ignore[method-assign,func-returns-value]
    sink.write_batch("run-1", far)
    assert asked == []
    reader.execute("TRUNCATE TABLE batches")
    reader.execute("DELETE FROM trade WHERE trade_id = '2'")
    sink.close()
    sink.open()
    healthy = sink._client
    assert healthy is not None
    execute = healthy.execute
    healthy.execute = lambda sql: (asked.append(sql), execute(sql))[1]  # type: ignore[method-assign,func-returns-value]
    sink.write_batch("run-1", far)
    (repair,) = (sql for sql in asked if sql.startswith("INSERT INTO candle_1m"))
    assert repair.count("t.ts >=") == repair.count("t.ts <") == 2
    assert f"t.ts >= toDateTime64({T0 // MINUTE * 60 - 86_400}, 6, 'UTC')" in repair
    assert reader.rows("SELECT minute, trades FROM v_candle_1m ORDER BY minute") != []
    assert reader.rows("SELECT sum(trades), count() FROM v_candle_1m") == [(2, 2)]


def test_candles_written_before_a_crash_that_left_no_trade_are_taken_back(
    sink: ClickHouseSink, reader: HistoryClient
) -> None:
    trades: list[MarketEvent] = [Trade(BTC, T0, T0, "1", 100.0, 1.0, Side.BUY)]
    sink.write_batch("run-1", trades)
    reader.execute("TRUNCATE TABLE batches")
    reader.execute("TRUNCATE TABLE trade")
    sink.close()
    sink.open()
    sink.write_batch("run-1", trades)
    assert reader.rows("SELECT trades, volume FROM v_candle_1m") == [(1, 1.0)]


def test_the_engine_says_whether_it_is_the_batch(sink: ClickHouseSink, reader: HistoryClient) -> None:
    batch: list[MarketEvent] = [
        Candle(BTC, T0, T0, "1m", T0 + i * 31 * 86_400 * 1_000_000, 1.0, 2.0, 0.5, 1.5, 10.0, 12.0, False)
        for i in range(150)]  # more partitions than the engine takes in one insert
    with pytest.raises(BatchRefused):
        sink.write_batch("run-1", batch)
    reader.execute("RENAME TABLE trade_in TO elsewhere")
    with pytest.raises(EngineRefused) as lost:
        sink.write_batch("run-2", [Trade(BTC, T0, T0, "1", 1.0, 1.0, Side.BUY)])
    assert not isinstance(lost.value, BatchRefused)
