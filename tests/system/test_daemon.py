"""The quickstart as a newcomer runs it: in sync, kept, asked, ended in every way, and resumed."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from ctcore.model.ids import InstrumentId, Market
from ctcore.sinks.queries import book_at, table_rows
from ctcore.sinks.replay import read_book, replay_book

from .histories import check_batches_whole, check_nothing_twice, gaps, history
from .processes import CTCORE, END_SEC, Daemon, Process, running

pytest.importorskip("chdb", reason="the embedded engine is not installed: pip install 'ctcore[embedded]'")
pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
INSTRUMENTS = {
    f"{exchange}:{market}:{pair}"
    for exchange in ("binance", "okx") for market in Market for pair in ("BTC/USDT", "ETH/USDT")
}  # fmt: skip
STREAMS = 8 * 3 + 4 * 2  # order books, trades and tickers of all; mark prices and funding of futures
BTC = InstrumentId("binance", Market.SPOT, "BTC/USDT")


def quickstart(folder: Path, *changes: tuple[str, str]) -> Path:
    """The quickstart's configuration in a folder of its own, with any free port for the API."""
    text = (EXAMPLES / "quickstart.toml").read_text()
    for old, new in (("port = 8080", "port = 0"), *changes):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    config = folder / "quickstart.toml"
    config.write_text(text)
    return config


def in_folder(config: Path, name: str) -> Path:
    return config.parent / name


def watched(daemon: Daemon) -> dict[tuple[str, str], dict[str, Any]]:
    """The streams that had a message, by instrument and channel."""
    rows = daemon.get("/streams")["streams"]
    return {(f"{row['exchange']}:{row['market']}:{row['pair']}", row["channel"]): row
            for row in rows if row["messages"]}


def wait_flowing(daemon: Daemon) -> None:
    """Ready, and every stream but the rarest has had messages."""
    daemon.wait_ready()
    daemon.wait("all order books and trades", 30, lambda: {
        (name, channel) for name in INSTRUMENTS for channel in ("orderbook", "trade")
    } <= watched(daemon).keys())  # fmt: skip


def wait_written(daemon: Daemon, events: int) -> None:
    """The history sink has written so many more events."""
    def written() -> int:
        count: int = daemon.get("/gauges")["gauges"]["sink history"]["written_events"]
        return count

    before = written()
    daemon.wait(f"{events} more events in history", 30, lambda: written() >= before + events)


