"""Streams and books."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from ctcore.api.parameters import StreamsQuery, properties_of
from ctcore.errors import ConfigError, StorageError
from ctcore.model.ids import Channel, InstrumentId, Market

from .fake import ASKS, BIDS, BTC, NOW_US, SWAP, FakeTarget, call, refusal


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [("binance", "orderbook"), ("binance", "trade"), ("okx", "orderbook")]),
        ("?exchange=okx", [("okx", "orderbook")]),
        ("?exchange=OKX", [("okx", "orderbook")]),
        ("?market=spot", [("binance", "orderbook"), ("binance", "trade")]),
        ("?pair=btc/usdt&channel=trade", [("binance", "trade")]),
        ("?pair=BTC%2FUSDT&market=futures", [("okx", "orderbook")]),
        ("?exchange=kraken", []),
    ],
)
async def test_streams_are_filtered(query: str, found: list[tuple[str, str]]) -> None:
    rows = (await call("GET", f"/streams{query}")).json()["streams"]
    assert [(row["exchange"], row["channel"]) for row in rows] == found


async def test_a_stream() -> None:
    rows = (await call("GET", "/streams?channel=trade")).json()["streams"]
    assert rows == [{
        "exchange": "binance", "market": "spot", "pair": "BTC/USDT", "channel": "trade", "messages": 9,
        "messages_per_sec": 0.5, "duplicates": 1, "gaps": 2, "last_exchange_us": NOW_US - 5,
        "last_received_us": NOW_US, "lag_us": 5, "open_gap": "sequence",
    }]


async def test_the_live_book() -> None:
    answer = await call("GET", "/books/binance/spot/BTC/USDT?depth=2")
    assert answer.json() == {
        "exchange": "binance", "market": "spot", "pair": "BTC/USDT", "symbol": "BTCUSDT", "source": "live",
        "in_sync": True, "seq": 7, "exchange_us": NOW_US - 9, "received_us": NOW_US, "at_us": None,
        "bids": [[100.0, 1.0], [99.0, 2.0]], "asks": [[101.0, 2.0], [102.0, 3.0]], "levels": [50, 40],
    }


@pytest.mark.parametrize(
    ("query", "depth"), [("", 20), ("?depth=0", 0), ("?depth=1", 1), ("?depth=5000", 5_000)])
async def test_depth(query: str, depth: int) -> None:
    target = FakeTarget()
    answer = await call("GET", f"/books/binance/spot/BTC/USDT{query}", target)
    assert target.asked == [(BTC, None, depth)]
    assert len(answer.json()["bids"]) == len(BIDS[:depth or None])
    assert len(answer.json()["asks"]) == len(ASKS[:depth or None])


@pytest.mark.parametrize(
    ("path", "instrument"),
    [
        ("okx/futures/BTC/USDT", SWAP),
        ("okx/futures/BTC%2FUSDT", SWAP),
        ("OKX/Futures/btc/usdt", SWAP),
        ("okx/futures/BTC/USDT-261225", InstrumentId("okx", Market.FUTURES, "BTC/USDT-261225")),
    ],
)
async def test_the_pair_in_the_path(path: str, instrument: InstrumentId) -> None:
    target = FakeTarget()
    await call("GET", f"/books/{path}", target)
    assert target.asked == [(instrument, None, 20)]


@pytest.mark.parametrize(
    ("at", "at_us"),
    [
        ("2026-01-31T12:00:00.000001Z", 1_769_860_800_000_001),
        ("2026-01-31T13:00:00%2B01:00", 1_769_860_800_000_000),
        ("2026-01-31", 1_769_817_600_000_000),
        ("1769860800", 1_769_860_800_000_000),
        ("1769860800000", 1_769_860_800_000_000),
        ("1769860800000001", 1_769_860_800_000_001),
        ("2026-02-01T00:00:45Z", 1_769_904_045_000_000),
    ],
)
async def test_the_book_of_a_moment(at: str, at_us: int) -> None:
    target = FakeTarget()
    answer = await call("GET", f"/books/binance/spot/BTC/USDT?at={at}&depth=3", target)
    assert target.asked == [(BTC, at_us, 3)]
    assert (answer.json()["source"], answer.json()["at_us"]) == ("history", at_us)


@pytest.mark.parametrize("query", ["", "?at=1769860800"])
async def test_an_instrument_that_nobody_watches(query: str) -> None:
    answer = await call("GET", f"/books/binance/spot/DOGE/USDT{query}")
    assert refusal(answer) == (404, "unknown_instrument", "path.pair")
    assert "binance:spot:DOGE/USDT is not watched" in answer.text


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (ConfigError("sinks: none can be asked for books; add clickhouse"), (409, "configuration", None)),
        (StorageError("clickhouse does not answer"), (503, "unavailable", None)),
    ],
)
async def test_history_that_cannot_be_asked(error: Exception, refused: tuple[int, str, str | None]) -> None:
    answer = await call("GET", "/books/binance/spot/BTC/USDT?at=1769860800", FakeTarget(broken=error))
    assert refusal(answer) == refused
    assert str(error) in answer.text


async def test_history_that_never_answers(autojump_clock: trio.testing.MockClock) -> None:
    answer = await call("GET", "/books/binance/spot/BTC/USDT?at=1769860800", FakeTarget(gate=trio.Event()))
    assert refusal(answer) == (504, "timeout", None)
    assert trio.current_time() >= 30


def test_every_channel_can_be_asked_for() -> None:
    text = properties_of(StreamsQuery)["channel"]["description"]
    assert all(channel in text for channel in Channel)
