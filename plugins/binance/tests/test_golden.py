"""A recording made for this test, with a duplicate, a hole and a broken frame, and what comes of it."""

from __future__ import annotations

from ctdaemon_binance.driver import BinanceDriver

from ctcore.feed.replay import Refused, Replay, Replayed
from ctcore.model.ids import Market
from ctcore.wire.recording import RecordedMessage, read_recording

from .conftest import FIXTURES


def test_the_recording_gives_the_golden_messages(driver: BinanceDriver) -> None:
    replay = Replay(driver, Market.SPOT)
    recording = read_recording(FIXTURES / "capture_spot_gap.jsonl")
    assert not isinstance(recording, RecordedMessage)
    outcomes = list(replay.run(recording))
    lines = [replay.to_json(outcome) for outcome in outcomes if isinstance(outcome, Replayed)]
    golden = (FIXTURES / "capture_spot_gap.golden.jsonl").read_bytes().splitlines()
    assert [line for line in lines if line is not None] == golden
    assert [outcome.line for outcome in outcomes if isinstance(outcome, Refused)] == [11]
    assert replay.summaries(2) == [{
        "type": "book", "exchange": "binance", "market": "spot", "pair": "BTCUSDT", "symbol": "BTCUSDT",
        "bids": [(9.9, 3.0), (9.7, 1.0)], "asks": [(10.1, 5.0), (10.2, 2.0)], "levels": [2, 2],
        "snapshots": 2, "deltas_applied": 3, "deltas_dropped": 2, "gaps": 1, "in_sync": True,
    }]  # fmt: skip