def state(config: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(in_folder(config, "state/daemon.state").read_text())
    return found


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quickstart(tmp_path_factory.mktemp("quickstart"))


def end_cleanly(daemon: Daemon, number: signal.Signals) -> None:
    """A signal ends it within the promised time, with a report."""
    began = time.monotonic()
    status = daemon.end(number)
    daemon.check(status == 0, f"{number.name}: exit status {status}")
    daemon.check(time.monotonic() - began < 30, f"{number.name}: it took {time.monotonic() - began:.0f} s")
    report = daemon.output[daemon.output.rfind("\nshutdown "):]
    head = rf"\nshutdown clean in [\d.]+ s of 30 s, {number.name}\n"
    daemon.check(re.match(head, report), "no shutdown report")
    daemon.check("sink history: written" in report, "no word of history")
    daemon.check("Traceback" not in daemon.output, "a traceback")
    daemon.check(" ERROR " not in daemon.output, "an error in the log")


def test_first_run(config: Path) -> None:
    """Everything in sync, the API answers, history fills; Ctrl+C ends it."""
    with running(config) as daemon:
        wait_flowing(daemon)
        assert len(watched(daemon)) >= STREAMS - 4  # funding comes rarely
        assert not any(row["open_gap"] for row in watched(daemon).values())
        status = daemon.get("/status")
        assert (status["running"], status["error"], status["shutdown_time"]) == (True, None, None)
        assert daemon.get("/version").keys() == {"version", "python_version", "timestamp"}
        assert daemon.get("/ready") == {"ready": True, "missing": {}}
        assert {row["state"] for row in daemon.get("/services")["services"]} == {"running"}
        for name in INSTRUMENTS:
            book = daemon.get("/books/" + name.replace(":", "/"), depth=50)
            assert book["in_sync"], name
            assert (len(book["bids"]), len(book["asks"])) == (50, 50)
            assert book["bids"][0][0] < book["asks"][0][0]
        wait_written(daemon, 500)
        at_us = int(time.time() * 1e6)
        wait_written(daemon, 500)
        then = book_of(daemon, at_us)
        assert (then["source"], then["at_us"], then["in_sync"]) == ("history", at_us, True)
        assert then == book_of(daemon, at_us)  # what is past does not change
        assert daemon.get("/books/binance/spot/DOGE/USDT", 404)["error"]["code"] == "unknown_instrument"
        end_cleanly(daemon, signal.SIGINT)
    assert state(config)["clean"] is True
    with history(in_folder(config, "data/history")) as client:
        check_nothing_twice(client)
        check_batches_whole(client)
        assert book_at(client, BTC, at_us).bids == [tuple(level) for level in then["bids"]]
        ended = gaps(client, "restart")
        assert {name for name, *_ in ended} == INSTRUMENTS
        assert not any(end for *_, end in ended)


def book_of(daemon: Daemon, at_us: int) -> Any:
    return daemon.get("/books/binance/spot/BTC/USDT", depth=0, at=at_us)


def test_second_run_resumes(config: Path) -> None:
    """History goes on, the time in between is a gap of every stream; the API stops and starts the workers."""
    with history(in_folder(config, "data/history")) as client:
        before = table_rows(client)
    with running(config) as daemon:
        wait_flowing(daemon)
        daemon.check("resuming after an orderly end" in daemon.output, "it does not say that it resumes")
        for _ in range(3):
            stop_and_start(daemon)
        wait_written(daemon, 300)
        end_cleanly(daemon, signal.SIGTERM)
    with history(in_folder(config, "data/history")) as client:
        check_nothing_twice(client)
        check_batches_whole(client)
        after = table_rows(client)
        assert all(after[table] > before[table] for table in ("trade", "book_delta", "book_snapshot", "gap"))
        restarts = gaps(client, "restart")
        for channel in ("orderbook", "trade"):
            ended = [name for name, of, begin, end in restarts if of == channel and end and end >= begin]
            assert {name: ended.count(name) for name in INSTRUMENTS} == dict.fromkeys(INSTRUMENTS, 4), channel


def stop_and_start(daemon: Daemon) -> None:
    """The API outlives the workers, and is the same after each start."""
    assert daemon.call("PUT", "/control", action="stop") == {"status": "stopped"}
    status = daemon.get("/status")
    assert (status["running"], status["error"], status["uptime"]) == (False, None, "0s")
    assert status["shutdown_time"] is not None
    assert daemon.get("/streams") == {"streams": []}
    assert daemon.get("/ready", 503)["missing"] == {"workers": ["they are stopped"]}
    daemon.get("/books/binance/spot/BTC/USDT", 404)
    assert daemon.call("PUT", "/control", action="stop") == {"status": "already stopped"}
    assert daemon.call("PUT", "/control", action="start") == {"status": "started"}
    assert daemon.call("PUT", "/control", action="start") == {"status": "already started"}
    assert daemon.get("/status")["running"] is True
    wait_flowing(daemon)


def test_killed_and_started_again(config: Path) -> None:
    """Without a chance to say goodbye: what history has stays right, and nothing is there twice."""
    with running(config) as daemon:
        wait_flowing(daemon)
        wait_written(daemon, 1_000)
        begun_us = daemon.get("/streams")["streams"][0]["last_received_us"] - 1_000_000
        daemon.kill()
        killed_us = int(time.time() * 1e6)
    assert state(config)["clean"] is False
    with history(in_folder(config, "data/history")) as client:
        check_nothing_twice(client)
        ((last_us,),) = client.rows("SELECT toUnixTimestamp64Micro(max(ts)) FROM book_delta")
        assert begun_us < last_us <= killed_us
    with running(config) as daemon:
        wait_flowing(daemon)
        daemon.check("resuming after an unexpected end" in daemon.output, "it does not say what happened")
        wait_written(daemon, 300)
        end_cleanly(daemon, signal.SIGTERM)
    with history(in_folder(config, "data/history")) as client:
        check_nothing_twice(client)
        check_batches_whole(client)
        check_books(client, killed_us)
        lost = [(name, of) for name, of, begin, end in gaps(client, "restart")
                if begin <= killed_us and end and end > killed_us]
        assert {(name, "orderbook") for name in INSTRUMENTS} <= set(lost)


def check_books(client: Any, killed_us: int) -> None:
    """SQL and replay agree on the books around the kill; while nobody watched, the book is not in sync."""
    for name in sorted(INSTRUMENTS):
        instrument = InstrumentId.parse(name)
        events = read_book(client, instrument, 0, killed_us + 60_000_000)
        for offset_us in (-5_000_000, -2_500_000, 100_000, 20_000_000):
            found = book_at(client, instrument, killed_us + offset_us)
            assert (found.bids, found.asks) == replay_book(events, killed_us + offset_us)
        assert book_at(client, instrument, killed_us + 100_000).in_sync is False


def test_the_seed_configuration_runs(tmp_path: Path) -> None:
    """The original's INI. It names a ClickHouse server that is not here: data waits in the spool, as told."""
    text = (EXAMPLES / "seed.ini").read_text()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and never listening, so that nobody answers there
        port = nobody.getsockname()[1]
        for old, new in (("port = 8080", "port = 0"), ("port = 8123", f"port = {port}"),
                         ("batch_interval_sec = 5", "batch_interval_sec = 1")):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        config = tmp_path / "seed.ini"
        config.write_text(text)
        with running(config) as daemon:
            daemon.wait("books in sync", 60, lambda: len(watched(daemon)) >= 6)
            daemon.wait("batches on disk", 30, lambda: sink(daemon)["spooled_batches"] >= 2)
            assert sink(daemon)["down"] is True
            daemon.wait_output("WARNING .*the sink is down, batches wait")
            status = daemon.end(signal.SIGTERM)
            daemon.check(status == 0, f"exit status {status}")
            told = re.search(r"sink sink \w+: spooled .*batches wait on disk", daemon.output)
            daemon.check(told, "the report says nothing of the spool")
            daemon.check("Traceback" not in daemon.output, "a traceback")
    assert (tmp_path / "state" / "daemon.state").is_file()


def sink(daemon: Daemon) -> dict[str, Any]:
    gauges = daemon.get("/gauges")["gauges"]
    found: dict[str, Any] = next(value for name, value in gauges.items() if name.startswith("sink "))
    return found


def test_a_dead_history_spools_and_drains_when_it_is_back(tmp_path: Path) -> None:
    """What was collected while history was away is in it afterwards, all of it."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        config = quickstart(tmp_path, ('"chdb:data/history"', f'"http://127.0.0.1:{nobody.getsockname()[1]}"'))
        with running(config) as daemon:
            daemon.wait("order books", 60, lambda: len(watched(daemon)) >= STREAMS - 8)
            daemon.wait("batches on disk", 30, lambda: sink(daemon)["spooled_batches"] >= 2)
            assert daemon.get("/ready", 503)["missing"] == {"sinks": ["sink history: not open"]}
            assert daemon.end(signal.SIGINT) == 0, daemon.output
            report = re.search(r"(\d+) batches wait on disk", daemon.output)
            daemon.check(report, "the report says nothing of the spool")
    config = quickstart(tmp_path)
    with running(config) as daemon:
        wait_flowing(daemon)
        daemon.wait("an empty spool", 30, lambda: sink(daemon)["spooled_batches"] == 0)
        end_cleanly(daemon, signal.SIGINT)
    with history(tmp_path / "data" / "history") as client:
        check_nothing_twice(client)
        check_batches_whole(client)
        ((runs,),) = client.rows("SELECT uniqExact(splitByChar('-', id)[1]) FROM batches")
        assert runs == 2


def refused(config: Path) -> str:
    """The one line that ``ctcore run`` ends with; its exit status says that the user can mend it."""
    process = Process([*CTCORE, "run", "--config", str(config)], config.parent)
    try:
        status = process.wait_end(END_SEC)
        process.check(status in (1, 2), f"exit status {status}")
        process.check("Traceback" not in process.output, "a traceback")
        told = [line for line in process.output.splitlines() if line.startswith("ctcore: ")]
        process.check(len(told) == 1, f"not one line but {len(told)}")
        return told[0]
    finally:
        process.kill()


def test_what_another_has_is_refused_in_one_line(tmp_path: Path) -> None:
    """The API's port, the state's directory, the history's folder."""
    for name in ("first", "port", "state", "history"):
        (tmp_path / name).mkdir()
    with running(quickstart(tmp_path / "first")) as first:
        wait_flowing(first)
        taken = first.url.rpartition(":")[2]
        port = quickstart(tmp_path / "port", ("port = 0", f"port = {taken}"))
        assert re.search(rf"server\.port: .*{taken}.* taken", refused(port))
        state = quickstart(tmp_path / "state", ('dir = "state"', f'dir = "{tmp_path}/first/state"'))
        assert f"in use by process {first.pid}" in refused(state)
        data = quickstart(tmp_path / "history", (
            '"chdb:data/history"', f'"chdb://{tmp_path}/first/data/history"'))
        assert "data/history" in refused(data)
        assert first.get("/ready")["ready"] is True
        end_cleanly(first, signal.SIGINT)
