from __future__ import annotations

import json
from typing import Any

import pytest
from ctdaemon_okx.config import OkxConfig
from ctdaemon_okx.driver import ENVIRONMENTS, OkxDriver
from ctdaemon_okx.stream import OkxSession

from ctcore.contracts.driver import Close, Control, Effect, Retire, Send
from ctcore.errors import DecodeError
from ctcore.model.ids import Channel, Market, Subscription
from ctcore.model.instrument import Catalogue
from ctcore.model.market import (
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

from .frames import Open, ack, book, frame, future, one, only, spot

BTC = spot("BTC/USDT")
SWAP = future("BTC/USDT")
TS = 1_790_000_000_000
US = TS * 1_000


def error(code: str, message: str, **extra: Any) -> bytes:
    return json.dumps({"event": "error", "code": code, "msg": message, "connId": "a1", **extra}).encode()


def test_one_request_subscribes_to_everything(driver: OkxDriver) -> None:
    wanted = {Subscription(BTC, channel) for channel in (Channel.ORDERBOOK, Channel.TRADE, Channel.TICKER)}
    (plan,) = driver.plan(wanted, {})
    send = one(driver.session(plan, Catalogue("okx", Market.SPOT)).connected(1))
    assert isinstance(send, Send)
    request = json.loads(send.data)
    assert request["op"] == "subscribe"
    assert request["id"].isalnum()
    assert request["args"] == [
        {"channel": name, "instId": "BTC-USDT"} for name in ("books", "tickers", "bbo-tbt", "trades")]


def test_long_requests_are_split(driver: OkxDriver) -> None:
    wanted = {Subscription(spot(f"COIN{n}/USDT"), Channel.TRADE) for n in range(60)}
    driver = OkxDriver(ENVIRONMENTS["live"], OkxConfig(request_bytes=1_000))
    (plan,) = driver.plan(wanted, {})
    sends = only(driver.session(plan, Catalogue("okx", Market.SPOT)).connected(1), Send)
    assert len(sends) > 2
    assert all(len(send.data) < 1_100 for send in sends)
    asked = [arg["instId"] for send in sends for arg in json.loads(send.data)["args"]]
    assert sorted(asked) == sorted(f"COIN{n}-USDT" for n in range(60))


CASES: list[tuple[Subscription, bytes, list[Effect]]] = [
    (
        Subscription(BTC, Channel.TRADE),
        frame("trades", "BTC-USDT", [
            {"instId": "BTC-USDT", "tradeId": "7", "px": "95635.3", "sz": "0.5", "side": "sell",
             "ts": str(TS), "count": "2", "source": "0", "seqId": 1234},
            {"tradeId": "9", "px": "95635.4", "sz": "1", "side": "buy", "ts": str(TS)}]),
        [Trade(BTC, US, 5, "7", 95635.3, 0.5, Side.SELL), Trade(BTC, US, 5, "9", 95635.4, 1.0, Side.BUY)],
    ),
    (
        Subscription(BTC, Channel.TICKER),
        frame("bbo-tbt", "BTC-USDT", [
            {"asks": [["10", "2", "0", "1"]], "bids": [], "ts": str(TS), "seqId": 77}]),
        [Ticker(BTC, US, 5, None, None, 10.0, 2.0, seq=77)],
    ),
    (
        Subscription(BTC, Channel.TICKER),
        frame("tickers", "BTC-USDT", [
            {"instId": "BTC-USDT", "last": "10", "lastSz": "1", "askPx": "11", "askSz": "1", "bidPx": "9",
             "bidSz": "1", "open24h": "", "vol24h": "20", "volCcy24h": "200", "ts": str(TS)}]),
        [Ticker(BTC, US, 5, last=10.0, volume_24h=20.0, quote_volume_24h=200.0)],
    ),
    (
        Subscription(BTC, Channel.CANDLE, interval="1d"),
        frame("candle1Dutc", "BTC-USDT", [[str(TS), "1", "4", "0.5", "2", "10", "20", "21", "1"]]),
        [Candle(BTC, 5, 5, "1d", US, 1.0, 4.0, 0.5, 2.0, 10.0, 21.0, True)],
    ),
    (
        Subscription(SWAP, Channel.MARK),
        frame("mark-price", "BTC-USDT-SWAP", [
            {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "markPx": "84660.1", "ts": str(TS)}]),
        [MarkPrice(SWAP, US, 5, 84660.1)],
    ),
    (
        Subscription(SWAP, Channel.FUNDING),
        frame("funding-rate", "BTC-USDT-SWAP", [
            {"fundingRate": "-0.0001", "fundingTime": str(TS + 1), "nextFundingRate": "", "ts": str(TS)}]),
        [FundingRate(SWAP, US, 5, -0.0001, US + 1_000)],
    ),
    (
        Subscription(SWAP, Channel.OPEN_INTEREST),
        frame("open-interest", "BTC-USDT-SWAP", [
            {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "oi": "5000", "oiCcy": "50", "ts": str(TS)}]),
        [OpenInterest(SWAP, US, 5, 5000.0)],
    ),
]


@pytest.mark.parametrize(("subscription", "data", "events"), CASES, ids=lambda v: getattr(v, "channel", None))
def test_frames_become_events(
    open_session: Open, subscription: Subscription, data: bytes, events: list[Effect]
) -> None:
    session = open_session(subscription)
    assert list(session.received(data, 5)) == events
    assert list(session.received(data, 5)) == events  # the second time by the short way


def test_tickers_alone_give_quotes_too(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.TICKER), config=OkxConfig(quotes="tickers"))
    row = {"last": "10", "askPx": "11", "askSz": "1", "bidPx": "", "bidSz": "", "ts": str(TS)}
    assert list(session.received(frame("tickers", "BTC-USDT", [row]), 5)) == [
        Ticker(BTC, US, 5, None, None, 11.0, 1.0, 10.0)]


