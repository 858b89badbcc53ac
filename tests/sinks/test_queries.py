"""The book that SQL finds equals a plain replay in Python, at any microsecond; gaps are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctcore.errors import UnknownInstrument
from ctcore.model.ids import Channel, InstrumentId, Market
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason, Level, MarketEvent, Side, Trade
from ctcore.sinks.clickhouse import ClickHouseSink
from ctcore.sinks.client import HistoryClient, connect
from ctcore.sinks.config import ClickHouseConfig
from ctcore.sinks.queries import book_at, coverage
from ctcore.sinks.replay import read_book, replay_book

BTC = InstrumentId("binance", Market.SPOT, "BTC/USDT")
T0 = 1_760_000_000_000_000
BookFlow = Callable[[int, int], list[BookSnapshot | BookDelta]]


def test_50_random_instants_equal_the_replay(
    sink: ClickHouseSink, reader: HistoryClient, book_flow: BookFlow
) -> None:
    events = book_flow(7, 700)
    for number, start in enumerate(range(0, len(events), 300)):
        sink.write_batch(f"run-{number}", events[start:start + 300])
    rng = Random(3)
    last_us = events[-1].received_us
    kept = read_book(reader, BTC, T0, last_us)
    for _ in range(50):
        at_us, depth = rng.randint(T0, last_us), rng.choice((0, 5))
        book = book_at(reader, BTC, at_us, depth)
        assert (book.bids, book.asks) == replay_book(events, at_us, depth)
        assert (book.bids, book.asks) == replay_book(kept, at_us, depth)
        assert book.in_sync
        newest = [event for event in events if event.received_us <= at_us][-1]
        assert (book.last_us, book.seq) == (newest.received_us, newest.seq)
        assert book.exchange_us == newest.exchange_us


PRICES = st.sampled_from([99.5, 99.75, 100.0, 100.25, 1e-9])
QUANTITIES = st.sampled_from([0.0, 1.0, 2.5, 1e12])
LEVELS = st.dictionaries(PRICES, QUANTITIES, max_size=3).map(lambda side: list(side.items()))
STEPS = st.tuples(st.booleans(), st.integers(0, 2), st.integers(1, 2), LEVELS, LEVELS)
_runs = iter(range(1_000_000))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=1, max_size=12))
def test_any_order_of_events_equals_the_replay(
    sink: ClickHouseSink, reader: HistoryClient, steps: list[tuple[bool, int, int, list[Level], list[Level]]]
) -> None:
    run = next(_runs)
    instrument = InstrumentId("binance", Market.SPOT, f"C{run}/USDT")
    ts, seq = T0, 0
    events: list[BookSnapshot | BookDelta] = []
    for is_snapshot, later, further, bids, asks in steps:
        ts, seq = ts + later, seq + further
        events.append(BookSnapshot(instrument, ts, ts, seq, bids, asks) if is_snapshot
                      else BookDelta(instrument, ts, ts, seq, seq - 1, seq, bids, asks))
    sink.write_batch(f"run-{run}", events)
    for at_us in {event.received_us for event in events}:
        book = book_at(reader, instrument, at_us)
        assert (book.bids, book.asks) == replay_book(events, at_us)


def test_before_the_first_snapshot_there_is_no_book(sink: ClickHouseSink, reader: HistoryClient) -> None:
    sink.write_batch("run-1", [BookDelta(BTC, T0, T0, 1, 0, 1, [(1.0, 1.0)], []), _snapshot(T0 + 5, 5)])
    book = book_at(reader, BTC, T0 + 1)
    assert (book.bids, book.snapshot_us, book.in_sync) == ([], None, False)
    assert book_at(reader, BTC, T0 + 5).in_sync


def _snapshot(ts: int, seq: int) -> BookSnapshot:
    return BookSnapshot(BTC, ts, ts, seq, [(100.0, 1.0)], [(101.0, 1.0)])


def _delta(ts: int, seq: int) -> BookDelta:
    return BookDelta(BTC, ts, ts, seq, seq - 1, seq, [(100.0, float(seq))], [])


def _gap(ts: int, begin_us: int, end_us: int | None) -> Gap:
    return Gap(BTC, ts, ts, Channel.ORDERBOOK, GapReason.SEQUENCE, begin_us, end_us, "lost")


@pytest.mark.parametrize(("offset", "in_sync"), [
    (10, True),     # before anything was missed
    (20, True),     # the last good row itself
    (21, False),    # something was missed already, though nobody had noticed
    (30, False),    # noticed
    (49, False),
    (50, True),     # the new snapshot
    (60, True),
    (69, True),
    (75, False),    # the second gap, never closed
    (10**9, False),
])
def test_a_gap_begins_after_the_last_good_row_and_ends_with_the_snapshot(
    gaps_reader: HistoryClient, offset: int, in_sync: bool
) -> None:
    book = book_at(gaps_reader, BTC, T0 + offset)
    assert (book.in_sync, book.gap_reason) == (in_sync, "" if in_sync else "sequence")


@pytest.fixture(scope="module")
def gaps_reader(engine: str) -> Iterator[HistoryClient]:
    config = ClickHouseConfig(url=engine, database="test_gaps")
    sink = ClickHouseSink(config)
    sink.open()
    events: list[MarketEvent] = [
        _snapshot(T0, 1), _delta(T0 + 20, 2), _gap(T0 + 30, T0 + 20, None), _snapshot(T0 + 50, 9),
        _gap(T0 + 50, T0 + 20, T0 + 50), _delta(T0 + 70, 10), _gap(T0 + 80, T0 + 70, None),
    ]
    sink.write_batch("run-1", events)
    client = connect(config)
    client.use(config.database)
    yield client
    client.close()
    sink.close()


@pytest.mark.parametrize(("offset", "in_sync"), [
    (40, False),    # a gap that a crash has left open ...
    (60, False),    # ... which the next run's goes on with
    (70, True),     # its end is the end of both
    (75, True),
    (95, False),    # the same begin once more: that run crashed too, before it had anything to tell
    (100, True),
])
def test_a_closing_row_ends_what_crashes_have_left_open(
    sink: ClickHouseSink, reader: HistoryClient, offset: int, in_sync: bool
) -> None:
    sink.write_batch("run-1", [
        _snapshot(T0, 1), _gap(T0 + 30, T0 + 20, None),
        _gap(T0 + 50, T0 + 10, None), _snapshot(T0 + 70, 9), _gap(T0 + 70, T0 + 10, T0 + 70),
        _delta(T0 + 80, 10),
        _gap(T0 + 90, T0 + 10, None), _snapshot(T0 + 100, 11), _gap(T0 + 100, T0 + 10, T0 + 100),
    ])
    assert book_at(reader, BTC, T0 + offset).in_sync is in_sync


def test_our_own_pictures_of_a_book_are_no_sign_of_life(sink: ClickHouseSink, reader: HistoryClient) -> None:
    """A connection that has died in silence: the book was written again, and nothing new was heard."""
    sink.write_batch("run-1", [
        _snapshot(T0, 1), _delta(T0 + 20, 2), _snapshot(T0 + 40, 2), _snapshot(T0 + 60, 2),
        _gap(T0 + 70, T0 + 20, None),
    ])
    assert book_at(reader, BTC, T0 + 20).in_sync
    assert not book_at(reader, BTC, T0 + 21).in_sync
    assert not book_at(reader, BTC, T0 + 50).in_sync


@pytest.mark.parametrize(("last", "offset", "in_sync"), [
    ("delta", 20, True),
    ("delta", 21, False),
    ("snapshot", 30, True),     # a quiet book: only the regular picture tells that somebody watched
    ("snapshot", 31, False),
    ("gap", 39, True),
    ("gap", 10**13, False),
])
def test_nobody_vouches_for_a_book_after_the_last_sign_of_life(
    sink: ClickHouseSink, reader: HistoryClient, last: str, offset: int, in_sync: bool
) -> None:
    signs: dict[str, MarketEvent] = {
        "snapshot": _snapshot(T0 + 30, 2), "gap": _gap(T0 + 40, T0 + 10, T0 + 40)}
    trade = Trade(BTC, T0, T0 + 10**14, "1", 1.0, 1.0, Side.BUY)
    sink.write_batch("run-1", [_snapshot(T0, 1), _delta(T0 + 20, 2), *filter(None, [signs.get(last)]), trade])
    book = book_at(reader, BTC, T0 + offset)
    assert (book.in_sync, book.gap_reason) == (in_sync, "" if in_sync else "beyond the end of history")
    assert book.bids


def test_coverage_counts_rows_and_gaps_of_each_stream(gaps_reader: HistoryClient) -> None:
    assert [(c.channel, c.rows, c.first_us, c.last_us, c.gaps, c.open_gaps)
            for c in coverage(gaps_reader, BTC, T0, T0 + 100)] == [("orderbook", 4, T0, T0 + 70, 2, 1)]
    assert coverage(gaps_reader, BTC, T0 + 100, T0 + 200) == []


def test_an_instrument_never_met_is_named(reader: HistoryClient, sink: ClickHouseSink) -> None:
    sink.write_batch("run-1", [Trade(BTC, T0, T0, "1", 1.0, 1.0, Side.BUY)])
    with pytest.raises(UnknownInstrument, match="okx:spot:X/Y"):
        book_at(reader, InstrumentId("okx", Market.SPOT, "X/Y"), T0)
