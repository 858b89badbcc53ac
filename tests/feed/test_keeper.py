"""The keeper of live books: what is published, what is refused, and which streams have holes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.book import OrderBook
from ctcore.feed.keeper import TRADE_IDS_REMEMBERED, BookKeeper
from ctcore.feed.streams import GapLedger, StreamRecord
from ctcore.model.ids import Channel, InstrumentId, Market
from ctcore.model.market import (
    BookDelta,
    BookSnapshot,
    Candle,
    FundingRate,
    Gap,
    GapReason,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Side,
    Ticker,
    Trade,
)

BTC = InstrumentId("venue", Market.FUTURES, "BTC/USDT")
ETH = InstrumentId("venue", Market.FUTURES, "ETH/USDT")
Levels = list[tuple[float, float]]


class Kept:
    """A keeper, what it published, and a counter for ids and times."""

    def __init__(self, depth: int | None = None) -> None:
        self.published: list[Any] = []
        self.keeper = BookKeeper(self.published.append)
        self.keeper.watch(BTC, depth)
        self.seq = 0

    def snapshot(self, bids: Levels, asks: Levels) -> bool:
        self.seq += 1
        return self.keeper.accept(BookSnapshot(BTC, self.seq, self.seq * 10, self.seq, bids, asks))

    def delta(self, bids: Levels, asks: Levels) -> bool:
        at, self.seq = self.seq, self.seq + 1
        return self.keeper.accept(BookDelta(BTC, self.seq, self.seq * 10, self.seq, at, self.seq, bids, asks))

    def gap(self, channel: Channel = Channel.ORDERBOOK, *, end_us: int | None = None) -> None:
        self.keeper.accept(Gap(BTC, self.seq, self.seq * 10, channel, GapReason.SEQUENCE, self.seq, end_us))

    def trade(self, trade_id: str) -> bool:
        self.seq += 1
        return self.keeper.accept(Trade(BTC, self.seq, self.seq * 10, trade_id, 1.0, 1.0, Side.SELL))

    @property
    def book(self) -> OrderBook:
        book = self.keeper.book(BTC)
        assert book is not None
        return book


BID = st.lists(st.tuples(st.integers(1, 15).map(float), st.sampled_from([0.0, 1.0, 2.0])), max_size=5)
ASK = st.lists(st.tuples(st.integers(16, 30).map(float), st.sampled_from([0.0, 1.0, 2.0])), max_size=5)
STEP = st.tuples(st.sampled_from(["delta", "delta", "snapshot", "gap", "crossed"]), BID, ASK)


@given(depth=st.sampled_from([0, 1, 3]), steps=st.lists(STEP, max_size=25), changed=st.integers(0, 30))
def test_what_is_published_rebuilds_the_book_and_chains(depth, steps, changed):
    """A consumer that knows only what was published has the same book, as deep as wanted, without a hole."""
    kept = Kept(depth)
    rebuilt = OrderBook()
    at: int | None = None
    seen = 0

    def consume() -> None:
        nonlocal at, seen
        for event in kept.published[seen:]:
            match event:
                case BookSnapshot():
                    rebuilt.snapshot(event.bids, event.asks)
                    at = event.seq
                case BookDelta():
                    assert rebuilt.valid
                    assert event.prev_seq == at, "no hole, although some deltas change nothing in the window"
                    rebuilt.delta(event.bids, event.asks)
                    at = event.seq
                case Gap(end_us=None):
                    rebuilt.valid = False
        seen = len(kept.published)

    for number, (kind, bids, asks) in enumerate(steps):
        if number == changed:
            depth = 2
            kept.keeper.watch(BTC, depth)
        if kind == "gap":
            kept.gap()
        elif kind == "crossed":
            if kept.book.valid:
                assert not kept.delta([(20.0, 1.0)], [(2.0, 1.0)])
                kept.gap()
        elif kind == "snapshot":
            assert kept.snapshot(bids, asks)
        else:
            begun = any(isinstance(event, BookSnapshot) for event in kept.published)
            assert kept.delta(bids, asks) == begun
        consume()
        assert rebuilt.valid == kept.book.valid
        if rebuilt.valid:
            assert (rebuilt.bids(), rebuilt.asks()) == (kept.book.bids(depth), kept.book.asks(depth))
            picture = kept.keeper.picture(BTC, 99)
            assert picture is not None
            assert (picture.bids, picture.asks, picture.received_us) == (rebuilt.bids(), rebuilt.asks(), 99)
        else:
            assert kept.keeper.picture(BTC, 99) is None


BAD = {"crossed": [(5.0, 1.0)], "nan": [(float("nan"), 1.0)], "minus": [(1.0, -1.0)]}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("whole", [True, False])
def test_an_impossible_book_is_not_published_nor_what_follows(bad, whole):
    kept = Kept()
    kept.snapshot([(1.0, 1.0)], [(2.0, 1.0)])
    take = kept.snapshot if whole else kept.delta
    assert not take(bad, [(2.0, 1.0)])
    assert not kept.book.valid
    assert kept.delta([(1.0, 2.0)], []), "no second complaint in the same burst"
    kept.gap()
    kept.gap(end_us=7)
    assert [type(event) for event in kept.published] == [BookSnapshot, Gap], "still open"
    assert kept.snapshot([(1.0, 1.0)], [(2.0, 1.0)])
    assert [type(event) for event in kept.published[2:]] == [BookSnapshot, Gap]
    assert kept.published[-1].end_us == kept.seq


def test_deltas_of_a_book_that_never_began_are_asked_about():
    """As after a book was taken off and put back while its connection went on."""
    kept = Kept()
    kept.snapshot([(1.0, 1.0)], [])
    kept.keeper.unwatch(BTC)
    assert kept.delta([(1.0, 3.0)], []), "nobody watches: no complaint"
    kept.keeper.watch(BTC)
    assert not kept.delta([(1.0, 2.0)], [])
    assert len(kept.published) == 1


def test_a_window_publishes_nothing_when_nothing_in_it_changed():
    kept = Kept(1)
    kept.snapshot([(2.0, 1.0), (1.0, 1.0)], [])
    kept.delta([(1.0, 5.0)], [])
    kept.snapshot([(2.0, 1.0), (1.0, 7.0)], [])
    kept.delta([(2.0, 0.0)], [])
    assert [type(event) for event in kept.published] == [BookSnapshot, BookDelta]
    assert sorted(kept.published[1].bids) == [(1.0, 7.0), (2.0, 0.0)]
    assert kept.published[1].prev_seq == kept.published[0].seq


def test_a_gap_is_news_once():
    kept = Kept()
    kept.gap()
    kept.gap()
    kept.gap(Channel.TRADE)
    assert len(kept.published) == 2
    kept.gap(Channel.TRADE, end_us=9)
    kept.gap(Channel.TRADE, end_us=9)
    assert [gap.end_us for gap in kept.published] == [None, None, 9]
    assert kept.published[2].begin_us == kept.published[1].begin_us


def test_a_gap_closes_no_earlier_than_it_began():
    ledger = GapLedger()
    assert ledger.opened(Gap(BTC, 50, 60, Channel.TRADE, GapReason.STALL, 50))
    closed = ledger.closed(BTC, Channel.TRADE, 10, 70)
    assert closed == Gap(BTC, 50, 70, Channel.TRADE, GapReason.STALL, 50, 50)
    assert ledger.closed(BTC, Channel.TRADE, 10, 70) is None
    assert len(ledger) == 0


def test_interrupted_streams_begin_their_gap_at_their_last_event():
    kept = Kept()
    for channel in (Channel.ORDERBOOK, Channel.TRADE):
        kept.keeper.interrupted(BTC, channel, GapReason.DISCONNECT, "gone", 500)
    assert kept.published == [], "there never was an event"
    kept.snapshot([], [])
    kept.trade("1")
    kept.published.clear()
    for channel in (Channel.ORDERBOOK, Channel.TRADE, Channel.TICKER):
        kept.keeper.interrupted(BTC, channel, GapReason.DISCONNECT, "gone", 500)
    assert [(g.channel, g.begin_us, g.received_us, g.detail) for g in kept.published] == [
        (Channel.ORDERBOOK, 1, 500, "gone"), (Channel.TRADE, 2, 500, "gone"),
    ]  # fmt: skip
    assert not kept.book.valid


def test_a_stream_without_venue_times_can_be_interrupted():
    kept = Kept()
    kept.keeper.accept(BookSnapshot(BTC, 0, 77, 1, [], []))
    kept.keeper.interrupted(BTC, Channel.ORDERBOOK, GapReason.DISCONNECT, "", 99)
    assert kept.published[-1].begin_us == 77
    assert not kept.book.valid


def test_trades_come_once_and_the_memory_is_bounded():
    kept = Kept()
    for number in range(3 * TRADE_IDS_REMEMBERED):
        kept.trade(str(number))
        kept.trade(str(max(0, number - 500)))
    assert [int(event.trade_id) for event in kept.published] == list(range(3 * TRADE_IDS_REMEMBERED))
    live = kept.keeper._live[BTC]
    assert len(live.trade_ids) == len(live.recent_trades) == TRADE_IDS_REMEMBERED
    (trades,) = kept.keeper.statistics()
    assert (trades.messages, trades.duplicates) == (3 * TRADE_IDS_REMEMBERED, 3 * TRADE_IDS_REMEMBERED)


def test_trades_without_ids_all_pass():
    kept = Kept()
    for _ in range(5):
        kept.trade("")
    assert len(kept.published) == 5


def test_every_kind_of_event_has_its_own_record():
    kept = Kept()
    kept.snapshot([], [])
    events = [
        Ticker(BTC, 5, 7), MarkPrice(BTC, 5, 7, 1.0), FundingRate(BTC, 5, 7, 0.1, 9),
        OpenInterest(BTC, 5, 7, 1.0),
        Liquidation(BTC, 5, 7, Side.SELL, 1.0, 1.0), Trade(BTC, 5, 7, "1", 1.0, 1.0, Side.BUY),
        Candle(BTC, 5, 7, "1m", 0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, True),
    ]  # fmt: skip
    for event in events:
        assert kept.keeper.accept(event)
        assert kept.keeper.accept(Ticker(ETH, 5, 7)), "not watched: dropped without a complaint"
    assert kept.published[1:] == events
    statistics = kept.keeper.statistics()
    assert {each.channel for each in statistics} == set(Channel)
    assert all((each.messages, each.instrument) == (1, BTC) for each in statistics)
    assert statistics[1].lag_us == 2


def test_unwatching_forgets_everything():
    kept = Kept()
    kept.gap()
    kept.keeper.unwatch(BTC)
    assert kept.keeper.book(BTC) is None
    assert kept.keeper.picture(BTC, 1) is None
    assert kept.keeper.open_gap(BTC, Channel.ORDERBOOK) is None
    assert kept.keeper.statistics() == []
    kept.gap()
    kept.keeper.interrupted(BTC, Channel.TRADE, GapReason.STALL, "", 1)
    kept.keeper.second_passed()
    assert len(kept.published) == 1


def test_the_depth_is_left_alone_by_who_does_not_care():
    kept = Kept(1)
    kept.keeper.watch(BTC)
    kept.snapshot([(2.0, 1.0), (1.0, 1.0)], [])
    assert kept.published[0].bids == [(2.0, 1.0)]
    kept.keeper.watch(BTC, 0)
    assert kept.published[1].bids == [(2.0, 1.0), (1.0, 1.0)]


def test_rates_are_those_of_the_last_ten_seconds():
    record = StreamRecord(BTC, Channel.TRADE)
    for second in range(30):
        for _ in range(second):
            record.count(1, 4)
        record.second_passed()
    assert record.statistics(None).messages_per_sec == sum(range(20, 30)) / 10
    for _ in range(10):
        record.second_passed()
    statistics = record.statistics(Gap(BTC, 1, 1, Channel.TRADE, GapReason.STALL, 1))
    assert (statistics.messages_per_sec, statistics.open_gap, statistics.lag_us) == (0, GapReason.STALL, 3)


def test_lag_is_unknown_without_the_venues_time():
    record = StreamRecord(BTC, Channel.TRADE)
    assert record.statistics(None).lag_us is None
    record.count(0, 9)
    statistics = record.statistics(None)
    assert (statistics.lag_us, statistics.last_exchange_us, statistics.last_received_us) == (None, None, 9)
