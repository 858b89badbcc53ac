"""An independent witness that the simulated wire is right: stock ccxt reads it and sees the venue's truth."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from .processes import CTCORE, Process

PYTHON = "CTCORE_CCXT_PYTHON"
WITNESS = Path(__file__).with_name("ccxt_witness.py")
WITNESS_SEC = 90

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ccxt_python() -> str:
    python = os.environ.get(PYTHON)
    if not python:
        pytest.skip(f"no {PYTHON}: it names a Python that has ccxt, as: python3 -m venv apart && "
                    "apart/bin/pip install 'ccxt>=4.5,<5'")
    subprocess.run([python, "-c", "import ccxt.pro"], check=True, timeout=60)
    return python


def test_ccxt_reads_both_simulated_venues(ccxt_python: str, tmp_path: Path) -> None:
    """Markets, books, trades, tickers, bars; books and trades watched for a while; all compared exactly."""
    command = [*CTCORE, "simulate", "binance", "okx", "--speed", "8", "--seed", "3"]
    simulate = Process(command, tmp_path / "venues")
    try:
        simulate.wait_output(r"Ctrl\+C ends it")
        urls = dict(re.findall(r"^ *(binance|okx) +(http://\S+)", simulate.output, re.MULTILINE))
        venues = [f"{venue}={url}" for venue, url in urls.items()]
        witness = Process([ccxt_python, str(WITNESS), *venues], tmp_path / "witness")
        try:
            status = witness.wait_end(WITNESS_SEC)
        finally:
            witness.kill()
        witness.check(status == 0, f"the witness ended with status {status}")
        verdicts = [json.loads(line) for line in witness.output.splitlines() if line.startswith("{")]
        seen = {(verdict["venue"], verdict["product"]) for verdict in verdicts}
        assert seen == {(venue, product) for venue in ("binance", "okx") for product in ("spot", "swap")}
        for verdict in verdicts:
            assert not verdict["wrong"], f"{verdict['venue']} {verdict['product']}: {verdict['wrong']}"
            what = {line.partition(" ")[0] for line in verdict["done"]}
            assert what == {
                "load_markets", "watch_order_book", "watch_trades", "fetch_order_book", "fetch_trades",
                "fetch_ticker", "fetch_ohlcv",
            }  # fmt: skip
            assert sum("made of trades" in line for line in verdict["done"]) >= 2
        assert simulate.end(signal.SIGINT) == 0, simulate.output
    finally:
        simulate.kill()
