"""Health, readiness, services, gauges and plugins."""

from __future__ import annotations

from .fake import NOW_US, FakeTarget, call, refusal


async def test_health_asks_nothing_of_the_daemon() -> None:
    answer = await call("GET", "/health", FakeTarget(broken=RuntimeError("boom")))
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_ready() -> None:
    answer = await call("GET", "/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "missing": {}})


async def test_not_ready_says_what_is_missing() -> None:
    missing = {"streams": ["binance:spot:BTC/USDT orderbook"], "sinks": ["clickhouse"]}
    answer = await call("GET", "/ready", FakeTarget(missing=missing))
    assert refusal(answer) == (503, "not_ready", "missing")
    assert answer.json()["ready"] is False
    assert answer.json()["missing"] == missing


async def test_services() -> None:
    rows = (await call("GET", "/services")).json()["services"]
    assert [row["name"] for row in rows] == ["feed binance spot 1", "sink"]
    assert rows[1] == {
        "name": "sink", "state": "backing_off", "since_us": NOW_US, "restarts": 3,
        "last_error": "StorageError: full", "error_us": NOW_US, "next_start_us": NOW_US + 5,
    }


async def test_gauges_and_plugins() -> None:
    assert (await call("GET", "/gauges")).json() == {"gauges": FakeTarget().gauges()}
    assert (await call("GET", "/plugins")).json() == {"plugins": FakeTarget().plugins()}


async def test_head_answers_without_a_body() -> None:
    answer = await call("HEAD", "/status")
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0
