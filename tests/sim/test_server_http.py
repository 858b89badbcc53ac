"""HTTP of a simulated venue: keep-alive, bad requests, faults, the control routes."""

from __future__ import annotations

import httpx
import pytest
import trio

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def raw(venue, data, *, patience=5):
    """Send bytes as they are; what is answered until the server hangs up or falls silent."""
    stream = await venue.network.connect("acme", 80)
    answer = b""
    with trio.move_on_after(patience):
        await stream.send_all(data)
        while chunk := await stream.receive_some():
            answer += chunk
    await trio.aclose_forcefully(stream)
    return answer


async def test_calls_reach_the_dialect(venue, autojump_clock):
    response = await venue.http.post("/a%20b/c", params={"x": "1 2", "y": ""}, content=b"body")
    assert response.json() == {
        "method": "POST", "path": "/a b/c", "query": {"x": "1 2", "y": ""}, "body": "body", "peer": "memory",
    }


async def test_connections_are_kept(venue, autojump_clock):
    answer = await raw(venue, b"GET /one HTTP/1.1\r\nHost: x\r\n\r\nGET /two HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b"/two" in answer
    closed = await raw(venue, b"GET /one HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", patience=1_000)
    assert b"connection: close" in closed.lower()
    assert venue.server.statistics().http_requests == 3


async def test_an_idle_connection_is_closed(venue, autojump_clock):
    before = trio.current_time()
    assert await raw(venue, b"", patience=1_000) == b""
    assert trio.current_time() - before == pytest.approx(75, abs=1)


@pytest.mark.parametrize(("data", "status"), [
    (b"nonsense\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n", b"400"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n", b"400"),
    (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"431"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10001\r\n\r\n" + b"x" * 10_001, b"413"),
    (b"GET /elsewhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"404"),
    (b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"400"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
])
async def test_bad_requests(venue, autojump_clock, data, status):
    answer = await raw(venue, data, patience=1_000)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert (await venue.http.get("/fine")).status_code == 200


async def test_a_client_that_leaves_in_the_middle_hurts_nobody(venue, autojump_clock):
    stream = await venue.network.connect("acme", 80)
    await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    await stream.aclose()
    assert (await venue.http.get("/fine")).status_code == 200


async def test_errors_of_the_dialect_are_answers(venue, autojump_clock):
    response = await venue.http.get("/refuse")
    assert (response.status_code, response.json()) == (403, {"code": "-1", "msg": "no"})


@pytest.mark.parametrize("status", [429, 418, 500])
async def test_refusals(venue, autojump_clock, status):
    await venue.fault(f"http_{status}", count=2)
    seen = [(await venue.http.get("/x")).status_code for _ in range(3)]
    assert seen == [status, status, 200]
    history = (await venue.http.get("/_sim/faults")).json()["history"]
    assert [strike["kind"] for strike in history] == [f"http_{status}"] * 2


async def test_refusals_of_one_symbol(venue, autojump_clock):
    await venue.fault("http_500", symbol="BTCUSDT")
    assert (await venue.http.get("/x", params={"symbol": "XRPUSDT"})).status_code == 200
    assert (await venue.http.get("/x", params={"symbol": "BTCUSDT"})).status_code == 500


async def test_slow_answers_are_slow_in_market_time(open_venue, autojump_clock):
    venue = await open_venue(speed=10.0)
    await venue.fault("slow_http", duration_us=20_000_000)
    before = trio.current_time()
    assert (await venue.http.get("/x")).status_code == 200
    assert trio.current_time() - before == pytest.approx(2.0, abs=0.1)
    await venue.fault("slow_http", duration_us=20_000_000)
    with pytest.raises(httpx.ReadTimeout):
        await venue.http.get("/x", timeout=1)
    assert (await venue.http.get("/x")).status_code == 200


async def test_the_true_book(venue, autojump_clock):
    await trio.sleep(3)
    book = venue.server.markets["futures"]["ETHUSDT"].book
    told = (await venue.http.get("/_sim/book", params={"market": "futures", "symbol": "ETHUSDT"})).json()
    levels = book.levels()
    item = venue.server.markets["futures"]["ETHUSDT"]
    assert told == {
        "update_id": levels.update_id, "bids": item.texts(levels.bids), "asks": item.texts(levels.asks),
    }
    top = (await venue.http.get("/_sim/book?market=futures&symbol=ETHUSDT&depth=5")).json()
    assert top["bids"] == told["bids"][:5]


async def test_pause(venue, autojump_clock):
    await venue.http.post("/_sim/pause", json={"paused": True})
    ask = "/_sim/book?market=spot&symbol=BTCUSDT&depth=1"
    first = (await venue.http.get(ask)).json()
    await trio.sleep(100)
    assert (await venue.http.get(ask)).json() == first
    await venue.http.post("/_sim/pause", json={"paused": False})
    await trio.sleep(5)
    assert (await venue.http.get(ask)).json()["update_id"] > first["update_id"]


async def test_status(venue, autojump_clock):
    await trio.sleep(2)
    status = (await venue.http.get("/_sim/status")).json()
    assert status["speed"] == 1.0
    assert status["statistics"]["publishes"] == pytest.approx(20, abs=1)
    assert set(status["markets"]["spot"]) == {"BTCUSDT", "XRPUSDT"}
    assert status["markets"]["spot"]["BTCUSDT"]["bids"] > 100


@pytest.mark.parametrize(("method", "path", "body", "status"), [
    ("POST", "/_sim/faults", b'{"kind":"nonsense"}', 400),
    ("POST", "/_sim/faults", b'{"kind":"gap","extra":1}', 400),
    ("POST", "/_sim/faults", b'{"kind":"gap","count":"x"}', 400),
    ("POST", "/_sim/faults", b"\xff{", 400),
    ("POST", "/_sim/pause", b"[]", 400),
    ("GET", "/_sim/book?market=options&symbol=BTCUSDT", b"", 400),
    ("GET", "/_sim/book?symbol=NOPE", b"", 400),
    ("GET", "/_sim/book?symbol=BTCUSDT&depth=-1", b"", 400),
    ("GET", "/_sim/nothing", b"", 404),
    ("DELETE", "/_sim/faults", b"", 404),
])
async def test_bad_control_calls(venue, autojump_clock, method, path, body, status):
    response = await venue.http.request(method, path, content=body)
    assert response.status_code == status
    assert response.json()["error"]