def test_liquidations_of_wanted_instruments_pass(open_session: Open) -> None:
    session = open_session(Subscription(SWAP, Channel.LIQUIDATION))
    detail = {"bkPx": "0.55", "ccy": "", "posSide": "short", "side": "buy", "sz": "39", "ts": str(TS)}
    rows = [{"details": [detail], "instId": name} for name in ("BTC-USDT-SWAP", "X-USDT-SWAP")]
    data = json.dumps({"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": rows}).encode()
    assert list(session.received(data, 5)) == [Liquidation(SWAP, US, 5, Side.BUY, 0.55, 39.0)]


def test_frames_written_in_another_way_mean_the_same(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.TRADE))
    row = {"tradeId": "7", "px": "1", "sz": "1", "side": "buy", "ts": str(TS)}
    arg = {"instId": "BTC-USDT", "channel": "trades"}
    spaced = json.dumps({"data": [row], "arg": arg}, indent=1).encode()
    assert list(session.received(spaced, 5)) == [Trade(BTC, US, 5, "7", 1.0, 1.0, Side.BUY)]


def test_silence_is_pinged_and_the_pong_shown(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.TRADE))
    session.received(ack("trades", "BTC-USDT"), 2_000_000)
    session.tick(3_000_000)
    assert not list(session.tick(21_900_000))
    assert list(session.tick(22_100_000)) == [Send("ping")]
    assert not list(session.tick(23_100_000))
    assert list(session.received(b"pong", 23_200_000)) == [Control("pong", {})]
    assert not list(session.tick(43_000_000))
    assert list(session.tick(43_300_000)) == [Send("ping")]


def test_a_refusal_by_name_is_a_gap_and_no_longer_waited_for(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.ORDERBOOK), Subscription(BTC, Channel.TRADE))
    session.received(ack("trades", "BTC-USDT"), 2)
    text = "Wrong URL or channel:books,instId:BTC-USDT doesn't exist. Please use the correct URL."
    effects = list(session.received(error("60018", text), 3))
    assert only(effects, Control)[0].kind == "error"
    (gap,) = only(effects, Gap)
    assert (gap.instrument, gap.channel, gap.reason) == (BTC, Channel.ORDERBOOK, GapReason.REFUSED)
    assert gap.end_us is None
    assert session.ready


def test_a_refusal_by_request_id_stands_for_what_is_still_waited_for(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.ORDERBOOK), Subscription(BTC, Channel.TRADE))
    session.received(ack("trades", "BTC-USDT"), 2)
    gaps = only(session.received(error("60012", "Illegal request", id="s1"), 3), Gap)
    assert [gap.channel for gap in gaps] == [Channel.ORDERBOOK]


