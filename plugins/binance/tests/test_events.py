"""Golden events: one frame of each kind, combined and raw, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ctdaemon_binance.driver import BinanceDriver

from ctcore.contracts.driver import Control, Effect, Retire
from ctcore.errors import DecodeError
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import (
    BookSnapshot,
    Candle,
    FundingRate,
    Liquidation,
    MarkPrice,
    Side,
    Ticker,
    Trade,
)

from .frames import MS, US, combined, recorded

NOW = US + 40_000
SPOT = InstrumentId("binance", Market.SPOT, "BTCUSDT")
FUTURES = InstrumentId("binance", Market.FUTURES, "BTCUSDT")

TRADE = {
    "e": "trade", "E": MS + 1, "s": "BTCUSDT", "t": 12345, "p": "61837.63", "q": "0.02", "T": MS, "m": True,
}  # fmt: skip
AGG_TRADE = {
    "e": "aggTrade", "E": MS + 1, "s": "BTCUSDT", "a": 77, "p": "61800.30", "q": "0.006", "f": 100, "l": 105,
    "T": MS, "m": False,
}  # fmt: skip
SPOT_BBO = {"u": 400900217, "s": "BTCUSDT", "b": "25.35", "B": "31.21", "a": "25.36", "A": "40.66"}
BBO = {"e": "bookTicker", **SPOT_BBO, "T": MS, "E": MS + 2}
DAY = {"e": "24hrTicker", "E": MS, "s": "BTCUSDT", "c": "0.0025", "o": "0.0010", "v": "10000", "q": "18"}
SPOT_DAY = {**DAY, "b": "0.0024", "B": "10", "a": "0.0026", "A": "100"}
KLINE = {
    "e": "kline", "E": MS, "s": "BTCUSDT",
    "k": {"t": MS - 60_000, "T": MS - 1, "s": "BTCUSDT", "i": "1m", "o": "10", "c": "12", "h": "13", "l": "9",
          "v": "1000", "n": 100, "x": True, "q": "11000", "V": "500", "Q": "5500", "B": "0"},
}  # fmt: skip
MARK = {
    "e": "markPriceUpdate", "E": MS, "s": "BTCUSDT", "p": "11794.15", "i": "11784.62", "P": "11784.25",
    "r": "-0.00038167", "T": MS + 3_600_000,
}  # fmt: skip
FORCED = {
    "e": "forceOrder", "E": MS + 1,
    "o": {"s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.014", "p": "9910", "ap": "9905.5",
          "X": "FILLED", "l": "0.010", "z": "0.012", "T": MS},
}  # fmt: skip

DEPTH = {"e": "depthUpdate", "s": "A", "E": MS, "U": 1, "u": 8, "b": [], "a": []}


def candle(instrument: InstrumentId) -> Candle:
    return Candle(instrument, US, NOW, "1m", US - 60_000_000, 10.0, 13.0, 9.0, 12.0, 1000.0, 11000.0, True)


GOLDEN: list[tuple[Market, str, dict[str, Any], list[Effect]]] = [
    (Market.SPOT, "btcusdt@trade", TRADE, [Trade(SPOT, US, NOW, "12345", 61837.63, 0.02, Side.SELL)]),
    (Market.SPOT, "btcusdt@aggTrade", AGG_TRADE, [Trade(SPOT, US, NOW, "77", 61800.3, 0.006, Side.BUY)]),
    (Market.FUTURES, "btcusdt@aggTrade", AGG_TRADE,
     [Trade(FUTURES, US, NOW, "77", 61800.3, 0.006, Side.BUY)]),
    (Market.FUTURES, "btcusdt@trade", {**TRADE, "X": "MARKET"},
     [Trade(FUTURES, US, NOW, "12345", 61837.63, 0.02, Side.SELL)]),
    (Market.FUTURES, "btcusdt@trade", {**TRADE, "X": "INSURANCE_FUND"}, []),
    (Market.FUTURES, "btcusdt@trade", {**TRADE, "X": "ADL"}, []),
    (Market.SPOT, "btcusdt@bookTicker", SPOT_BBO,
     [Ticker(SPOT, NOW, NOW, 25.35, 31.21, 25.36, 40.66, seq=400900217)]),
    (Market.FUTURES, "btcusdt@bookTicker", BBO,
     [Ticker(FUTURES, US, NOW, 25.35, 31.21, 25.36, 40.66, seq=400900217)]),
    (Market.FUTURES, "btcusdt@bookTicker", {**BBO, "b": "0.00", "B": "0.00"},
     [Ticker(FUTURES, US, NOW, None, None, 25.36, 40.66, seq=400900217)]),
    (Market.SPOT, "btcusdt@ticker", SPOT_DAY,
     [Ticker(SPOT, US, NOW, last=0.0025, volume_24h=10000.0, quote_volume_24h=18.0)]),
    (Market.FUTURES, "btcusdt@ticker", DAY,
     [Ticker(FUTURES, US, NOW, last=0.0025, volume_24h=10000.0, quote_volume_24h=18.0)]),
    (Market.FUTURES, "btcusdt@miniTicker", {**DAY, "e": "24hrMiniTicker"},
     [Ticker(FUTURES, US, NOW, last=0.0025, volume_24h=10000.0, quote_volume_24h=18.0)]),
    (Market.SPOT, "btcusdt@ticker_1h", {**DAY, "e": "1hTicker"}, [Ticker(SPOT, US, NOW, last=0.0025)]),
    (Market.SPOT, "btcusdt@kline_1m", KLINE, [candle(SPOT)]),
    (Market.FUTURES, "btcusdt@kline_1m", KLINE, [candle(FUTURES)]),
    (Market.FUTURES, "btcusdt_perpetual@continuousKline_1m",
     {**KLINE, "e": "continuous_kline", "s": "", "ps": "BTCUSDT", "ct": "PERPETUAL"}, [candle(FUTURES)]),
    (Market.FUTURES, "btcusdt@markPrice@1s", MARK,
     [MarkPrice(FUTURES, US, NOW, 11794.15, 11784.62),
      FundingRate(FUTURES, US, NOW, -0.00038167, US + 3_600_000_000)]),
    (Market.FUTURES, "btcusdt@markPrice",
     {"e": "markPriceUpdate", "E": MS, "s": "BTCUSDT", "p": "5", "r": "", "T": 0},
     [MarkPrice(FUTURES, US, NOW, 5.0, None)]),
    (Market.FUTURES, "btcusdt@forceOrder", FORCED, [Liquidation(FUTURES, US, NOW, Side.SELL, 9905.5, 0.012)]),
    (Market.FUTURES, "!contractInfo", {"e": "contractInfo", "E": MS}, [Control("contractInfo", {})]),
    (Market.SPOT, "any", {"e": "serverShutdown", "E": MS}, [Retire("serverShutdown")]),
]  # fmt: skip


@pytest.mark.parametrize(("market", "stream", "data", "effects"), GOLDEN)
def test_a_frame_gives_its_events_combined_and_raw(
    driver: BinanceDriver, market: Market, stream: str, data: dict[str, Any], effects: list[Effect]
) -> None:
    session = recorded(driver, market)
    assert list(session.received(combined(stream, data), NOW)) == effects
    assert list(session.received(json.dumps(data, indent=1).encode(), NOW)) == effects


def test_all_market_arrays_leave_out_coin_margined_rows(driver: BinanceDriver) -> None:
    session = recorded(driver, Market.FUTURES)
    rows = [{**MARK, "st": 1}, {**MARK, "s": "BTCUSD_PERP", "st": 2}, {**MARK, "s": "ETHUSDT"}]
    for frame in (combined("!markPrice@arr", rows), json.dumps(rows).encode()):
        marks = [event for event in session.received(frame, NOW) if isinstance(event, MarkPrice)]
        assert [mark.instrument.pair for mark in marks] == ["BTCUSDT", "ETHUSDT"]


def test_a_partial_book_of_spot_gets_its_symbol_from_the_stream(driver: BinanceDriver) -> None:
    session = recorded(driver, Market.SPOT)
    book = {"lastUpdateId": 160, "bids": [["0.0024", "10"]], "asks": [["0.0026", "100"]]}
    for name in ("btcusdt@depth20@100ms", "btcusdt@depth5"):
        (event,) = session.received(combined(name, book), NOW)
        assert event == BookSnapshot(SPOT, NOW, NOW, 160, [(0.0024, 10.0)], [(0.0026, 100.0)])
    with pytest.raises(DecodeError) as caught:
        session.received(json.dumps(book).encode(), NOW)
    assert caught.value.kind == "unattributed"


def test_a_partial_book_of_futures_is_a_snapshot_too(driver: BinanceDriver) -> None:
    session = recorded(driver, Market.FUTURES)
    book = {
        "e": "depthUpdate", "E": MS + 4, "T": MS, "s": "BTCUSDT", "U": 5, "u": 9, "pu": 4,
        "b": [["1", "2"]], "a": [],
    }  # fmt: skip
    (event,) = session.received(combined("btcusdt@depth20@100ms", book), NOW)
    assert event == BookSnapshot(FUTURES, US, NOW, 9, [(1.0, 2.0)], [])
    older = combined("btcusdt@depth20@100ms", {**book, "u": 8})
    assert list(session.received(older, NOW)) == []
    (counts,) = session.books().values()
    assert (counts.snapshots, counts.deltas_dropped, counts.in_sync) == (1, 1, True)


def test_a_shutdown_is_understood_under_any_stream(driver: BinanceDriver) -> None:
    session = recorded(driver, Market.SPOT)
    for name in ("btcusdt@trade", "btcusdt@depth@100ms", "serverShutdown", ""):
        frame = combined(name, {"e": "serverShutdown", "E": MS})
        assert list(session.received(frame, NOW)) == [Retire("serverShutdown")]


def test_keys_after_data_do_not_mislead(driver: BinanceDriver) -> None:
    session = recorded(driver, Market.SPOT)
    frame = combined("btcusdt@trade", TRADE)[:-1] + b',"seq":{"a":1}}'
    assert list(session.received(frame, NOW)) == [Trade(SPOT, US, NOW, "12345", 61837.63, 0.02, Side.SELL)]


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"", "frame"),
        (b"junk", "frame"),
        (b"{}", "unknown"),
        (b"[", "array"),
        (b"[[[]]]", "array"),
        (b'{"e":"executionReport"}', "unknown"),
        (b'{"e":5}', "frame"),
        (b'{"stream":"btcusdt@trade"}', "trade"),
        (b'{"stream":"btcusdt@trade","data":{"e":"trade"}}', "trade"),
        (b'{"stream":"btcusdt@trade","data":[]}', "trade"),
        (b'{"stream":"\xff@trade","data":{}}', "frame"),
        (combined("btcusdt@trade", TRADE)[:-2], "frame"),
        (combined("btcusdt@trade", TRADE)[:-1] + b"]", "frame"),
        (combined("btcusdt@trade", {**TRADE, "p": "-1"}), "trade"),
        (combined("btcusdt@trade", {**TRADE, "p": "0"}), "trade"),
        (combined("btcusdt@trade", {**TRADE, "p": "NaN"}), "trade"),
        (combined("btcusdt@trade", {**TRADE, "p": "inf"}), "trade"),
        (combined("btcusdt@trade", {**TRADE, "p": "1e19"}), "trade"),
        (combined("btcusdt@trade", {**TRADE, "q": None}), "trade"),
        (combined("btcusdt@trade", {**TRADE, "T": -5}), "trade"),
        (combined("btcusdt@trade", {**TRADE, "T": 10**17}), "trade"),
        (combined("btcusdt@trade", {**TRADE, "m": "yes"}), "trade"),
        (combined("btcusdt@trade", {**TRADE, "s": ""}), "trade"),
        (combined("btcusdt@aggTrade", {**AGG_TRADE, "p": "1e16"}), "aggTrade"),
        (combined("btcusdt@bookTicker", {**SPOT_BBO, "b": "-1"}), "bookTicker"),
        (combined("btcusdt@kline_1m", {**KLINE, "k": {}}), "kline"),
        (combined("btcusdt@depth", {**DEPTH, "U": 9}), "depth"),
        (combined("btcusdt@depth", {**DEPTH, "b": [["1"]]}), "depth"),
        (combined("btcusdt@depth", {**DEPTH, "b": [["1", "nan"]]}), "depth"),
        (combined("btcusdt@depth", {**DEPTH, "a": [["0", "1"]]}), "depth"),
    ],
)  # fmt: skip
def test_what_is_not_documented_is_one_decode_error(driver: BinanceDriver, frame: bytes, kind: str) -> None:
    session = recorded(driver, Market.SPOT)
    with pytest.raises(DecodeError, match="binance") as caught:
        session.received(frame, NOW)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("stream", "data", "kind"),
    [
        ("btcusdt@markPrice", {**MARK, "r": "much"}, "markPrice"),
        ("btcusdt@markPrice", {**MARK, "i": "nan"}, "markPrice"),
        ("btcusdt@forceOrder", {**FORCED, "o": {**FORCED["o"], "S": "HOLD"}}, "forceOrder"),  # type: ignore[dict-item]
        ("x@continuousKline_1m", {**KLINE, "s": "", "ps": "X", "ct": "NEXT_QUARTER"}, "kline"),
        ("btcusdt@depth", DEPTH, "depth"),
    ],
)  # fmt: skip
def test_what_futures_do_not_document(
    driver: BinanceDriver, stream: str, data: dict[str, Any], kind: str
) -> None:
    session = recorded(driver, Market.FUTURES)
    with pytest.raises(DecodeError) as caught:
        session.received(combined(stream, data), NOW)
    assert caught.value.kind == kind


@pytest.mark.parametrize("market", Market)
def test_brackets_nested_too_deep_are_a_frame_that_cannot_be_read(
    driver: BinanceDriver, market: Market
) -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    wrapped = b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","zz":' + deep + b"}}"
    session = recorded(driver, market)
    for frame in (deep, wrapped):
        with pytest.raises(DecodeError):
            session.received(frame, 1)
