"""``ctcore simulate`` and ``ctcore record``; what was recorded decodes again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

RECORDED = (("binance", "spot", "binance-spot-1"), ("okx", "futures", "okx-futures-public-1"))
WRITTEN = {
    "binance-spot-1.jsonl", "binance-spot.instruments.json", "okx-futures-public-1.jsonl",
    "okx-futures-1.instruments.json", "okx-futures-2.instruments.json"}


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ctcore", *arguments], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "80", "PYTHONUNBUFFERED": "1"})


def test_simulate_serves_until_it_is_ended():
    running = start(
        "simulate", "binance", "okx", "--seed", "7", "--faults-per-min", "1", "--fault-kind", "gap")
    assert running.stdout is not None
    shown = ""
    while "Ctrl+C ends it." not in shown:
        shown += running.stdout.readline()
        assert running.poll() is None, running.communicate()
    assert "Seed 7, speed 1, 1 random faults a minute." in shown
    assert max(map(len, shown.splitlines())) <= 80
    binance, okx = re.findall(r"(?:binance|okx) +(http://127\.0\.0\.1:\d+)", shown)
    assert httpx.get(f"{binance}/api/v3/ping").status_code == 200
    assert httpx.get(f"{okx}/api/v5/public/time").json()["code"] == "0"
    assert httpx.get(f"{okx}/_sim/status").json()["speed"] == 1.0
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert (running.returncode, out) == (0, "SIGINT: ended\n"), err
    assert "Traceback" not in err


def test_what_is_recorded_decodes_again(ctcore, config):
    config.write_text(config.read_text() + """
[exchanges.okx]
environment = "simulated"

[[monitor.subscriptions]]
exchange = "okx"
market = "futures"
pairs = ["BTC/USDT"]
""")
    running = start("record", "--config", "ctcore.toml", "--out", "wire")
    while {path.name for path in Path("wire").glob("*") if path.stat().st_size} != WRITTEN:
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)
    time.sleep(2.0)  # of the market
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 0, err
    assert "binance-spot-1.jsonl" in out
    for exchange, market, name in RECORDED:
        instruments = sorted(Path("wire").glob(f"{exchange}-*.instruments.json"))
        named = [part for path in instruments for part in ("--instruments", path)]
        decoded = ctcore("decode", exchange, market, f"wire/{name}.jsonl", "--book", "1", *named)
        rows = [json.loads(line) for line in decoded.stdout.splitlines()]
        assert {"control", "orderbook", "book"} <= {row["type"] for row in rows}
        book = rows[-1]
        assert (book["pair"], book["in_sync"], book["gaps"]) == ("BTC/USDT", True, 0)
        assert book["snapshots"] + book["deltas_applied"] > 5
    refused = ctcore("record", "--config", config, "--out", "wire", status=2)
    assert refused.stderr == "ctcore: wire: holds recordings already; name another folder\n"


def test_nothing_recorded_is_a_failure(ctcore, config):
    config.write_text(config.read_text().replace(
        'environment = "simulated"',
        'rest = { spot = "http://127.0.0.1:1" }\nstream = { spot = "ws://127.0.0.1:1" }'))
    result = ctcore("record", "--config", config, "--out", "wire", "--minutes", "0.01", status=1)
    assert result.stderr.splitlines()[-1].startswith("ctcore: nothing was recorded")
