"""Sequencing of order books, through the session's public doors."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import attrs
import pytest
from ctdaemon_okx.config import OkxConfig
from ctdaemon_okx.driver import ENVIRONMENTS, OkxDriver
from ctdaemon_okx.stream import OkxSession

from ctcore.contracts.driver import Close, Control, Effect, Fetch, Send
from ctcore.errors import DecodeError, OutdatedFormat, VenueUnavailable
from ctcore.model.ids import Channel, Market, Subscription
from ctcore.model.instrument import Catalogue
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason

from .frames import Open, ack, answer, book, frame, one, only, rest_book, spot

BTC = spot("BTC/USDT")
ETH = spot("ETH/USDT")
BOOK = Subscription(BTC, Channel.ORDERBOOK)


@pytest.fixture
def synced(open_session: Open) -> OkxSession:
    """A book at sequence id 100."""
    session = open_session(BOOK)
    session.received(ack("books", "BTC-USDT"), 2)
    session.received(book("snapshot", -1, 100, [("9", "1")], [("10", "2")]), 3)
    assert session.ready
    return session


def test_a_snapshot_and_what_chains_onto_it(open_session: Open) -> None:
    session = open_session(BOOK)
    session.received(ack("books", "BTC-USDT"), 2)
    snapshot = BookSnapshot(BTC, 1_790_000_000_000_000, 3, 100, [(9.0, 1.0)], [(10.0, 2.0)])
    assert list(session.received(book("snapshot", -1, 100, [("9", "1")], [("10", "2")]), 3)) == [snapshot]
    assert session.ready
    delta = BookDelta(BTC, 1_790_000_000_000_000, 4, 193, 100, 193, [(9.0, 0.0)], [])
    assert list(session.received(book("update", 100, 193, [("9", "0")]), 4)) == [delta]


def test_a_keepalive_and_a_reset_chain_like_any_other(synced: OkxSession) -> None:
    assert only(synced.received(book("update", 100, 100), 4), BookDelta)
    assert only(synced.received(book("update", 100, 7, [("8", "1")]), 5), BookDelta)
    assert only(synced.received(book("update", 7, 9, [("8", "2")]), 6), BookDelta)
    assert synced.ready


def test_a_hole_resubscribes_that_instrument_alone(open_session: Open) -> None:
    session = open_session(BOOK, Subscription(ETH, Channel.ORDERBOOK))
    for symbol in ("BTC-USDT", "ETH-USDT"):
        session.received(ack("books", symbol), 2)
        session.received(book("snapshot", -1, 100, [("9", "1")], symbol=symbol), 3)
    effects = list(session.received(book("update", 150, 160, [("9", "2")]), 4))
    (gap,) = only(effects, Gap)
    assert (gap.instrument, gap.reason, gap.begin_us, gap.end_us) == (
        BTC, GapReason.SEQUENCE, 1_790_000_000_000_000, None)
    sent = [send.data for send in only(effects, Send)]
    assert [('"unsubscribe"' in text, '"BTC-USDT"' in text, "ETH" in text) for text in sent] == [
        (True, True, False), (False, True, False)]
    assert only(session.received(book("update", 100, 101, [("9", "2")], symbol="ETH-USDT"), 5), BookDelta)
    assert session.books()[ETH].in_sync
    assert not session.books()[BTC].in_sync


def test_updates_of_the_old_subscription_are_of_no_use(synced: OkxSession) -> None:
    synced.received(book("update", 150, 160), 4)
    assert not list(synced.received(book("update", 160, 170, [("9", "3")]), 5))  # still under way
    synced.received(ack("books", "BTC-USDT", "unsubscribe"), 6)
    synced.received(ack("books", "BTC-USDT"), 7)
    effects = list(synced.received(book("snapshot", -1, 300, [("9", "5")], ts=1_790_000_000_900), 8))
    assert isinstance(effects[0], BookSnapshot)
    (closed,) = only(effects, Gap)
    assert (closed.begin_us, closed.end_us) == (1_790_000_000_000_000, 1_790_000_000_900_000)
    counts = synced.books()[BTC]
    assert (counts.snapshots, counts.deltas_applied, counts.deltas_dropped, counts.gaps) == (2, 0, 2, 1)
    assert synced.ready


def test_an_update_first_seeds_by_rest(open_session: Open) -> None:
    session = open_session(BOOK)
    session.received(ack("books", "BTC-USDT"), 2)
    fetch = one(session.received(book("update", 90, 95, [("9", "1")]), 3))
    assert isinstance(fetch, Fetch)
    assert fetch.request.url.endswith("/api/v5/market/books?instId=BTC-USDT&sz=400")
    assert fetch.request.cost == {"market/books": 1}
    assert not list(session.received(book("update", 95, 101, [("9", "2")]), 4))
    assert not list(session.received(book("update", 101, 102, [("9", "3")]), 5))
    effects = list(session.fetched(fetch, rest_book(97, [("9", "7")]), 6))
    assert [type(effect) for effect in effects] == [BookSnapshot, BookDelta, BookDelta]
    assert [getattr(effect, "seq", None) for effect in effects] == [97, 101, 102]
    assert session.ready
    assert only(session.received(book("update", 102, 110), 7), BookDelta)


def test_a_seed_that_is_too_old_is_asked_for_again(open_session: Open) -> None:
    session = open_session(BOOK)
    session.received(ack("books", "BTC-USDT"), 2)
    fetch = one(session.received(book("update", 90, 95), 3))
    again = one(session.fetched(fetch, rest_book(80), 4))
    assert isinstance(again, Fetch)
    assert again.delay_sec > 0
    later = one(session.fetch_failed(again, VenueUnavailable("busy"), 5))
    assert later.delay_sec > again.delay_sec


def test_no_snapshot_within_the_patience_seeds_by_rest(open_session: Open) -> None:
    session = open_session(BOOK, config=OkxConfig(seed_after_sec=3))
    session.received(ack("books", "BTC-USDT"), 2_000_000)
    assert not only(session.tick(4_900_000), Fetch)
    (fetch,) = only(session.tick(5_100_000), Fetch)
    assert not only(session.tick(6_100_000), Fetch)  # one question at a time
    assert only(session.fetched(fetch, rest_book(97, [("9", "7")]), 7), BookSnapshot)
    assert only(session.received(book("update", 90, 99), 8), BookDelta)
    assert session.ready


def test_a_hole_in_a_seeded_book_asks_rest_again(open_session: Open) -> None:
    session = open_session(BOOK)
    session.received(ack("books", "BTC-USDT"), 2)
    fetch = one(session.received(book("update", 90, 95), 3))
    session.fetched(fetch, rest_book(95), 4)
    effects = list(session.received(book("update", 120, 130), 5))
    assert [type(effect) for effect in effects] == [Gap, Fetch]
    healed = list(session.fetched(one(only(effects, Fetch)), rest_book(130), 6))
    assert [type(effect) for effect in healed] == [BookSnapshot, Gap]


def test_a_snapshot_in_the_stream_ends_seeding(open_session: Open) -> None:
    session = open_session(BOOK)
    session.received(ack("books", "BTC-USDT"), 2)
    fetch = one(session.received(book("update", 190, 195), 3))
    assert only(session.received(book("snapshot", -1, 100, [("9", "1")]), 4), BookSnapshot)
    assert not list(session.fetched(fetch, rest_book(97), 5))
    assert only(session.received(book("update", 100, 101), 6), BookDelta)
    session.received(book("update", 500, 501), 7)  # a hole is mended in the stream again, a second later
    effects = [effect for us in (1_000_000, 2_000_000, 3_000_000) for effect in session.tick(us)]
    assert [type(effect) for effect in effects] == [Send, Send]


def test_a_seed_without_sequence_id_counts_as_failed(open_session: Open) -> None:
    session = open_session(BOOK)
    session.received(ack("books", "BTC-USDT"), 2)
    fetch = one(session.received(book("update", 90, 95), 3))
    old = answer({"code": "0", "data": [{"asks": [], "bids": [], "ts": "1629966436396"}]})
    effects = list(session.fetched(fetch, old, 4))
    assert "seqId" in only(effects, Control)[0].data["msg"]
    assert only(effects, Fetch)


@pytest.mark.parametrize(("previous", "seq"), [(None, None), (None, 5), (5, None)])
def test_the_form_without_ids_is_refused(synced: OkxSession, previous: int | None, seq: int | None) -> None:
    with pytest.raises(OutdatedFormat, match="BTC-USDT"):
        synced.received(book("update", previous, seq, [("9", "3")]), 4)
    assert only(synced.received(book("update", 100, 101), 5), BookDelta)


def test_resync_from_outside(synced: OkxSession) -> None:
    effects = list(synced.resync(BTC, GapReason.CROSSED, 4))
    assert only(effects, Gap)[0].reason is GapReason.CROSSED
    assert len(only(effects, Send)) == 2
    assert not list(synced.resync(ETH, GapReason.CROSSED, 5))


def test_books5_is_a_snapshot_each_time(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.ORDERBOOK, depth=5))
    session.received(ack("books5", "BTC-USDT"), 2)
    row = {"asks": [["10", "1", "0", "1"]], "bids": [], "ts": "1790000000000", "seqId": 7}
    for us in (3, 4):
        snapshot = one(session.received(frame("books5", "BTC-USDT", [row]), us))
        assert snapshot == BookSnapshot(BTC, 1_790_000_000_000_000, us, 7, [], [(10.0, 1.0)])
    assert session.books()[BTC].snapshots == 2


def test_a_late_books5_is_asked_for_anew_and_never_seeded(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.ORDERBOOK, depth=5))
    session.received(ack("books5", "BTC-USDT"), 2_000_000)
    effects = list(session.tick(60_000_000))
    assert not only(effects, Fetch)
    assert any('"unsubscribe"' in send.data for send in only(effects, Send))


def synced_books(open_session: Open, count: int, **config: Any) -> tuple[OkxSession, list[str]]:
    """That many books of one connection, each at sequence id 100."""
    symbols = [f"C{n}-USDT" for n in range(count)]
    wanted = [Subscription(spot(symbol.replace("-", "/")), Channel.ORDERBOOK) for symbol in symbols]
    session = open_session(*wanted, config=OkxConfig(**config))
    for symbol in symbols:
        session.received(ack("books", symbol), 2)
        session.received(book("snapshot", -1, 100, symbol=symbol), 3)
    assert session.ready
    return session, symbols


def confirm(session: OkxSession, effects: Iterable[Effect], now_us: int) -> None:
    """Acknowledge whatever was subscribed to, and send its snapshot."""
    for request in (json.loads(send.data) for send in only(effects, Send) if send.data != "ping"):
        for arg in request["args"] if request["op"] == "subscribe" else ():
            session.received(ack("books", arg["instId"]), now_us)
            session.received(book("snapshot", -1, 100, symbol=arg["instId"]), now_us)


def test_many_books_found_wrong_at_once_are_asked_for_together(open_session: Open) -> None:
    session, symbols = synced_books(open_session, 28)
    effects = [e for s in symbols for e in session.resync(spot(s.replace("-", "/")), GapReason.HANDOVER, 4)]
    assert len(only(effects, Gap)) == 28
    assert len(only(effects, Send)) == 2  # the first is asked for at once
    gathered = only(session.tick(1_000_000), Send)
    assert [json.loads(send.data)["op"] for send in gathered] == ["unsubscribe", "subscribe"]
    assert [len(json.loads(send.data)["args"]) for send in gathered] == [27, 27]
    confirm(session, [*effects, *gathered], 1_500_000)
    assert session.ready
    assert not list(session.tick(9_000_000))


def test_requests_for_many_books_are_bounded_in_bytes(open_session: Open) -> None:
    session, symbols = synced_books(open_session, 28, request_bytes=1_000)
    for symbol in symbols:
        session.resync(spot(symbol.replace("-", "/")), GapReason.HANDOVER, 4)
    sends = only(session.tick(1_000_000), Send)
    assert [json.loads(send.data)["op"] for send in sends] == ["unsubscribe"] * 2 + ["subscribe"] * 2
    assert all(len(send.data) < 1_100 for send in sends)


def test_a_request_that_waits_its_turn_is_neither_late_nor_a_reason_to_seed(open_session: Open) -> None:
    session, symbols = synced_books(
        open_session, 28, request_bytes=1_000, send_interval_sec=5, seed_after_sec=3, ack_timeout_sec=15)
    for symbol in symbols:
        session.resync(spot(symbol.replace("-", "/")), GapReason.HANDOVER, 2_000_000)
    sends = only(session.tick(3_000_000), Send)  # the last of them leaves at 27 s
    for second in range(4, 27):
        for symbol in symbols[:20]:
            session.received(ack("books", symbol), second * 1_000_000)
            session.received(book("snapshot", -1, 200, symbol=symbol), second * 1_000_000)
        assert not list(session.tick(second * 1_000_000))
    confirm(session, sends, 28_000_000)
    assert session.ready


def test_patience_with_a_snapshot_begins_with_the_acknowledgement(synced: OkxSession) -> None:
    synced.resync(BTC, GapReason.CROSSED, 2_000_000)
    assert not only(synced.tick(9_000_000), Fetch)
    synced.received(ack("books", "BTC-USDT"), 10_000_000)
    assert not only(synced.tick(12_900_000), Fetch)
    assert only(synced.tick(13_100_000), Fetch)


def test_the_plan_says_how_long_a_book_may_be_silent() -> None:
    driver = OkxDriver(ENVIRONMENTS["live"])
    (plan,) = driver.plan({BOOK}, {})
    session = driver.session(attrs.evolve(plan, quiet_sec=200.0), Catalogue("okx", Market.SPOT))
    session.connected(1)
    session.received(ack("books", "BTC-USDT"), 2)
    session.received(book("snapshot", -1, 100, [("9", "1")]), 3)
    assert all(send.data == "ping" for send in only(session.tick(199_000_000), Send))
    assert any("unsubscribe" in send.data for send in only(session.tick(201_000_000), Send))


def test_the_hourly_budget_of_requests_ends_in_a_fresh_connection(open_session: Open) -> None:
    session, symbols = synced_books(open_session, 5)
    sent, closed = 1, False
    for second in range(1, 3_600):
        now_us = second * 1_000_000
        effects = [*session.tick(now_us)]
        symbol = symbols[second % 61 // 12] if second % 61 % 12 == 0 and second % 61 < 60 else ""
        if symbol:  # each book breaks once in 61 s, and alone: nothing can be asked for together
            effects += session.received(book("update", 500, 501, symbol=symbol), now_us)
        sent += len([send for send in only(effects, Send) if send.data != "ping"])
        closed = closed or bool(only(effects, Close))
        if closed:
            break
        confirm(session, effects, now_us)
    assert closed
    assert 470 < sent <= 480


def test_holes_one_after_another_are_mended_later_each_time(synced: OkxSession) -> None:
    assert only(synced.received(book("update", 150, 160), 1_000_000), Send)
    synced.received(ack("books", "BTC-USDT"), 1_100_000)
    synced.received(book("snapshot", -1, 200), 1_200_000)
    assert not only(synced.received(book("update", 250, 260), 1_300_000), Send)
    assert not only(synced.tick(2_000_000), Send)
    assert len(only(synced.tick(3_000_000), Send)) == 2
    assert not only(synced.tick(4_000_000), Send)


def test_a_book_without_keepalive_is_suspected_and_asked_for_anew(synced: OkxSession) -> None:
    assert not only(synced.tick(70_000_000), Gap)
    effects = list(synced.tick(80_000_000))
    assert [type(effect) for effect in effects if not isinstance(effect, Control)].count(Gap) == 0
    assert sum("subscribe" in send.data for send in only(effects, Send)) == 2
    assert not only(effects, Fetch)
    healed = list(synced.received(book("snapshot", -1, 100, [("9", "1")]), 81_000_000))
    assert not only(healed, Gap)  # it stood at the same id: nothing was missed


def crc(text: str) -> int:
    value = zlib.crc32(text.encode())
    return value - (1 << 32) if value >= 1 << 31 else value


def test_checksums_are_compared_where_wanted_and_sent(open_session: Open) -> None:
    session = open_session(BOOK, config=OkxConfig(validate_checksum=True))
    session.received(ack("books", "BTC-USDT"), 2)
    first = crc("9.0:1.50:10.0:2")
    assert only(session.received(
        book("snapshot", -1, 100, [("9.0", "1.50")], [("10.0", "2")], checksum=first), 3), BookSnapshot)
    second = crc("9.0:1.50:10.0:2:8.0:1")
    assert only(session.received(book("update", 100, 101, [("8.0", "1")], checksum=second), 4), BookDelta)
    assert not only(session.received(book("update", 101, 102, [("7.0", "1")]), 5), Gap)  # 0 is never compared
    (gap,) = only(session.received(book("update", 102, 103, [("6.0", "1")], checksum=1), 6), Gap)
    assert gap.reason is GapReason.CHECKSUM


def with_levels(frame_: bytes, extend: Callable[[list[Any]], list[Any]]) -> bytes:
    message = json.loads(frame_)
    for side in ("bids", "asks"):
        message["data"][0][side] = [extend(level) for level in message["data"][0][side]]
    return json.dumps(message).encode()


def test_checksums_do_not_mind_longer_rows(open_session: Open) -> None:
    session = open_session(BOOK, config=OkxConfig(validate_checksum=True))
    session.received(ack("books", "BTC-USDT"), 2)
    session.received(book("snapshot", -1, 100, [("9.0", "1.50")], checksum=crc("9.0:1.50")), 3)
    longer = with_levels(
        book("update", 100, 101, [("8.0", "1")], checksum=crc("9.0:1.50:8.0:1")), lambda level: [*level, "0"])
    assert [type(effect) for effect in session.received(longer, 4)] == [BookDelta]


def test_a_row_whose_texts_cannot_be_read_does_not_pass_for_applied(open_session: Open) -> None:
    session = open_session(BOOK, config=OkxConfig(validate_checksum=True))
    session.received(ack("books", "BTC-USDT"), 2)
    session.received(book("snapshot", -1, 100, [("9.0", "1.50")]), 3)
    numbers = with_levels(book("update", 100, 101, [("8.0", "1")]), lambda level: [float(level[0]), 1.0])
    with pytest.raises(DecodeError):
        session.received(numbers, 4)
    (gap,) = only(session.received(book("update", 101, 102, [("7.0", "1")]), 5), Gap)
    assert gap.reason is GapReason.SEQUENCE


def test_checksums_are_ignored_by_default(synced: OkxSession) -> None:
    assert not only(synced.received(book("update", 100, 101, [("6.0", "1")], checksum=1), 6), Gap)
