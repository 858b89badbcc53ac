"""A writer killed in the middle: what it acknowledged is there, and nothing is there twice."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

WRITER = """
import itertools, sys
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import Side, Trade
from ctcore.sinks.clickhouse import ClickHouseSink
from ctcore.sinks.config import ClickHouseConfig

first, last = int(sys.argv[2]), int(sys.argv[3])
btc = InstrumentId("binance", Market.SPOT, "BTC/USDT")
sink = ClickHouseSink(ClickHouseConfig(url=f"chdb://{sys.argv[1]}"))
sink.open()
for number in range(first, last):
    at = 1_760_000_000_000_000 + number * 1000
    trades = [Trade(btc, at + i, at + i, str(i), 100.0 + i, 1.0, Side.BUY) for i in range(50)]
    sink.write_batch(f"run-{number}", trades)
    print(number, flush=True)
rows = sink._client.rows("SELECT count(), uniq(ts) FROM trade")[0]
candles = sink._client.rows("SELECT sum(trades), sum(volume) FROM v_candle_1m")[0]
sink.close()
print(*rows, *candles, flush=True)
"""


def test_kill_in_the_middle_of_inserts(tmp_path: Path) -> None:
    pytest.importorskip("chdb", reason="the embedded engine is not installed: pip install 'ctcore[embedded]'")
    command = [sys.executable, "-c", WRITER, str(tmp_path / "engine")]
    with subprocess.Popen([*command, "0", "100000"], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        time.sleep(0.013)  # somewhere inside a batch
        writer.kill()
        acknowledged = 20 + len(writer.stdout.read().split())
    again = subprocess.run([*command, "0", str(acknowledged + 3)], capture_output=True, text=True, timeout=60)
    rows, moments, trades, volume = again.stdout.splitlines()[-1].split()
    expected = (acknowledged + 3) * 50
    assert (int(rows), int(moments), int(trades), float(volume)) == (expected, expected, expected, expected)
