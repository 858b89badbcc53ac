"""Captures of real frames beside the repository; skipped where there are none."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ctdaemon_okx.driver import ENVIRONMENTS, OkxDriver
from ctdaemon_okx.symbols import symbol_of

from ctcore.errors import OutdatedFormat
from ctcore.feed.replay import Refused, Replay, Replayed
from ctcore.model.ids import Market
from ctcore.model.market import MarketEvent, Side, Ticker, Trade
from ctcore.wire.recording import RecordedMessage, read_recording

from .frames import RECORDINGS

pytestmark = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no recordings beside the repository")

CURRENT = sorted(RECORDINGS.glob("*/ws_book/capture_derived_seq_*.jsonl"))
OUTDATED = sorted(p for p in RECORDINGS.glob("*/ws_book/capture_*_2022.jsonl") if p not in CURRENT)
KINDS = ("ws_book", "ws_trade", "ws_bbo", "ws_ticker", "ws_kline", "ws_mark", "ws_liquidation")
SINGLE = sorted(p for kind in KINDS for p in RECORDINGS.glob(f"*/{kind}/*.json") if "expected" not in p.name)


def replay(path: Path) -> tuple[Replay, list[Replayed | Refused]]:
    run = Replay(OkxDriver(ENVIRONMENTS["live"]), Market(path.parts[-3]))
    lines = read_recording(path)
    assert not isinstance(lines, RecordedMessage)
    return run, list(run.run(lines))


def events(outcomes: list[Replayed | Refused]) -> list[MarketEvent]:
    effects = [outcome.effect for outcome in outcomes if isinstance(outcome, Replayed)]
    return [effect for effect in effects if isinstance(effect, MarketEvent)]


def exact(value: float) -> Decimal:
    return Decimal(repr(value))


def check_trades(seen: list[Trade], expected: dict[str, Any]) -> None:
    assert len(seen) == expected["count"]
    assert sum(trade.side is Side.BUY for trade in seen) == expected["buy_count"]
    assert sum(exact(trade.quantity) for trade in seen) == Decimal(expected["sum_qty"])
    assert sum(exact(t.price) * exact(t.quantity) for t in seen) == Decimal(expected["sum_notional"])
    assert (seen[0].trade_id, seen[-1].trade_id) == (expected["first_id"], expected["last_id"])
    assert (seen[0].exchange_us, seen[-1].exchange_us) == (expected["first_us"], expected["last_us"])


def check_tickers(seen: list[Ticker], expected: dict[str, Any]) -> None:
    whole = [ticker for ticker in seen if ticker.bid is not None and ticker.ask is not None]
    assert len(whole) == expected["count"]
    last = whole[-1]
    assert (last.bid, last.bid_quantity) == tuple(float(text) for text in expected["bid"])
    assert (last.ask, last.ask_quantity) == tuple(float(text) for text in expected["ask"])


@pytest.mark.parametrize("path", CURRENT, ids=lambda path: path.stem)
def test_a_capture_gives_what_is_expected(path: Path) -> None:
    expected = json.loads(path.with_suffix(".expected.json").read_text())
    run, outcomes = replay(path)
    assert not [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    summaries = {summary["symbol"]: summary for summary in run.summaries(20)}
    assert set(summaries) == set(expected["books"])
    for symbol, want in expected["books"].items():
        got = summaries[symbol]
        for side in ("bids", "asks"):
            assert got[side] == [(float(price), float(size)) for price, size in want[side]]
        assert got["levels"] == want["levels"]
        assert (got["snapshots"], got["deltas_applied"], got["gaps"], got["in_sync"]) == (
            want["snapshots"], want["deltas_applied"], want["gaps"], want["synced_at_end"])
        assert got["deltas_dropped"] == (
            want["deltas_dropped_before_snapshot"] + want["deltas_dropped_after_gap"])
    check_others(events(outcomes), expected)


@pytest.mark.parametrize("path", OUTDATED, ids=lambda path: path.stem)
def test_books_of_2022_are_refused_and_the_rest_is_read(path: Path) -> None:
    expected = json.loads(path.with_suffix(".expected.json").read_text())
    run, outcomes = replay(path)
    refused = [outcome.error for outcome in outcomes if isinstance(outcome, Refused)]
    (want,) = expected["books"].values()
    assert len(refused) == want["snapshots"] + want["deltas_applied"]
    assert all(type(error) is OutdatedFormat for error in refused)
    assert [summary["levels"] for summary in run.summaries(0)] == [[0, 0]]
    check_others(events(outcomes), expected)


def check_others(seen: list[MarketEvent], expected: dict[str, Any]) -> None:
    for symbol, want in expected["trades"].items():
        check_trades([e for e in seen if isinstance(e, Trade) and symbol_of(e.instrument) == symbol], want)
    for symbol, want in expected["tickers_bbo"].items():
        check_tickers([e for e in seen if isinstance(e, Ticker) and symbol_of(e.instrument) == symbol], want)


@pytest.mark.parametrize("path", SINGLE, ids=lambda path: "-".join(path.parts[-3:]))
def test_single_messages(path: Path) -> None:
    """A frame of a current form is read; one of 2022 is refused as that, and as nothing else."""
    message = json.loads(path.read_bytes())
    run = Replay(OkxDriver(ENVIRONMENTS["live"]), Market(path.parts[-3]))
    outcomes = run.message(path.read_bytes(), 1_790_000_000_000_000)
    channel, row = message["arg"]["channel"], message["data"][0]
    outdated = (channel.startswith("books") and "seqId" not in row) or (
        channel.startswith("candle") and len(row) < 9)
    if outdated:
        assert [type(o.error) for o in outcomes if isinstance(o, Refused)] == [OutdatedFormat]
    else:
        assert outcomes
        assert all(isinstance(outcome, Replayed) for outcome in outcomes)
