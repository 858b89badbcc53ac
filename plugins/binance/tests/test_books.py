"""Books of one connection: the sync rules of both markets, gaps, resync, quiet and refused books."""

from __future__ import annotations

import json

import pytest
from ctdaemon_binance.config import BinanceConfig
from ctdaemon_binance.driver import BinanceDriver
from hypothesis import given
from hypothesis import strategies as st

from ctcore.book import OrderBook
from ctcore.contracts.driver import Effect, Fetch, HttpResponse, Send, StreamSession
from ctcore.errors import DecodeError, TransportError, UnknownInstrument
from ctcore.model.ids import Channel, InstrumentId, Market
from ctcore.model.instrument import Catalogue
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason
from ctcore.model.time import US_PER_SEC

from .frames import FUTURES, SPOT, US, combined, futures_depth, opened, recorded, snapshot, spot_depth, wanted

DRIVER = BinanceDriver(BinanceDriver.info.environments["live"])


def asked(effects: list[Effect]) -> Fetch:
    (fetch,) = (effect for effect in effects if isinstance(effect, Fetch))
    return fetch


def synced(market: Market) -> StreamSession:
    """A recorded session whose book stands at 10."""
    session = recorded(DRIVER, market)
    frame = spot_depth(9, 10) if market is Market.SPOT else futures_depth(8, 9, 10)
    fetch = asked(list(session.received(frame, 1)))
    session.fetched(fetch, snapshot(fetch, 10), 2)
    return session


def test_spot_asks_for_the_snapshot_with_the_first_event_and_only_once(driver: BinanceDriver) -> None:
    session = recorded(driver, Market.SPOT)
    fetch = asked(list(session.received(spot_depth(5, 8), 1)))
    assert fetch.request.url == "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"
    assert fetch.request.cost == {"spot_weight": 50}
    assert list(session.received(spot_depth(9, 9), 2)) == []
    effects = list(session.fetched(fetch, snapshot(fetch, 8), 3))
    assert [type(effect) for effect in effects] == [BookSnapshot, BookDelta]
    (counts,) = session.books().values()
    assert (counts.snapshots, counts.deltas_applied, counts.deltas_dropped) == (1, 1, 1)


@pytest.mark.parametrize(
    ("first", "last", "effects"),
    [(11, 12, [BookDelta]), (9, 11, [BookDelta]), (12, 12, [Gap, Fetch]), (9, 10, [])],
)
def test_spot_joins_what_holds_the_next_id(first: int, last: int, effects: list[type]) -> None:
    session = recorded(DRIVER, Market.SPOT)
    fetch = asked(list(session.received(spot_depth(1, 2), 1)))
    session.fetched(fetch, snapshot(fetch, 10), 2)
    assert [type(effect) for effect in session.received(spot_depth(first, last), 3)] == effects


def test_a_snapshot_older_than_the_first_event_is_asked_for_again(driver: BinanceDriver) -> None:
    session = recorded(driver, Market.SPOT)
    fetch = asked(list(session.received(spot_depth(50, 52), 1)))
    again = asked(list(session.fetched(fetch, snapshot(fetch, 40), 2)))
    assert again.delay_sec > 0
    assert [type(e) for e in session.fetched(again, snapshot(again, 51), 3)] == [BookSnapshot, BookDelta]


@pytest.mark.parametrize(("previous", "first", "last"), [(9, 10, 10), (8, 9, 12), (10, 15, 16)])
def test_futures_join_around_the_snapshot_or_right_after_it(previous: int, first: int, last: int) -> None:
    session = recorded(DRIVER, Market.FUTURES)
    fetch = asked(list(session.received(futures_depth(1, 2, 3), 1)))
    assert fetch.request.url == "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
    assert fetch.request.cost == {"futures_weight": 20}
    session.fetched(fetch, snapshot(fetch, 10), 2)
    (delta,) = session.received(futures_depth(previous, first, last), 3)
    assert isinstance(delta, BookDelta)
    assert (delta.exchange_us, delta.received_us, delta.prev_seq, delta.seq) == (US, 3, previous, last)
    (jump,) = session.received(futures_depth(last, last + 500, last + 900), 4)
    assert isinstance(jump, BookDelta), "ids jump; only pu counts"