def test_a_refused_product_type_is_a_gap_of_each_instrument(open_session: Open) -> None:
    session = open_session(Subscription(SWAP, Channel.LIQUIDATION))
    text = "Wrong URL or channel:liquidation-orders,instType:SWAP doesn't exist."
    assert [gap.instrument for gap in only(session.received(error("60018", text), 3), Gap)] == [SWAP]


@pytest.mark.parametrize(("message", "extra"), [
    ("channel:books,instId:BTC-USDT is odd", {}),
    ("something is odd", {"id": "s1"}),
])
def test_an_unlisted_code_refuses_what_it_speaks_of(
    open_session: Open, message: str, extra: dict[str, Any]
) -> None:
    session = open_session(Subscription(BTC, Channel.ORDERBOOK), Subscription(BTC, Channel.TRADE))
    session.received(ack("trades", "BTC-USDT"), 2)
    (gap,) = only(session.received(error("63999", message, **extra), 3), Gap)
    assert (gap.channel, gap.reason, gap.end_us) == (Channel.ORDERBOOK, GapReason.REFUSED, None)
    assert session.ready
    assert not [e for s in range(2, 60) for e in session.tick(s * 1_000_000) if e != Send("ping")]


def test_an_error_about_unsubscribing_refuses_nothing(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.ORDERBOOK))
    session.received(ack("books", "BTC-USDT"), 2)
    session.received(book("snapshot", -1, 100, [("9", "1")]), 3)
    sends = only(session.resync(BTC, GapReason.CROSSED, 4), Send)
    given_up = json.loads(sends[0].data)
    assert given_up["op"] == "unsubscribe"
    refusal = error("60018", "channel:books,instId:BTC-USDT", id=given_up["id"])
    assert not only(session.received(refusal, 5), Gap)
    assert not session.ready


def test_what_alone_is_not_acknowledged_is_refused_alone(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.ORDERBOOK), Subscription(BTC, Channel.TRADE))
    session.received(ack("trades", "BTC-USDT"), 2_000_000)
    assert not list(session.tick(15_900_000))
    effects = list(session.tick(16_100_000))
    (gap,) = only(effects, Gap)
    assert (gap.channel, gap.reason) == (Channel.ORDERBOOK, GapReason.REFUSED)
    assert not only(effects, Close)
    assert session.ready
    closed = only(session.received(ack("books", "BTC-USDT"), 17_000_000), Gap)  # late, but there
    assert [(each.begin_us, each.end_us) for each in closed] == [(gap.begin_us, 17_000_000)]
    assert session.books()[BTC].in_sync is False
    session.received(book("snapshot", -1, 100, [("9", "1")]), 18_000_000)
    assert session.books()[BTC].in_sync


def test_a_venue_that_no_longer_answers_ends_the_connection(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.ORDERBOOK))
    session.received(ack("books", "BTC-USDT"), 2_000_000)
    session.received(book("snapshot", -1, 100, [("9", "1")]), 3_000_000)
    session.resync(BTC, GapReason.CROSSED, 4_000_000)
    assert not only(session.tick(17_000_000), Close)
    assert only(session.tick(19_000_000), Close)


EVENTS = [
    {"event": "notice", "code": "64008", "msg": "upgrade", "connId": "a1"},
    {"event": "notice", "code": 64008, "msg": None},
    {"event": "notice", "code": "64999", "msg": "x"},
    {"event": "notice"},
    {"event": "notice", "arg": {"instId": 5}, "msg": {"a": 1}, "id": 7},
    {"event": "channel-conn-count", "channel": "orders", "connCount": "2", "connId": "a1"},
    {"event": "channel-conn-count-error", "channel": "orders", "connCount": "20", "connId": "a1"},
    {"event": "channel-conn-count-limit", "connCount": 3, "arg": "orders", "code": None},
]


@pytest.mark.parametrize("message", EVENTS, ids=range(len(EVENTS)))
def test_notices_and_connection_counts_never_raise(open_session: Open, message: dict[str, Any]) -> None:
    session = open_session(Subscription(BTC, Channel.TRADE))
    effects = list(session.received(json.dumps(message).encode(), 3))
    assert effects[0] == Control(str(message["event"]), message)
    assert bool(only(effects, Retire)) == (str(message.get("code")) == "64008")


