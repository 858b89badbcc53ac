"""Names, moments and the one JSON form of every event."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import ConfigError
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.model.market import (
    CHANNEL_OF,
    BookDelta,
    BookSnapshot,
    FeedState,
    FeedStatus,
    Gap,
    GapReason,
    MarketEvent,
    Side,
    Ticker,
    Trade,
)
from ctcore.model.message import message_of, to_json
from ctcore.model.time import iso, parse_time

BTC = InstrumentId("okx", Market.FUTURES, "BTC/USDT")


@pytest.mark.parametrize("text", ["binance:spot:BTC/USDT", "okx:futures:BTC/USDT-261225", "dex:spot:A/B:C"])
def test_identities_read_back(text):
    assert str(InstrumentId.parse(text)) == text


def test_identities_are_read_kindly():
    assert InstrumentId.parse("OKX:Futures:btc/usdt") == BTC


@pytest.mark.parametrize(("text", "why"), [
    ("BTC/USDT", "write it as binance:spot:BTC/USDT"), ("okx:spot", "write it as"),
    ("okx::BTC/USDT", "write it as"), ("", "write it as"),
    ("okx:options:BTC/USDT", "'options' is neither 'spot' nor 'futures'"),
])  # fmt: skip
def test_what_is_no_identity(text, why):
    with pytest.raises(ConfigError, match=why):
        InstrumentId.parse(text)


def test_subscriptions_name_what_they_want():
    assert str(Subscription(BTC, Channel.ORDERBOOK)) == "okx:futures:BTC/USDT orderbook"
    assert str(Subscription(BTC, Channel.ORDERBOOK, depth=20)) == "okx:futures:BTC/USDT orderbook(20)"
    assert str(Subscription(BTC, Channel.CANDLE, interval="5m")) == "okx:futures:BTC/USDT candle(5m)"


@given(st.integers(0, 4_102_444_800_000_000))
def test_moments_read_back(us):
    assert parse_time(iso(us)) == us
    if us >= 10**14:
        assert parse_time(str(us)) == us


@pytest.mark.parametrize(("text", "us"), [
    ("2026-01-31T12:00:00.5Z", 1_769_860_800_500_000), ("2026-01-31 12:00", 1_769_860_800_000_000),
    ("2026-01-31T14:00:00+02:00", 1_769_860_800_000_000), ("2026-01-31", 1_769_817_600_000_000),
    ("1769860800", 1_769_860_800_000_000), ("1769860800.5", 1_769_860_800_500_000),
    ("1769860800500", 1_769_860_800_500_000), ("1769860800500001", 1_769_860_800_500_001), ("0", 0),
])  # fmt: skip
def test_moments_as_people_write_them(text, us):
    assert parse_time(text) == us


@pytest.mark.parametrize("text", ["yesterday", "", "nan", "inf", "-1", "1e30", "2026-13-01", "12:00"])
def test_what_is_no_moment(text):
    with pytest.raises(ConfigError, match=r".+"):
        parse_time(text)


def test_the_epoch_is_where_it_should_be():
    assert iso(0) == "1970-01-01T00:00:00.000000Z"
    now = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
    assert parse_time(now.isoformat()) == int(now.timestamp()) * 1_000_000


HEAD = {"exchange": "okx", "market": "futures", "pair": "BTC/USDT", "timestamp": 5, "received": 7}


@pytest.mark.parametrize(("event", "told"), [
    (BookSnapshot(BTC, 5, 7, 9, [(1.5, 2.0)], []),
     {"type": "orderbook", **HEAD, "seq": 9, "data": {"kind": "snapshot", "bids": [[1.5, 2.0]], "asks": []}}),
    (BookDelta(BTC, 5, 7, 8, 7, 9, [], [(1.5, 0.0)]),
     {"type": "orderbook", **HEAD, "seq": 9,
      "data": {"kind": "delta", "first_seq": 8, "prev_seq": 7, "bids": [], "asks": [[1.5, 0.0]]}}),
    (Trade(BTC, 5, 7, "t1", 1.5, 2.0, Side.SELL),
     {"type": "trade", **HEAD, "seq": 0,
      "data": {"trade_id": "t1", "price": 1.5, "quantity": 2.0, "side": "sell"}}),
    (Gap(BTC, 5, 7, Channel.TRADE, GapReason.STALL, 3),
     {"type": "gap", **HEAD, "seq": 0,
      "data": {"channel": "trade", "reason": "stall", "begin_us": 3, "end_us": None, "detail": ""}}),
    (FeedStatus("okx", Market.FUTURES, "okx 1", FeedState.UP, 7, "url"),
     {"type": "status", "exchange": "okx", "market": "futures", "pair": "", "timestamp": 7, "received": 7,
      "seq": 0, "data": {"connection": "okx 1", "state": "up", "detail": "url"}}),
])  # fmt: skip
def test_the_unified_message(event, told):
    line = to_json(event)
    assert b"\n" not in line
    assert json.loads(line) == told
    keys = ["type", "exchange", "market", "pair", "timestamp", "received", "seq", "data"]
    assert list(json.loads(line)) == keys


def test_a_ticker_keeps_its_number_outside_its_data():
    message = message_of(Ticker(BTC, 5, 7, bid=1.0, seq=44))
    assert (message.type, message.seq) == ("ticker", 44)
    assert message.data["bid"] == 1.0
    assert "seq" not in message.data


def test_every_event_has_a_channel_and_every_channel_an_event():
    kinds = {kind for kind in MarketEvent.__subclasses__() if kind is not Gap}
    assert kinds == set(CHANNEL_OF)
    assert set(CHANNEL_OF.values()) == set(Channel)