@pytest.mark.parametrize("market", Market)
def test_a_hole_is_a_gap_of_that_book_alone_and_a_new_snapshot_ends_it(market: Market) -> None:
    session = synced(market)
    lost = spot_depth(13, 14) if market is Market.SPOT else futures_depth(12, 13, 14)
    effects = list(session.received(lost, 20))
    gap, fetch = effects[0], asked(effects)
    assert isinstance(gap, Gap)
    assert (gap.channel, gap.reason, gap.end_us) == (Channel.ORDERBOOK, GapReason.SEQUENCE, None)
    after = list(session.fetched(fetch, snapshot(fetch, 13), 30))
    assert [type(effect) for effect in after] == [BookSnapshot, BookDelta, Gap]
    closed = after[-1]
    assert isinstance(closed, Gap)
    assert closed.end_us is not None
    (counts,) = session.books().values()
    assert (counts.gaps, counts.in_sync) == (1, True)


def test_a_failed_snapshot_is_asked_for_again_later_each_time(driver: BinanceDriver) -> None:
    session = recorded(driver, Market.SPOT)
    fetch = asked(list(session.received(spot_depth(5, 8), 1)))
    delays = []
    for _ in range(4):
        fetch = asked(list(session.fetch_failed(fetch, TransportError("down"), 2)))
        delays.append(fetch.delay_sec)
    assert delays == sorted(delays)
    assert delays[-1] > delays[0]


