"""``ctcore decode``: recordings and single messages through the shipped session."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TRADE = {"e": "trade", "E": 1672515782136, "s": "BTCUSDT", "t": 12345, "p": "16800.5", "q": "0.25",
         "T": 1672515782130, "m": True, "M": True}
ACK = {"result": None, "id": 1}
BOOK_KEYS = ["type", "exchange", "market", "pair", "symbol", "bids", "asks", "levels", "snapshots",
             "deltas_applied", "deltas_dropped", "gaps", "in_sync"]


def line(us: int, told: object) -> str:
    text = told if isinstance(told, str) else json.dumps(told)
    return json.dumps({"us": us, "kind": "in", "text": text}) + "\n"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "capture.jsonl"
    path.write_text('{"us":1,"kind":"open","url":"wss://x"}\n' + line(2, ACK) + line(3, TRADE))
    return path


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in text.splitlines()]


def test_each_message_is_a_line_and_control_is_marked(ctcore, recording):
    result = ctcore("decode", "Binance", "SPOT", recording)
    control, trade = rows(result.stdout)
    assert (control["type"], control["kind"]) == ("control", "ack")
    assert trade == {
        "type": "trade", "exchange": "binance", "market": "spot", "pair": "BTCUSDT",
        "timestamp": 1672515782130000, "received": 3, "seq": 0,
        "data": {"trade_id": "12345", "price": 16800.5, "quantity": 0.25, "side": "sell"},
    }
    assert result.stderr == ""


def test_a_raw_message_in_a_file_of_its_own(ctcore, tmp_path):
    path = tmp_path / "trade.json"
    path.write_text(json.dumps(TRADE, indent=2))
    assert [row["type"] for row in rows(ctcore("decode", "binance", "spot", path).stdout)] == ["trade"]


def test_what_cannot_be_decoded_is_told_with_its_place(ctcore, recording):
    with recording.open("a") as file:
        file.write("not a line\n" + line(4, '{"e":"trade"') + line(5, TRADE))
    result = ctcore("decode", "binance", "spot", recording, status=1)
    assert [row["type"] for row in rows(result.stdout)] == ["control", "trade", "trade"]
    first, second = result.stderr.splitlines()
    assert first.startswith(f"{recording}:4: not a line of a recording")
    assert second.startswith(f"{recording}:5: ")


def test_several_files_are_several_replays(ctcore, recording, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text(line(9, TRADE))
    result = ctcore("decode", "binance", "spot", recording, other, "--book", "5")
    assert [row["type"] for row in rows(result.stdout)] == ["control", "trade", "trade"]


def test_saved_instruments_name_the_pairs(ctcore, recording, tmp_path):
    listed = {"symbols": [{
        "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"}]}]}
    saved = tmp_path / "instruments.json"
    saved.write_text(json.dumps(listed))
    result = ctcore("decode", "binance", "spot", recording, "--instruments", saved)
    assert rows(result.stdout)[1]["pair"] == "BTC/USDT"
    saved.write_text("[]")
    refused = ctcore("decode", "binance", "spot", recording, "--instruments", saved, status=2)
    assert refused.stderr.startswith(f"ctcore: --instruments {saved}: ")


def test_the_book_at_the_end(ctcore, recordings):
    capture = recordings / "binance" / "spot" / "ws_book" / "capture_binance_blzeth_2021.jsonl"
    result = ctcore("decode", "binance", "spot", capture, "--book", "3")
    book = rows(result.stdout)[-1]
    assert list(book) == BOOK_KEYS
    expected = json.loads(capture.with_suffix(".expected.json").read_text())["books"][book["symbol"]]
    assert book["bids"] == [[float(price), float(quantity)] for price, quantity in expected["bids"][:3]]
    assert book["levels"] == expected["levels"]
    assert sum(row["type"] == "book" for row in rows(result.stdout)) == 1


def test_a_reader_that_has_had_enough_ends_it_quietly(recording):
    with recording.open("a") as file:
        file.writelines(line(us, TRADE) for us in range(10, 20_000))
    command = [sys.executable, "-m", "ctcore", "decode", "binance", "spot", str(recording)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(timeout=60) == 0
