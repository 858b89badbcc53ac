"""No frame, however wrong, raises anything but DecodeError; and the session works on afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ctdaemon_binance.driver import BinanceDriver
from hypothesis import given
from hypothesis import strategies as st

from ctcore.contracts.driver import Fetch, HttpResponse
from ctcore.errors import DecodeError
from ctcore.model.ids import Market
from ctcore.model.market import Trade

from .frames import combined, recorded, spot_depth
from .test_events import BBO, DAY, FORCED, KLINE, MARK, TRADE

DRIVER = BinanceDriver(BinanceDriver.info.environments["live"])
KINDS = ("depth@100ms", "depth20", "trade", "kline_1m", "bookTicker", "ticker")
STREAMS = [f"btcusdt@{kind}" for kind in KINDS]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
FRAMES = [
    *(combined("btcusdt@x", data) for data in (TRADE, BBO, DAY, KLINE, MARK, FORCED)),
    spot_depth(1, 2, [("1", "2")], [("3", "4")]),
    b'{"result":null,"id":1}',
    b'{"error":{"code":2,"msg":"x"},"id":1}',
    json.dumps([MARK, DAY]).encode(),
]


def feed(market: Market, frame: bytes) -> None:
    session = recorded(DRIVER, market)
    try:
        list(session.received(frame, 1))
    except DecodeError as error:
        assert error.kind  # noqa: PT017  both outcomes are right
    (trade,) = session.received(combined("btcusdt@trade", TRADE), 2)
    assert isinstance(trade, Trade)


@pytest.mark.parametrize("market", Market)
@given(frame=st.binary(max_size=60))
def test_any_bytes(market: Market, frame: bytes) -> None:
    feed(market, frame)


@pytest.mark.parametrize("market", Market)
@given(name=st.sampled_from([*STREAMS, "!x@arr"]) | st.text(max_size=12), data=JSON)
def test_any_json_under_any_stream(market: Market, name: str, data: Any) -> None:
    feed(market, combined(name, data))
    feed(market, json.dumps(data).encode())


@pytest.mark.parametrize("market", Market)
@given(frame=st.sampled_from(FRAMES), cut=st.integers(0, 400), junk=st.binary(max_size=6))
def test_real_frames_cut_and_overwritten(market: Market, frame: bytes, cut: int, junk: bytes) -> None:
    feed(market, frame[:cut])
    feed(market, frame[:cut] + junk + frame[cut + len(junk) :])


@pytest.mark.parametrize("market", Market)
@given(field=st.sampled_from("EsUubaTpku"), value=JSON)
def test_real_frames_with_one_field_of_another_kind(market: Market, field: str, value: Any) -> None:
    for data in (TRADE, BBO, DAY, KLINE, MARK, FORCED):
        feed(market, combined("btcusdt@x", {**data, field: value}))


@given(body=st.binary(max_size=60) | JSON.map(lambda data: json.dumps(data).encode()))
def test_any_answer_to_a_snapshot_request(body: bytes) -> None:
    session = recorded(DRIVER, Market.SPOT)
    (fetch,) = session.received(spot_depth(1, 2), 1)
    assert isinstance(fetch, Fetch)
    response = HttpResponse(fetch.request, 200, body)
    try:
        session.fetched(fetch, response, 2)
    except DecodeError as error:
        assert error.kind == "snapshot"  # noqa: PT017  both outcomes are right
        again = list(session.fetch_failed(fetch, error, 3))
        assert [type(effect) for effect in again] == [Fetch]


@pytest.mark.parametrize("depth", [3_000, 100_000])
def test_deep_nesting(depth: int) -> None:
    for market in Market:
        feed(market, b"[" * depth)
        feed(market, b'{"stream":"a@trade","data":' + b"[" * depth)
        feed(market, b'{"result":' * depth)
        feed(market, b'[{"e":' * depth)