def test_a_book_the_venue_does_not_know_is_refused(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    _, session, _ = opened(driver, catalogues, wanted(SPOT, Channel.ORDERBOOK))
    session.received(b'{"result":null,"id":1}', 1)
    fetch = asked(list(session.received(spot_depth(5, 8), 1)))
    (gap,) = session.fetch_failed(fetch, UnknownInstrument("no"), 2)
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.REFUSED
    assert session.ready, "it is no longer waited for"


def test_a_quiet_book_gets_its_snapshot_without_a_first_event(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    _, session, _ = opened(driver, catalogues, wanted(SPOT, Channel.ORDERBOOK))
    session.received(b'{"result":null,"id":1}', 0)
    assert list(session.tick(1 * US_PER_SEC)) == []
    assert not session.ready
    fetch = asked(list(session.tick(4 * US_PER_SEC)))
    assert list(session.tick(5 * US_PER_SEC)) == []
    session.fetched(fetch, snapshot(fetch, 8), 6 * US_PER_SEC)
    assert session.ready


def test_a_book_gone_silent_is_checked_against_a_new_snapshot(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    _, session, _ = opened(driver, catalogues, wanted(SPOT, Channel.ORDERBOOK))
    session.received(b'{"result":null,"id":1}', 0)
    fetch = asked(list(session.received(spot_depth(5, 8), 0)))
    session.fetched(fetch, snapshot(fetch, 8), 1)
    probe = asked(list(session.tick(70 * US_PER_SEC)))
    assert (probe.request.url.split("&")[1], probe.request.cost) == ("limit=5", {"spot_weight": 5})
    assert session.ready, "it is only looked at"
    silent = asked(list(session.fetched(probe, snapshot(probe, 9), 70 * US_PER_SEC)))
    assert silent.request.cost == {"spot_weight": 50}
    effects = list(session.fetched(silent, snapshot(silent, 9), 71 * US_PER_SEC))
    assert [effect.reason for effect in effects if isinstance(effect, Gap)] == [GapReason.STALL] * 2


def test_a_quiet_book_at_the_venue_s_id_goes_on_without_a_snapshot(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    _, session, _ = opened(driver, catalogues, wanted(SPOT, Channel.ORDERBOOK))
    session.received(b'{"result":null,"id":1}', 0)
    fetch = asked(list(session.received(spot_depth(5, 8), 0)))
    session.fetched(fetch, snapshot(fetch, 8), 1)
    for sec in (70, 140):
        probe = asked(list(session.tick(sec * US_PER_SEC)))
        assert list(session.tick((sec + 1) * US_PER_SEC)) == [], "once"
        if sec == 70:
            assert list(session.fetched(probe, snapshot(probe, 8), (sec + 1) * US_PER_SEC)) == []
        else:
            assert list(session.fetch_failed(probe, TransportError("down"), (sec + 1) * US_PER_SEC)) == []
    assert [counts.snapshots for counts in session.books().values()] == [1]


@pytest.mark.parametrize(("instrument", "depth"), [(SPOT, 0), (FUTURES, 0), (FUTURES, 20)])
def test_a_stream_that_died_behind_a_live_socket_is_opened_anew(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue], instrument: InstrumentId, depth: int
) -> None:
    _, session, _ = opened(driver, catalogues, wanted(instrument, Channel.ORDERBOOK, depth=depth))
    session.received(b'{"result":null,"id":1}', 0)
    if depth:
        session.received(futures_depth(1, 2, 3).replace(b"@depth@", b"@depth20@"), 0)
    sent, at = [], 10
    for sec in range(300):
        effects = list(session.tick(sec * US_PER_SEC))
        while effects:
            effect = effects.pop(0)
            if isinstance(effect, Fetch):
                at += 1
                effects += session.fetched(effect, snapshot(effect, at), sec * US_PER_SEC)
            elif isinstance(effect, Send):
                sent.append(json.loads(effect.data))
                session.received(b'{"result":null,"id":%d}' % sent[-1]["id"], sec * US_PER_SEC)
    name = f"btcusdt@depth{depth or ''}@100ms"
    assert [(frame["method"], frame["params"]) for frame in sent] == [
        ("UNSUBSCRIBE", [name]), ("SUBSCRIBE", [name]),
    ] * 2  # fmt: skip
    assert session.ready


def test_a_book_near_the_edge_of_its_snapshot_gets_the_levels_beyond(
    catalogues: dict[Market, Catalogue]
) -> None:
    config = BinanceConfig(spot_depth_limit=100)
    driver = BinanceDriver(BinanceDriver.info.environments["live"], config)
    _, session, _ = opened(driver, catalogues, wanted(SPOT, Channel.ORDERBOOK, depth=50))
    truth, mirror = OrderBook(), OrderBook()
    truth.snapshot([(1000.0 - n, 1.0) for n in range(300)], [(1001.0 + n, 1.0) for n in range(300)])

    def take(effects: list[Effect]) -> list[Fetch]:
        for effect in effects:
            if isinstance(effect, BookSnapshot):
                mirror.snapshot(effect.bids, effect.asks)
            elif isinstance(effect, BookDelta):
                mirror.delta(effect.bids, effect.asks)
            assert not isinstance(effect, Gap)
        return [effect for effect in effects if isinstance(effect, Fetch)]

    def picture(fetch: Fetch, at: int) -> HttpResponse:
        sides = [[(str(p), str(q)) for p, q in side] for side in (truth.bids(100), truth.asks(100))]
        return snapshot(fetch, at, *sides)

    session.received(b'{"result":null,"id":1}', 0)
    (fetch,) = take(list(session.received(spot_depth(1, 9), 1)))
    take(list(session.fetched(fetch, picture(fetch, 9), 2)))
    gone = [(1000.0 - n, 0.0) for n in range(60)]
    new = [(941.0 + n, 1.0) for n in range(60)]
    truth.delta(gone, new)
    words = [[(str(p), str(q)) for p, q in side] for side in (gone, new)]
    assert not take(list(session.received(spot_depth(10, 11, *words), 3)))
    (fetch,) = take(list(session.tick(10 * US_PER_SEC)))
    assert fetch.request.url.endswith("limit=100")
    answer_at_12 = picture(fetch, 12)
    truth.delta([(800.0, 7.0), (880.0, 0.0)], [])
    assert not take(list(session.fetched(fetch, answer_at_12, 11 * US_PER_SEC))), "the book is behind it"
    take(list(session.received(spot_depth(12, 13, [("800", "7"), ("880", "0")]), 12 * US_PER_SEC)))
    assert not take(list(session.tick(13 * US_PER_SEC)))
    assert mirror.bids(99) == truth.bids(99), "what a newer delta deleted stays deleted"
    assert session.ready


def test_resync_on_request_is_a_gap_and_a_new_snapshot() -> None:
    session = synced(Market.SPOT)
    (instrument,) = session.books()
    effects = list(session.resync(instrument, GapReason.CROSSED, 5))
    assert [type(effect) for effect in effects] == [Gap, Fetch]
    assert list(session.resync(SPOT, GapReason.CROSSED, 5)) == [], "a book that is not kept here"


def test_a_symbol_that_was_not_asked_for_is_refused(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    _, session, _ = opened(driver, catalogues, wanted(SPOT, Channel.TICKER))
    with pytest.raises(DecodeError) as caught:
        session.received(spot_depth(1, 2).replace(b"BTCUSDT", b"ETHUSDT"), 1)
    assert caught.value.kind == "unasked"


def test_depth_limits_come_from_the_config(catalogues: dict[Market, Catalogue]) -> None:
    config = BinanceConfig(spot_depth_limit=5000, futures_depth_limit=50)
    driver = BinanceDriver(BinanceDriver.info.environments["live"], config)
    spot = asked(list(recorded(driver, Market.SPOT).received(spot_depth(1, 2), 1))).request
    futures = asked(list(recorded(driver, Market.FUTURES).received(futures_depth(0, 1, 2), 1))).request
    assert (spot.url.split("&")[1], spot.cost) == ("limit=5000", {"spot_weight": 250})
    assert (futures.url.split("&")[1], futures.cost) == ("limit=50", {"futures_weight": 2})


def test_a_window_after_resync_closes_its_gap(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    _, session, _ = opened(driver, catalogues, wanted(FUTURES, Channel.ORDERBOOK, depth=20))
    frame = futures_depth(1, 2, 3).replace(b"@depth@", b"@depth20@")
    session.received(frame, 1)
    gap, fetch = session.resync(FUTURES, GapReason.CROSSED, 2)
    assert isinstance(gap, Gap)
    assert isinstance(fetch, Fetch)
    assert [type(e) for e in session.received(frame, 3)] == [BookSnapshot, Gap]
    assert list(session.fetched(fetch, snapshot(fetch, 2), 4)) == [], "its stream was quicker"
    assert list(session.fetch_failed(fetch, TransportError("down"), 4)) == []


@pytest.mark.parametrize(("at", "gaps"), [(3, 0), (4, 1)])
def test_a_quiet_window_is_compared_with_the_venue_s(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue], at: int, gaps: int
) -> None:
    _, session, _ = opened(driver, catalogues, wanted(FUTURES, Channel.ORDERBOOK, depth=20))
    session.received(b'{"result":null,"id":1}', 1)
    session.received(futures_depth(1, 2, 3).replace(b"@depth@", b"@depth20@"), 1)
    fetch = asked(list(session.tick(70 * US_PER_SEC)))
    assert fetch.request.url.endswith("symbol=BTCUSDT&limit=20")
    effects = list(session.fetched(fetch, snapshot(fetch, at), 71 * US_PER_SEC))
    assert session.ready
    assert [type(effect) for effect in effects].count(BookSnapshot) == 1
    assert [effect.reason for effect in effects if isinstance(effect, Gap)] == [GapReason.STALL] * 2 * gaps


def test_a_recording_with_both_kinds_keeps_the_full_book(driver: BinanceDriver) -> None:
    session = recorded(driver, Market.SPOT)
    window = combined("btcusdt@depth20", {"lastUpdateId": 4, "bids": [], "asks": []})
    assert [type(e) for e in session.received(window, 1)] == [BookSnapshot]
    fetch = asked(list(session.received(spot_depth(5, 8), 2)))
    assert list(session.received(window, 3)) == []
    session.fetched(fetch, snapshot(fetch, 8), 4)
    assert [counts.snapshots for counts in session.books().values()] == [1]


@given(
    changes=st.lists(
        st.tuples(st.integers(90, 110), st.integers(0, 3), st.booleans()), min_size=8, max_size=40
    ),
    lost=st.sets(st.integers(0, 39)),
    doubled=st.sets(st.integers(0, 39)),
    slow=st.integers(0, 5),
)
def test_whatever_is_lost_or_doubled_the_book_ends_right_or_out_of_sync(
    changes: list[tuple[int, int, bool]], lost: set[int], doubled: set[int], slow: int
) -> None:
    """A venue that applies one change an id; frames are lost and doubled, snapshots come ``slow`` frames
    late."""
    truth, mirror = OrderBook(), OrderBook()
    session, pending = recorded(DRIVER, Market.SPOT), list[tuple[int, Fetch]]()

    def take(effects: list[Effect], step: int) -> None:
        for effect in effects:
            if isinstance(effect, Fetch):
                pending.append((step + slow, effect))
            elif isinstance(effect, BookSnapshot):
                mirror.snapshot(effect.bids, effect.asks)
            elif isinstance(effect, BookDelta):
                mirror.delta(effect.bids, effect.asks)

    truth.snapshot([], [])
    for step, (price, quantity, is_bid) in enumerate(changes):
        level = [(price, quantity)]
        truth.delta(level if is_bid else [], [] if is_bid else level)
        words = [(str(price), str(quantity))]
        frame = spot_depth(step + 1, step + 1, words if is_bid else [], [] if is_bid else words)
        for _ in range(0 if step in lost else 2 if step in doubled else 1):
            take(list(session.received(frame, step)), step)
        while pending and pending[0][0] <= step:
            _, fetch = pending.pop(0)
            levels = [[(str(p), str(q)) for p, q in side] for side in (truth.bids(), truth.asks())]
            take(list(session.fetched(fetch, snapshot(fetch, step + 1, *levels), step)), step)
    counts = next(iter(session.books().values()), None)
    last_seen = len(changes) - 1 not in lost
    if counts is not None and counts.in_sync and last_seen:
        assert (mirror.bids(), mirror.asks()) == (truth.bids(), truth.asks())
