"""What a session does besides books: acknowledgements, refusals, polling, notices."""

from __future__ import annotations

import json
from decimal import Decimal

import attrs
import msgspec
import pytest
from ctdaemon_binance.driver import BinanceDriver
from ctdaemon_binance.stream import OPEN_INTEREST

from ctcore.contracts.driver import Close, Control, Effect, Fetch, Send
from ctcore.errors import DecodeError, TransportError
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.model.instrument import Catalogue
from ctcore.model.market import FundingRate, Gap, GapReason, MarkPrice, OpenInterest
from ctcore.model.time import US_PER_SEC

from .frames import FUTURES, SPOT, US, answer, combined, opened, wanted
from .test_events import MARK

DATED = InstrumentId("binance", Market.FUTURES, "BTC/USDT-261225")


def params(effects: list[Effect]) -> list[list[str]]:
    return [json.loads(effect.data)["params"] for effect in effects if isinstance(effect, Send)]


def test_an_acknowledgement_makes_ready(driver: BinanceDriver, catalogues: dict[Market, Catalogue]) -> None:
    _, session, _ = opened(driver, catalogues, wanted(SPOT, Channel.TRADE))
    readiness = [session.ready]
    assert list(session.received(b'{"result":null,"id":1}', 5)) == [Control("ack", {"id": 1})]
    assert [*readiness, session.ready] == [False, True]
    assert list(session.received(b'{"result":null,"id":77}', 5)) == [Control("ack", {"id": 77})]
    (told,) = session.received(b'{"result":["a@b"],"id":3}', 5)
    assert told == Control("result", {"id": 3, "result": ["a@b"]})


@pytest.mark.parametrize(
    "refusal", [b'{"code":2,"msg":"Invalid","id":%d}', b'{"error":{"code":2,"msg":"Invalid"},"id":%d}']
)
def test_a_refused_frame_is_halved_until_the_wrong_stream_stands_alone(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue], refusal: bytes
) -> None:
    channels = (Channel.TRADE, Channel.TICKER, Channel.CANDLE)
    _, session, effects = opened(driver, catalogues, wanted(SPOT, *channels))
    (names,) = params(effects)
    bad, good = "btcusdt@kline_1m", []
    waiting = [(1, names)]
    next_id, gaps = 2, []
    while waiting:
        request_id, streams = waiting.pop(0)
        if bad not in streams:
            good += streams
            session.received(b'{"result":null,"id":%d}' % request_id, 9)
            continue
        said = list(session.received(refusal % request_id, 9))
        assert isinstance(said[0], Control)
        assert said[0].kind == "error"
        gaps += [effect for effect in said if isinstance(effect, Gap)]
        for half in params(said):
            waiting.append((next_id, half))
            next_id += 1
    assert sorted([*good, bad]) == sorted(names)
    assert [(gap.channel, gap.reason, gap.instrument) for gap in gaps] == [
        (Channel.CANDLE, GapReason.REFUSED, SPOT)
    ]
    assert session.ready


def test_a_refused_book_is_not_waited_for(driver: BinanceDriver, catalogues: dict[Market, Catalogue]) -> None:
    _, session, _ = opened(driver, catalogues, wanted(SPOT, Channel.ORDERBOOK))
    control, gap = session.received(b'{"code":2,"msg":"no","id":1}', 9)
    assert isinstance(control, Control)
    assert isinstance(gap, Gap)
    assert gap.channel is Channel.ORDERBOOK
    assert session.ready


