"""Whatever comes, a session answers with effects or with a DecodeError."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from ctdaemon_okx.driver import ENVIRONMENTS, OkxDriver
from hypothesis import given
from hypothesis import strategies as st

from ctcore.contracts.driver import Fetch, StreamSession
from ctcore.errors import DecodeError
from ctcore.model.ids import Channel, Market, Subscription
from ctcore.model.instrument import Catalogue
from ctcore.model.market import BookDelta, BookSnapshot, Gap

from .frames import book, future, only, open_session_of, rest_book

CHANNELS = ["books", "books5", "bbo-tbt", "trades", "tickers", "candle1m", "mark-price", "funding-rate",
            "open-interest", "liquidation-orders", "price-limit", "nonsense"]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["1", "0", "-1", "nan", "inf", "1e400", "", "1790000000000", "buy", "X-USDT-SWAP"]),
)  # fmt: skip
FIELDS = st.sampled_from([
    "asks", "bids", "ts", "seqId", "prevSeqId", "checksum", "px", "sz", "side", "tradeId", "last", "askPx",
    "markPx", "fundingRate", "fundingTime", "oi", "details", "instId", "bkPx",
])  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=6),
    max_leaves=12,
)
ARGS = st.builds(
    lambda channel, field, name: {"channel": channel, field: name},
    st.sampled_from(CHANNELS),
    st.sampled_from(["instId", "instType"]),
    st.sampled_from(["BTC-USDT-SWAP", "SWAP", "x"]),
)
MESSAGES = st.fixed_dictionaries({}, optional={
    "event": st.sampled_from(["subscribe", "error", "notice", "login", "?"]) | SCALARS,
    "arg": ARGS | VALUES,
    "action": st.sampled_from(["snapshot", "update"]) | SCALARS,
    "data": st.lists(VALUES, max_size=3) | VALUES,
    "code": st.sampled_from(["60018", "60014", "64008"]) | SCALARS,
    "msg": st.text(max_size=40) | SCALARS,
    "id": SCALARS,
})


def sessions() -> list[StreamSession]:
    swap = future("BTC/USDT")
    wanted = [Subscription(swap, channel) for channel in Channel if channel is not Channel.CANDLE]
    driver = OkxDriver(ENVIRONMENTS["live"])
    recorded = driver.session(driver.recorded(Market.FUTURES), Catalogue("okx", Market.FUTURES))
    return [open_session_of(*wanted), recorded]


def feed(data: bytes) -> None:
    for session in sessions():
        with suppress(DecodeError):
            list(session.received(data, 5))
        list(session.tick(10_000_000))
        assert session.ready in (True, False)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    feed(data)


@given(MESSAGES)
def test_any_json(message: dict[str, object]) -> None:
    feed(json.dumps(message).encode())


@given(st.sampled_from(CHANNELS), st.lists(st.dictionaries(FIELDS, VALUES, max_size=8), max_size=3))
def test_any_data(channel: str, rows: list[object]) -> None:
    feed(json.dumps({"arg": {"channel": channel, "instId": "BTC-USDT-SWAP"}, "data": rows}).encode())


@given(st.integers(0, 240), st.binary(min_size=1, max_size=3))
def test_a_damaged_book_frame(place: int, patch: bytes) -> None:
    data = bytearray(book("update", 100, 101, [("9", "1")], [("10", "1")], symbol="BTC-USDT-SWAP"))
    place %= len(data)
    data[place:place + len(patch)] = patch
    feed(bytes(data))


IDS = st.integers(0, 6)


@given(st.lists(st.tuples(IDS, IDS), max_size=30), st.lists(IDS, max_size=3))
def test_what_is_applied_always_chains(ids: list[tuple[int, int]], seeds: list[int]) -> None:
    """Any order of updates and seeds: each delta emitted continues the event before it."""
    session = open_session_of(Subscription(future("BTC/USDT"), Channel.ORDERBOOK))
    session.received(b'{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT-SWAP"}}', 2)
    asked: Any = None
    at, joined = None, False
    for previous, seq in ids:
        effects = list(session.received(book("update", previous, seq, symbol="BTC-USDT-SWAP"), 3))
        asked = next(iter(only(effects, Fetch)), asked)
        if asked is not None and seeds:
            effects += session.fetched(asked, rest_book(seeds.pop()), 4)
        for event in effects:
            if isinstance(event, BookSnapshot):
                at, joined = event.seq, False
            elif isinstance(event, BookDelta):
                assert at is not None
                assert event.prev_seq == at or (not joined and event.prev_seq <= at < event.seq)
                at, joined = event.seq, True
            elif isinstance(event, Gap) and event.end_us is None:
                at = None
