"""The jsonl and memory sinks, and that all three come through the plugin's door."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pluggy
import pytest

from ctcore.contracts.plugin import hookspecs
from ctcore.errors import ConfigError, StorageError
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import MarketEvent, Side, Trade
from ctcore.sinks import plugin
from ctcore.sinks.config import ClickHouseConfig, JsonlConfig, MemoryConfig
from ctcore.sinks.jsonl import JsonlSink
from ctcore.sinks.memory import MemorySink

BTC = InstrumentId("binance", Market.SPOT, "BTC/USDT")


def trades(first: int, count: int = 3) -> list[MarketEvent]:
    return [Trade(BTC, i, i, str(i), 100.0, 1.0, Side.BUY) for i in range(first, first + count)]


def ids(directory: Path) -> list[str]:
    lines: list[bytes] = []
    for path in sorted(directory.glob("events-*")):
        raw = path.read_bytes()
        lines += (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()
    return [json.loads(line)["data"]["trade_id"] for line in lines]


def opened(directory: Path, **keys: object) -> JsonlSink:
    sink = JsonlSink(JsonlConfig(directory=directory, **keys))  # type: ignore[arg-type]
    sink.open()
    return sink


def test_one_unified_message_a_line(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write_batch("run-1", trades(0, 1))
    sink.close()
    assert json.loads((tmp_path / "events-000001.jsonl").read_text()) == {
        "type": "trade", "exchange": "binance", "market": "spot", "pair": "BTC/USDT", "timestamp": 0,
        "received": 0, "seq": 0, "data": {"trade_id": "0", "price": 100.0, "quantity": 1.0, "side": "buy"}}


@pytest.mark.parametrize("packed", [False, True])
def test_files_rotate_and_nothing_is_written_twice(tmp_path: Path, packed: bool) -> None:
    for round_ in range(2):
        sink = opened(tmp_path, rotate_bytes=1000, gzip=packed)
        for number in range(6):
            sink.write_batch(f"run-{number}", trades(number * 3))
        assert sink.statistics().repeated == 6 * round_
        sink.close()
    assert ids(tmp_path) == [str(i) for i in range(18)]
    closed = sorted(path.name for path in tmp_path.glob("events-*"))
    assert len(closed) == 4
    assert closed[0] == ("events-000001.jsonl.gz" if packed else "events-000001.jsonl")


def test_old_files_go_when_they_are_not_wanted(tmp_path: Path) -> None:
    sink = opened(tmp_path, rotate_bytes=1, keep_files=2)
    for number in range(5):
        sink.write_batch(f"run-{number}", trades(number * 3))
    sink.close()
    assert ids(tmp_path) == [str(i) for i in range(9, 15)]


def test_a_torn_batch_is_cut_off_wherever_the_crash_was(tmp_path: Path) -> None:
    sink = opened(tmp_path / "whole")
    sink.write_batch("run-1", trades(0))
    sink.close()
    one = (tmp_path / "whole" / "events-000001.jsonl").stat().st_size
    notes_one = (tmp_path / "whole" / "batches.jsonl").stat().st_size
    sink = opened(tmp_path / "whole")
    sink.write_batch("run-2", trades(3))
    sink.close()
    events = (tmp_path / "whole" / "events-000001.jsonl").read_bytes()
    notes = (tmp_path / "whole" / "batches.jsonl").read_bytes()
    crashes = [(cut, notes_one) for cut in range(one, len(events), 7)]
    crashes += [(len(events), cut) for cut in range(notes_one, len(notes))]
    for number, (events_end, notes_end) in enumerate(crashes):
        directory = tmp_path / f"crash-{number}"
        directory.mkdir()
        (directory / "events-000001.jsonl").write_bytes(events[:events_end])
        (directory / "batches.jsonl").write_bytes(notes[:notes_end])
        sink = opened(directory)
        sink.write_batch("run-1", trades(0))
        sink.write_batch("run-2", trades(3))
        sink.close()
        assert ids(directory) == [str(i) for i in range(6)], (events_end, notes_end)


def test_a_directory_that_is_a_file_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(ConfigError, match="name another one"):
        opened(tmp_path / "x")


def test_a_failed_write_leaves_no_part_behind(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write_batch("run-1", trades(0))

    class Full:
        def __init__(self, inner: object) -> None:
            self.inner, self.full = inner, True

        def write(self, data: bytes) -> int:
            taken: int = self.inner.write(data[:10] if self.full else data)  # type: ignore[attr-defined]
            if self.full:
                raise OSError(28, "No space left on device")
            return taken

        def close(self) -> None:
            self.inner.close()  # type: ignore[attr-defined]

    full = sink._out = Full(sink._out)  # type: ignore[assignment]
    with pytest.raises(StorageError, match="No space left"):
        sink.write_batch("run-2", trades(3))
    full.full = False
    sink.write_batch("run-2", trades(3))
    sink.close()
    assert ids(tmp_path) == [str(i) for i in range(6)]


@pytest.mark.parametrize("failing", ["truncate", "replace"])
def test_after_the_disk_was_full_opening_again_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    sink = opened(tmp_path)
    sink.write_batch("run-1", trades(0))
    with monkeypatch.context() as full:
        no_room = OSError(28, "No space left on device")
        full.setattr(JsonlSink, "_append", _raiser(no_room))
        full.setattr(os if failing == "truncate" else Path, failing, _raiser(no_room))
        with pytest.raises(StorageError, match="No space left"):
            sink.write_batch("run-2", trades(3))
    if failing == "truncate":
        sink.open()
    sink.write_batch("run-2", trades(3))
    sink.close()
    assert ids(tmp_path) == [str(i) for i in range(6)]


def _raiser(error: OSError) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error
    return fail


def test_a_directory_belongs_to_one_sink(tmp_path: Path) -> None:
    sink, second = opened(tmp_path), JsonlSink(JsonlConfig(directory=tmp_path))
    with pytest.raises(ConfigError, match=f"{tmp_path}: in use by another sink"):
        second.open()
    sink.open()  # its own lock is none of another's
    code = (f"import pathlib; from ctcore.sinks.jsonl import *; "
            f"JsonlSink(JsonlConfig(directory=pathlib.Path({str(tmp_path)!r}))).open()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "ConfigError" in done.stderr.splitlines()[-1]
    sink.close()
    second.open()
    second.close()


def test_memory_keeps_the_last_and_counts_the_rest() -> None:
    sink = MemorySink(MemoryConfig(max_events=4))
    sink.write_batch("run-1", trades(0))
    sink.write_batch("run-1", trades(0))
    sink.write_batch("run-2", trades(3))
    assert sink.events() == trades(2, 4)
    statistics = sink.statistics()
    assert (statistics.batches, statistics.events, statistics.repeated, statistics.dropped) == (2, 6, 1, 2)


def test_the_three_are_registered_through_the_hook(tmp_path: Path) -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    found = {sink.name: sink for (sinks,) in [manager.hook.ctcore_register_sinks()] for sink in sinks}
    assert {name: sink.config_type for name, sink in found.items()} == {
        "clickhouse": ClickHouseConfig, "jsonl": JsonlConfig, "memory": MemoryConfig}
    made = found["jsonl"].create(JsonlConfig(directory=tmp_path))
    assert isinstance(made, JsonlSink)