def test_an_error_that_is_nobody_s_is_only_told(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    _, session, _ = opened(driver, catalogues, wanted(SPOT, Channel.TRADE))
    assert [type(e) for e in session.received(b'{"code":3,"msg":"Invalid JSON","id":null}', 9)] == [Control]
    assert not session.ready


def test_a_subscribe_without_answer_closes_the_connection(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    _, session, _ = opened(driver, catalogues, wanted(SPOT, Channel.TRADE))
    assert list(session.tick(9 * US_PER_SEC)) == []
    assert list(session.tick(12 * US_PER_SEC)) == [Close("SUBSCRIBE was not answered")]


def test_open_interest_is_polled_evenly_and_one_question_at_a_time(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    wants = wanted(FUTURES, Channel.OPEN_INTEREST) | wanted(DATED, Channel.OPEN_INTEREST)
    plan, session, effects = opened(driver, catalogues, wants)
    assert (plan.url, effects) == ("wss://fstream.binance.com/market/stream", [])
    assert session.ready, "there is nothing to subscribe to"
    (first,) = session.tick(0)
    assert isinstance(first, Fetch)
    assert first.request.url == "https://fapi.binance.com/fapi/v1/openInterest?symbol=BTCUSDT"
    assert (first.request.cost, first.purpose) == ({"futures_weight": 1}, OPEN_INTEREST)
    (second,) = session.tick(31 * US_PER_SEC)
    assert isinstance(second, Fetch)
    assert second.instrument == DATED
    body = {"openInterest": "10659.509", "symbol": "BTCUSDT", "time": US // 1000}
    (interest,) = session.fetched(first, answer(first, body), 32 * US_PER_SEC)
    assert interest == OpenInterest(FUTURES, US, 32 * US_PER_SEC, 10659.509)
    assert list(session.fetch_failed(second, TransportError("down"), 33 * US_PER_SEC)) == []
    assert list(session.tick(91 * US_PER_SEC)) == []
    again = [effect for effect in session.tick(94 * US_PER_SEC) if isinstance(effect, Fetch)]
    assert [fetch.instrument for fetch in again] == [FUTURES, DATED]


def test_an_open_interest_that_cannot_be_read(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    _, session, _ = opened(driver, catalogues, wanted(FUTURES, Channel.OPEN_INTEREST))
    (fetch,) = session.tick(0)
    assert isinstance(fetch, Fetch)
    with pytest.raises(DecodeError) as caught:
        session.fetched(fetch, answer(fetch, {"openInterest": "-1", "symbol": "X", "time": 1}), 1)
    assert caught.value.kind == "open_interest"


@pytest.mark.parametrize(
    ("channels", "kinds"),
    [
        ({Channel.MARK}, [MarkPrice]),
        ({Channel.FUNDING}, [FundingRate]),
        ({Channel.MARK, Channel.FUNDING}, [MarkPrice, FundingRate]),
    ],
)
def test_of_the_mark_price_stream_only_what_was_asked_for(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue], channels: set[Channel], kinds: list[type]
) -> None:
    _, session, effects = opened(driver, catalogues, wanted(FUTURES, *channels))
    assert params(effects) == [["btcusdt@markPrice@1s"]]
    assert [type(e) for e in session.received(combined("btcusdt@markPrice@1s", MARK), 1)] == kinds


def test_events_carry_the_catalogue_s_identity(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    session = driver.session(driver.recorded(Market.FUTURES), catalogues[Market.FUTURES])
    (mark, _) = session.received(combined("x@markPrice", MARK), 1)
    (other, _) = session.received(combined("x@markPrice", {**MARK, "s": "NEWUSDT"}), 1)
    assert isinstance(mark, MarkPrice)
    assert isinstance(other, MarkPrice)
    assert mark.instrument == FUTURES
    assert other.instrument.pair == "NEWUSDT", "what no catalogue knows keeps the venue's name"


def test_symbols_that_are_no_ascii_are_encoded(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    row = next(iter(catalogues[Market.SPOT]))
    identity = InstrumentId("binance", Market.SPOT, "币/USDT")
    odd = attrs.evolve(row, id=identity, symbol="币USDT", tick_size=Decimal("0.1"))
    catalogue = {Market.SPOT: Catalogue("binance", Market.SPOT, [odd])}
    _, session, effects = opened(driver, catalogue, {Subscription(identity, Channel.ORDERBOOK)})
    assert params(effects) == [["币usdt@depth@100ms"]]
    data = {"e": "depthUpdate", "E": 1, "s": "币USDT", "U": 1, "u": 2, "b": [], "a": []}
    frame = msgspec.json.encode({"stream": "币usdt@depth@100ms", "data": data})
    (fetch,) = session.received(frame, 1)
    assert isinstance(fetch, Fetch)
    assert fetch.request.url.endswith("/depth?symbol=%E5%B8%81USDT&limit=1000")
