"""Whatever is wrong with a parameter is answered with a 4xx that names the place."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .fake import FakeTarget, call, refusal

BOOK = "/books/binance/spot/BTC/USDT"


@pytest.mark.parametrize(
    ("method", "path", "code", "place"),
    [
        ("PUT", "/control", "missing_parameter", "query.action"),
        ("PUT", "/control?action=", "invalid_parameter", "query.action"),
        ("PUT", "/control?action=START", "invalid_parameter", "query.action"),
        ("PUT", "/control?action=restart", "invalid_parameter", "query.action"),
        ("PUT", "/control?action=start&action=stop", "invalid_parameter", "query.action"),
        ("PUT", "/control?action=start&now=1", "unknown_parameter", "query.now"),
        ("GET", "/status?x=1", "unknown_parameter", "query.x"),
        ("GET", "/openapi.json?v=3", "unknown_parameter", "query.v"),
        ("GET", "/streams?market=margin", "invalid_parameter", "query.market"),
        ("GET", "/streams?channel=books", "invalid_parameter", "query.channel"),
        ("GET", "/streams?exchange=bin%20ance", "invalid_parameter", "query.exchange"),
        ("GET", "/streams?exchange=", "invalid_parameter", "query.exchange"),
        ("GET", "/streams?pair=BTCUSDT", "invalid_parameter", "query.pair"),
        ("GET", "/streams?symbol=BTC/USDT", "unknown_parameter", "query.symbol"),
        ("GET", f"{BOOK}?depth=-1", "invalid_parameter", "query.depth"),
        ("GET", f"{BOOK}?depth=5001", "invalid_parameter", "query.depth"),
        ("GET", f"{BOOK}?depth=ten", "invalid_parameter", "query.depth"),
        ("GET", f"{BOOK}?depth=1.5", "invalid_parameter", "query.depth"),
        ("GET", f"{BOOK}?depth=", "invalid_parameter", "query.depth"),
        ("GET", f"{BOOK}?depth=nan", "invalid_parameter", "query.depth"),
        ("GET", f"{BOOK}?depth={'9' * 400}", "invalid_parameter", "query.depth"),
        ("GET", f"{BOOK}?depth=1&depth=2", "invalid_parameter", "query.depth"),
        ("GET", f"{BOOK}?at=", "invalid_parameter", "query.at"),
        ("GET", f"{BOOK}?at=yesterday", "invalid_parameter", "query.at"),
        ("GET", f"{BOOK}?at=-5", "invalid_parameter", "query.at"),
        ("GET", f"{BOOK}?at=inf", "invalid_parameter", "query.at"),
        ("GET", f"{BOOK}?at=1900-01-01", "invalid_parameter", "query.at"),
        ("GET", f"{BOOK}?at=2026-02-01T00:02:00Z", "invalid_parameter", "query.at"),
        ("GET", f"{BOOK}?at=99999999999999999", "invalid_parameter", "query.at"),
        ("GET", f"{BOOK}?at=2026-02-30", "invalid_parameter", "query.at"),
        ("GET", f"{BOOK}?at={'1' * 41}", "invalid_parameter", "query.at"),
        ("GET", f"{BOOK}?when=now", "unknown_parameter", "query.when"),
        ("GET", "/books/binance/margin/BTC/USDT", "invalid_parameter", "path.market"),
        ("GET", "/books/bin.ance/spot/BTC/USDT", "invalid_parameter", "path.exchange"),
        ("GET", "/books/binance/spot/BTC-USDT", "invalid_parameter", "path.pair"),
        ("GET", "/books/binance/spot/BTC/USDT/20", "invalid_parameter", "path.pair"),
        ("GET", "/books/binance/spot//USDT", "invalid_parameter", "path.pair"),
        ("GET", "/books/binance/spot/BTC/", "invalid_parameter", "path.pair"),
        ("GET", "/books/binance/spot/", "invalid_parameter", "path.pair"),
    ],
)
async def test_bad_parameters(method: str, path: str, code: str, place: str) -> None:
    target = FakeTarget()
    assert refusal(await call(method, path, target)) == (400, code, place)
    assert target.calls == []
    assert target.asked == []


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/status/", "//status", "/STATUS", "/books", "/books/binance", "/plugins/x"])
async def test_paths_that_lead_nowhere(path: str) -> None:
    assert refusal(await call("GET", path)) == (404, "not_found", "path")


async def test_a_message_tells_what_would_be_right() -> None:
    message = (await call("GET", f"{BOOK}?depth=5001")).json()["error"]["message"]
    assert "5000" in message
    assert "0 is the whole book" in message


async def test_an_absurd_parameter_is_not_repeated_at_length() -> None:
    answer = await call("GET", f"{BOOK}?{'x' * 5_000}=1")
    assert refusal(answer)[:2] == (400, "unknown_parameter")
    assert len(answer.content) < 600


ODD = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(name=st.sampled_from(["depth", "at"]), value=ODD)
@settings(deadline=None, max_examples=150)
async def test_any_text_as_a_parameter(name: str, value: str) -> None:
    answer = await call("GET", f"{BOOK}?{name}={quote(value, safe='')}")
    if answer.status_code != 200:
        assert refusal(answer) == (400, "invalid_parameter", f"query.{name}")


@given(exchange=ODD, market=ODD, pair=ODD)
@settings(deadline=None, max_examples=150)
async def test_any_text_in_the_path(exchange: str, market: str, pair: str) -> None:
    parts = "/".join(quote(part, safe="") for part in (exchange, market, pair))
    answer = await call("GET", f"/books/{parts}")
    status, _, place = refusal(answer)
    assert status in (400, 404)
    assert place in ("path", "path.exchange", "path.market", "path.pair")


@given(depth=st.integers(-10, 6_000))
@settings(deadline=None)
async def test_every_depth(depth: int) -> None:
    answer = await call("GET", f"{BOOK}?depth={depth}")
    assert answer.status_code == (200 if 0 <= depth <= 5_000 else 400)
