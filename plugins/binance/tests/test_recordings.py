"""Captures and single messages recorded by others, where the folder with them is beside the repository."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ctdaemon_binance.driver import BinanceDriver

from ctcore.feed.replay import Refused, Replay, Replayed
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import Candle, MarketEvent, Side, Ticker, Trade
from ctcore.model.numbers import exact
from ctcore.wire.recording import RecordedMessage, read_recording

RECORDINGS = Path(__file__).parents[4] / "shared" / "recordings" / "binance"
CAPTURES = sorted(RECORDINGS.glob("*/ws_book/capture_*.jsonl"))
KINDS = ("book", "book_partial", "trade", "bbo", "ticker", "kline", "mark", "liquidation")
MESSAGES = sorted(
    path
    for kind in KINDS
    for path in RECORDINGS.glob(f"*/ws_{kind}/*.json")
    if not path.name.endswith(".expected.json")
)
INCOMPLETE = {
    "bcp_default_api_ws_streams_all_mini_ticker_subscription.json": "24hrTicker",  # no prices in them
    "bcp_default_api_ws_streams_mini_ticker_subscription.json": "24hrTicker",
    "bcp_default_api_ws_streams_ticker_subscription.json": "24hrTicker",
    "bcp_default_api_ws_streams_trade_subscription.json": "trade",
    "bcp_public_api_ws_streams_partial_book_depth_streams_subscription.json": "depth",  # levels of one number
    "brt_trade_02.json": "trade",  # "m": "yes", made wrong on purpose
    "cx_handle_liquidation_01.json": "unknown",  # a futures event, filed under spot
}
"""Messages whose form is not the wire's, and the kind of error each gives."""

pytestmark = pytest.mark.skipif(not CAPTURES, reason="no recordings beside the repository")


def replayed(path: Path) -> tuple[Replay, list[MarketEvent], list[Refused]]:
    driver = BinanceDriver(BinanceDriver.info.environments["live"])
    replay = Replay(driver, Market(path.parents[1].name))
    recording = read_recording(path)
    if isinstance(recording, RecordedMessage):
        outcomes = replay.message(recording.frame, 5)
    else:
        outcomes = list(replay.run(recording))
    effects = [outcome.effect for outcome in outcomes if isinstance(outcome, Replayed)]
    events = [effect for effect in effects if isinstance(effect, MarketEvent)]
    return replay, events, [outcome for outcome in outcomes if isinstance(outcome, Refused)]


def of(events: list[MarketEvent], kind: type[Any], symbol: str) -> list[Any]:
    return [event for event in events if isinstance(event, kind) and event.instrument.pair == symbol]


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_a_capture_gives_exactly_what_is_expected(path: Path) -> None:
    replay, events, refused = replayed(path)
    expected = json.loads(path.with_suffix(".expected.json").read_text())
    assert refused == []
    summaries = {summary["symbol"]: summary for summary in replay.summaries(20)}
    assert set(summaries) == set(expected["books"])
    for symbol, book in expected["books"].items():
        dropped = book["deltas_dropped_before_snapshot"] + book["deltas_dropped_after_gap"]
        assert summaries[symbol] == {
            "type": "book", "exchange": "binance", "market": expected["market"],
            "pair": symbol, "symbol": symbol,
            "bids": [(float(price), float(quantity)) for price, quantity in book["bids"]],
            "asks": [(float(price), float(quantity)) for price, quantity in book["asks"]],
            "levels": book["levels"], "snapshots": book["snapshots"],
            "deltas_applied": book["deltas_applied"], "deltas_dropped": dropped,
            "gaps": book["gaps"], "in_sync": book["synced_at_end"],
        }  # fmt: skip
    for symbol, told in expected["trades"].items():
        assert trade_figures(of(events, Trade, symbol)) == told
    for symbol, told in expected["tickers_bbo"].items():
        tickers = of(events, Ticker, symbol)
        last = tickers[-1]
        assert len(tickers) == told["count"]
        assert (last.bid, last.bid_quantity) == tuple(map(float, told["bid"]))
        assert (last.ask, last.ask_quantity) == tuple(map(float, told["ask"]))
    candles = [event for event in events if isinstance(event, Candle)]
    assert len(candles) == sum(expected["klines"].values())
    assert all(len(of(events, Candle, symbol)) == count for symbol, count in expected["klines"].items())
    assert {event.instrument for event in events if isinstance(event, Trade)} == {
        InstrumentId("binance", Market(expected["market"]), symbol) for symbol in expected["trades"]
    }


def trade_figures(trades: list[Trade]) -> dict[str, Any]:
    def text(value: Decimal) -> str:
        return format(value.normalize(), "f")

    return {
        "count": len(trades),
        "buy_count": sum(trade.side is Side.BUY for trade in trades),
        "sum_qty": text(sum((exact(trade.quantity) for trade in trades), Decimal(0))),
        "sum_notional": text(sum((exact(t.price) * exact(t.quantity) for t in trades), Decimal(0))),
        "first_id": trades[0].trade_id,
        "last_id": trades[-1].trade_id,
        "first_us": trades[0].exchange_us,
        "last_us": trades[-1].exchange_us,
    }


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_a_single_message_is_read_or_refused_once(path: Path) -> None:
    _, events, refused = replayed(path)
    kind = INCOMPLETE.get(path.name)
    if kind is not None:
        assert events == []
        assert [getattr(outcome.error, "kind", "") for outcome in refused] == [kind]
        return
    assert refused == []
    waits_for_a_book = path.parent.name == "ws_book" and "depth20" not in path.read_text()
    settled_beside_the_book = "INSURANCE_FUND" in path.read_text()
    assert bool(events) is not (waits_for_a_book or settled_beside_the_book)
