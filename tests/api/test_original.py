"""The three calls of the original, to the letter."""

from __future__ import annotations

import platform

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from ctcore import __version__
from ctcore.api.routes_control import uptime_text
from ctcore.errors import ConfigError

from .fake import NOW_US, FakeTarget, app_over, call, refusal


async def test_status_while_running() -> None:
    answer = await call("GET", "/status")
    assert answer.status_code == 200
    assert answer.json() == {
        "running": True, "uptime": "2h 30m", "start_time": "2026-01-31T21:30:00Z", "shutdown_time": None,
        "error": None,
    }


async def test_status_after_a_failure() -> None:
    target = FakeTarget(running=False, uptime_sec=61, shutdown_us=NOW_US, error="StorageError: disk full")
    answer = await call("GET", "/status", target)
    assert answer.json()["shutdown_time"] == "2026-02-01T00:00:00.5Z"
    assert answer.json()["error"] == "StorageError: disk full"
    assert answer.json()["running"] is False


async def test_status_before_the_first_start() -> None:
    answer = await call("GET", "/status", FakeTarget(running=False, started_us=None, uptime_sec=0))
    assert (answer.json()["start_time"], answer.json()["uptime"]) == (None, "0s")


async def test_version() -> None:
    answer = await call("GET", "/version")
    assert answer.json() == {
        "version": __version__, "python_version": platform.python_version(),
        "timestamp": "2026-02-01T00:00:00.5Z",
    }


@pytest.mark.parametrize(
    ("running", "action", "said"),
    [
        (True, "start", "already started"),
        (False, "start", "started"),
        (True, "stop", "stopped"),
        (False, "stop", "already stopped"),
    ],
)
async def test_control(running: bool, action: str, said: str) -> None:
    target = FakeTarget(running=running)
    answer = await call("PUT", f"/control?action={action}", target)
    assert (answer.status_code, answer.json()) == (200, {"status": said})
    assert target.calls == [action]
    assert target.running is (action == "start")


async def test_only_one_of_two_stops_claims_it() -> None:
    target = FakeTarget(gate=trio.Event())
    app = app_over(target)
    said: list[str] = []

    async def stop() -> None:
        said.append((await call("PUT", "/control?action=stop", app=app)).json()["status"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        nursery.start_soon(stop)
        await trio.testing.wait_all_tasks_blocked()
        assert target.calls == ["stop"]
        assert target.gate is not None
        target.gate.set()
    assert sorted(said) == ["already stopped", "stopped"]


async def test_a_start_that_fails_tells_why() -> None:
    target = FakeTarget(broken=ConfigError("monitor.pairs: is empty"))
    answer = await call("PUT", "/control?action=start", target)
    assert refusal(answer) == (409, "configuration", None)
    assert "monitor.pairs: is empty" in answer.text


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH"])
async def test_control_takes_put_only(method: str) -> None:
    target = FakeTarget()
    answer = await call(method, "/control?action=stop", target)
    assert refusal(answer) == (405, "method_not_allowed", "method")
    assert answer.headers["allow"] == "PUT"
    assert target.calls == []


@pytest.mark.parametrize("path", ["/status", "/version"])
async def test_what_is_read_cannot_be_put(path: str) -> None:
    answer = await call("PUT", path)
    assert refusal(answer) == (405, "method_not_allowed", "method")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"), (0, "0s"), (0.99, "0s"), (59.9, "59s"), (60, "1m"), (61, "1m 1s"), (3_600, "1h"),
        (3_605, "1h 0m 5s"), (9_000, "2h 30m"), (86_400, "1d"), (86_461, "1d 0h 1m 1s"),
        (95_025, "1d 2h 23m 45s"),
    ],
)
def test_uptime(seconds: float, text: str) -> None:
    assert uptime_text(seconds) == text


@given(st.integers(0, 10**9))
def test_uptime_adds_up(seconds: int) -> None:
    sizes = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
    assert sum(int(part[:-1]) * sizes[part[-1]] for part in uptime_text(seconds).split()) == seconds