def test_an_error_nobody_knows_is_only_shown(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.TRADE))
    assert [type(effect) for effect in session.received(error("69999", "?"), 3)] == [Control]


def test_too_many_requests_end_the_connection(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.TRADE))
    assert only(session.received(error("60014", "Requests too frequent"), 3), Close)


def test_the_notice_of_maintenance_retires_the_connection(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.TRADE))
    notice = json.dumps({"event": "notice", "code": "64008", "msg": "upgrade in 60 s"}).encode()
    assert only(session.received(notice, 3), Retire) == [Retire("upgrade in 60 s")]


def test_what_is_never_acknowledged_ends_the_connection(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.TRADE), config=OkxConfig(ack_timeout_sec=10))
    assert not only(session.tick(10_900_000), Close)
    assert only(session.tick(11_100_000), Close)


def test_other_public_channels_are_shown(open_session: Open) -> None:
    session = open_session(Subscription(BTC, Channel.TRADE))
    control = one(session.received(frame("price-limit", "BTC-USDT", [{"buyLmt": "2"}]), 3))
    assert control.kind == "price-limit"


JUNK = [
    (b"", "json"),
    (b"[]", "json"),
    (b"null", "json"),
    (b"\xff\xfe\x00", "json"),
    (b"{}", "shape"),
    (b'{"arg":{"channel":"trades"}}', "shape"),
    (b'{"event":"surprise"}', "event"),
    (frame("unheard-of", "BTC-USDT", [{}]), "unwanted"),
    (book("update", 1, 2, symbol="ETH-USDT"), "unwanted"),
    (book("update", 100, 101, [("1", "1")])[:-9], "books"),
    (book("update", 100, 101, [("-1", "1")]), "books"),
    (book("update", 100, 101, [("NaN", "1")]), "books"),
    (book("update", 100, 101, [("1", "inf")]), "books"),
    (book("update", 100, 101, [("1", "-0.5")]), "books"),
    (book("update", 100, 101, [("1e16", "1")]), "books"),
    (book("update", 100, 101, [("", "1")]), "books"),
    (book("update", 100, 101, ts=-5), "books"),
    (book("replace", 100, 101), "books"),
    (frame("books", "BTC-USDT", [{"asks": {}, "bids": []}], action="update"), "books"),
    (frame("tickers", "BTC-USDT", [{"ts": str(TS), "last": "nan"}]), "tickers"),
    (frame("tickers", "BTC-USDT", [{"ts": str(TS), "last": "much"}]), "tickers"),
    (frame("bbo-tbt", "BTC-USDT", [{"ts": str(TS), "bids": [["x", "1"]], "asks": []}]), "bbo-tbt"),
]


@pytest.mark.parametrize(("data", "kind"), JUNK, ids=range(len(JUNK)))
def test_junk_is_one_error_with_a_stable_kind(open_session: Open, data: bytes, kind: str) -> None:
    session = open_session(Subscription(BTC, Channel.ORDERBOOK), Subscription(BTC, Channel.TICKER))
    session.received(ack("books", "BTC-USDT"), 2)
    session.received(book("snapshot", -1, 100, [("9", "1")]), 3)
    with pytest.raises(DecodeError) as caught:
        session.received(data, 4)
    assert caught.value.kind == kind
    assert list(session.received(book("update", 100, 101, [("9", "2")]), 5))  # and the session lives


def test_a_recording_may_hold_any_instrument(driver: OkxDriver) -> None:
    session = driver.session(driver.recorded(Market.FUTURES), Catalogue("okx", Market.FUTURES))
    assert isinstance(session, OkxSession)
    assert not list(session.connected(1))
    row = {"tradeId": "7", "px": "1", "sz": "1", "side": "buy", "ts": str(TS)}
    trade = one(session.received(frame("trades", "BTC-USD-261225", [row]), 5))
    assert trade.instrument == future("BTC/USD-261225")
    with pytest.raises(DecodeError):
        session.received(frame("unheard-of", "BTC-USDT", [{}]), 6)
