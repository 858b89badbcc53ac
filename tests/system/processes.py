"""Commands of ``ctcore`` as processes of their own, with a deadline for everything that is waited for."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

END_SEC = 35.0  # the promise is 30
_PAUSE_SEC = 0.05
_TAIL = 12_000

Found = TypeVar("Found")


class Process:
    """A running command; what it prints, to either stream, goes to one file in the order it was printed."""

    def __init__(self, command: list[str], folder: Path, env: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("output*.txt"))) + 1
        self._file = folder / f"output{number}.txt"
        self.command = " ".join(command)
        with self._file.open("wb") as out:
            self._popen = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, "COLUMNS": "200", **(env or {})})

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._popen.pid

    @property
    def output(self) -> str:
        """Everything printed so far."""
        return self._file.read_text(errors="replace")

    def check(self, holds: object, what: str) -> None:
        """Fail, saying ``what`` and showing the output, unless something holds."""
        if not holds:
            raise AssertionError(f"{what}\n--- {self.command}\n{self.output[-_TAIL:]}")

    def wait(self, what: str, seconds: float, look: Callable[[], Found | None]) -> Found:
        """Look again and again until there is something to see; the process must live on meanwhile."""
        began = time.monotonic()
        while True:
            status = self._popen.poll()
            found = look()
            if found:
                return found
            self.check(status is None, f"ended with status {status} while waiting for {what}")
            self.check(time.monotonic() - began < seconds, f"no {what} within {seconds:g} s")
            time.sleep(_PAUSE_SEC)

    def wait_output(self, pattern: str, seconds: float = 30.0) -> re.Match[str]:
        """Wait until a line matches."""
        wanted = re.compile(pattern, re.MULTILINE)
        return self.wait(f"output {pattern!r}", seconds, lambda: wanted.search(self.output))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, return the exit status."""
        self._popen.send_signal(number)
        return self.wait_end()

    def wait_end(self, seconds: float = END_SEC) -> int:
        """Wait for the end and return the exit status."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.check(False, f"still there after {seconds:g} s")
            raise

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self._popen.kill()
        self._popen.wait()


class Daemon(Process):
    """``ctcore run`` and its API."""

    def __init__(self, config: Path) -> None:
        super().__init__([*CTCORE, "run", "--config", str(config)], config.parent)
        self._http = httpx.Client(trust_env=False, timeout=20.0)

    @property
    def url(self) -> str:
        """Where the API listens, as the log says."""
        return self.wait_output(r"API: listening on (http://\S+)")[1]

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """The answer to a call, which must have this status."""
        return self.call("GET", path, status, **query)

    def call(self, method: str, path: str, status: int = 200, **query: Any) -> Any:
        """As :meth:`get`, by any method."""
        answer = self._http.request(method, self.url + path, params=query)
        self.check(answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Wait until every stream is in sync and every sink open."""
        url = self.url
        self.wait("readiness", seconds, lambda: self._http.get(f"{url}/ready").status_code == 200)

    def close(self) -> None:
        """Let go of the API, and of the process if it is still there."""
        self._http.close()
        self.kill()


CTCORE = [sys.executable, "-m", "ctcore"]


def free_ports(count: int) -> list[int]:
    """Ports that nobody has at the moment."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def running(config: Path) -> Iterator[Daemon]:
    """A daemon, gone when the block ends, whatever happens."""
    daemon = Daemon(config)
    try:
        yield daemon
    finally:
        daemon.close()
