"""A whole daemon on simulated exchanges, started, asked and ended as a user does it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

CONFIG = """
[exchanges.binance]
environment = "simulated"

[exchanges.okx]
environment = "simulated"

[monitor]
orderbook_depth = 20
batch_interval_sec = 0.2

[[monitor.subscriptions]]
exchange = "binance"
market = "spot"
pairs = ["BTC/USDT", "ETH/USDT"]
channels = ["orderbook", "trade"]

[[monitor.subscriptions]]
exchange = "okx"
market = "futures"
pairs = ["BTC/USDT"]
channels = ["orderbook", "trade", "mark"]

[sinks.history]
kind = "clickhouse"
url = "chdb:history"

[server]
port = {port}
token = "only-the-operator-knows"
"""
READY_SEC = 60


NO_DAEMON = r"""
import socket, sys
client, _ = socket.socket(fileno=int(sys.argv[1])).accept()
client.recv(9999)
client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ctcore", *arguments], cwd=folder, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "80"})


def wait_ready(url: str, running: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    while time.monotonic() - began < READY_SEC:
        assert running.poll() is None, running.communicate()
        try:
            if httpx.get(url, headers={"authorization": "Bearer only-the-operator-knows"}).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    pytest.fail(f"not ready within {READY_SEC} s")


@attrs.frozen
class Running:
    """A daemon that is ready, and its configuration."""

    config: Path
    process: subprocess.Popen[str]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    pytest.importorskip("chdb")
    folder = tmp_path_factory.mktemp("daemon")
    config, port = folder / "ctcore.toml", free_port()
    config.write_text(CONFIG.format(port=port))
    process = start("run", "--config", str(config), folder=folder)
    try:
        wait_ready(f"http://127.0.0.1:{port}/ready", process)
        yield Running(config, process)
    finally:
        process.kill()
        process.wait()


def ask(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, *rest = arguments
    done = start(command, "--config", str(running.config), *rest, folder=running.config.parent)
    out, err = done.communicate(timeout=60)
    return subprocess.CompletedProcess(arguments, done.returncode, out, err)


def told(running: Running, *arguments: str) -> dict[str, Any]:
    done = ask(running, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_status(daemon):
    done = ask(daemon, "status")
    shown = " ".join(done.stdout.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"binance spot 4 [\d,.]+ -?\d+ 0 2/2 books", shown)
    assert re.search(r"okx futures 3 [\d,.]+ -?\d+ 0 1/1 books", shown)
    assert re.search(r"history [\d,]+ \d+ 0 B 0 ok", shown)
    assert "ready: every stream is in sync, every sink open" in shown
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert told(daemon, "status")["running"] is True


def test_the_book_now(daemon):
    view = told(daemon, "books", "binance", "spot", "btc/usdt", "--depth", "3")
    assert (view["source"], view["in_sync"], view["symbol"], view["at_us"]) == ("live", True, "BTCUSDT", None)
    assert (len(view["bids"]), len(view["asks"])) == (3, 3)
    assert view["bids"][0][0] < view["asks"][0][0]
    shown = ask(daemon, "books", "okx", "futures", "BTC/USDT", "--depth", "2").stdout
    assert shown.startswith("okx futures BTC/USDT (BTC-USDT-SWAP)\nlive\n")
    assert re.search(r"\nspread [\d.]+; \d+ bids and \d+ asks in all\n", shown)


def test_a_pair_that_is_not_watched_is_told_with_those_that_are(daemon):
    done = ask(daemon, "books", "binance", "spot", "BTC/USD")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ctcore: binance:spot:BTC/USD is not watched; there are BTC/USDT, ETH/USDT\n"


def test_a_wrong_token_is_told(daemon, ctcore, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(daemon.config.read_text().replace("only-the-operator", "somebody-else"))
    refused = ctcore("status", "--config", other, status=2).stderr
    assert "server.token" in refused
    assert "somebody-else" not in refused


def test_the_end_and_history_with_and_without_a_daemon(daemon):
    """The same moment is asked of the daemon, which owns the embedded engine, and of the engine itself."""
    time.sleep(1.0)  # two batches of history
    at = str(time.time_ns() // 1_000 - 500_000)
    asked = "books", "binance", "spot", "BTC/USDT", "--at", at, "--depth", "0"
    through_daemon = told(daemon, *asked)
    assert (through_daemon["source"], through_daemon["in_sync"]) == ("history", True)

    daemon.process.send_signal(signal.SIGTERM)
    out, err = daemon.process.communicate(timeout=35)
    assert daemon.process.returncode == 0
    assert out.startswith("shutdown clean in ")
    assert "SIGTERM" in out.splitlines()[0]
    assert "Traceback" not in err
    assert "only-the-operator-knows" not in err + out
    assert (daemon.config.parent / "state" / "daemon.state").is_file()

    assert told(daemon, *asked) == through_daemon
    shown = ask(daemon, *asked[:-1], "2").stdout
    assert "history, at " in shown
    never = ask(daemon, "books", "binance", "spot", "BTC/USD", "--at", at)
    assert (never.returncode, never.stderr) == (
        2, "ctcore: history holds nothing of binance:spot:BTC/USD; there are BTC/USDT, ETH/USDT\n")
    early = ask(daemon, "books", "binance", "spot", "BTC/USDT", "--at", "2020-01-01")
    assert early.returncode == 2
    assert "at 2020-01-01T00:00:00.000000Z; its first one is of " in early.stderr


def test_no_history_yet(ctcore, config):
    asked = "books", "--config", config, "binance", "spot", "BTC/USDT", "--at", "2026-01-01"
    assert "configure a sink of kind clickhouse" in ctcore(*asked, status=2).stderr
    sink = '[sinks.clickhouse]\nurl = "chdb:nothing"'
    config.write_text(config.read_text().replace("[sinks.memory]", sink))
    assert "holds no history yet" in ctcore(*asked, status=2).stderr
    assert not Path("nothing").exists()


def test_something_else_at_the_port(ctcore, config):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        config.write_text(config.read_text().replace("port = 1", f"port = {port}"))
        os.set_inheritable(server.fileno(), True)
        other = [sys.executable, "-c", NO_DAEMON, str(server.fileno())]
        with subprocess.Popen(other, close_fds=False):
            refused = ctcore("status", "--config", config, status=1)
    assert refused.stderr == (
        f"ctcore: what answers at http://127.0.0.1:{port} is no ctcore daemon; correct server.port\n")


def test_a_port_that_is_taken_ends_run_with_one_line(config):
    with socket.create_server(("127.0.0.1", 0)) as server:
        config.write_text(config.read_text().replace("port = 1", f"port = {server.getsockname()[1]}"))
        done = start("run", "--config", "ctcore.toml", folder=config.resolve().parent)
        out, err = done.communicate(timeout=60)
    assert (done.returncode, out) == (2, "")
    assert err.splitlines()[-1].startswith("ctcore: server.port: 127.0.0.1:")
    assert "Traceback" not in err


def wait_until_signals_are_heard(running):
    """Python's own start dies of a signal; what ctcore does begins when it has taken SIGTERM over."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        status = Path(f"/proc/{running.pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)
    raise AssertionError("SIGTERM was not taken over within 30 s")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see signal handlers")
@pytest.mark.parametrize("wait_sec", [0.0, 0.5, 1.0])
def test_a_signal_before_everything_is_up_ends_it_cleanly(config, wait_sec):
    config.write_text(config.read_text().replace("port = 1", "port = 0"))
    for number in (signal.SIGTERM, signal.SIGINT):
        running = start("run", "--config", "ctcore.toml", folder=config.resolve().parent)
        wait_until_signals_are_heard(running)
        time.sleep(wait_sec)
        running.send_signal(number)
        _, err = running.communicate(timeout=35)
        assert running.returncode == 0, err
        assert "Traceback" not in err
