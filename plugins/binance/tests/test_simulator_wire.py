"""The simulated venue's own wire: paths, answers, limits, refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
import trio
from ctdaemon_binance.driver import BinanceDriver
from ctdaemon_binance.simulator import BinanceSimulator
from trio.testing import MockClock

from ctcore.contracts.driver import HttpRequest, HttpResponse, SimulatorOptions
from ctcore.errors import ConnectionLost
from ctcore.model.ids import Market
from ctcore.testing.memory_network import MemoryNetwork
from ctcore.wire import websocket

HOST, PORT = "127.0.0.1", 9_001


class Client:
    """One raw WebSocket whose frames are read as JSON."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self.socket = socket
        self._waiting: list[Any] = []

    async def ask(self, method: str, *params: Any, request_id: Any = 7) -> Any:
        """Send a request and return its answer, which comes among data."""
        await self.socket.send(json.dumps({"method": method, "params": params, "id": request_id}))
        while True:
            message = await self.next()
            if isinstance(message, dict) and "id" in message:
                return message

    async def next(self) -> Any:
        while not self._waiting:
            self._waiting += [json.loads(frame) for frame in await self.socket.receive()]
        return self._waiting.pop(0)

    async def some(self, seconds: float) -> list[Any]:
        """Everything that comes within a time."""
        found = []
        with trio.move_on_after(seconds):
            while True:
                found.append(await self.next())
        return found

    async def closed(self) -> int:
        """The code the venue closes with."""
        try:
            while True:
                await self.next()
        except ConnectionLost as lost:
            return lost.code


@attrs.define
class Venue:
    simulator: BinanceSimulator
    network: MemoryNetwork
    http: httpx.AsyncClient

    async def get(self, path: str, **query: str) -> httpx.Response:
        return await self.http.get(path, params=query, headers={"connection": "close"})

    async def json(self, path: str, **query: str) -> Any:
        response = await self.get(path, **query)
        assert response.status_code == 200, response.text
        return response.json()

    @asynccontextmanager
    async def socket(self, path: str) -> AsyncIterator[Client]:
        socket = await websocket.connect(self.network, f"ws://{HOST}:{PORT}{path}", headers={})
        try:
            yield Client(socket)
        finally:
            await socket.aclose()


@asynccontextmanager
async def open_venue() -> AsyncIterator[Venue]:
    network, simulator = MemoryNetwork(), BinanceSimulator(SimulatorOptions(), start_us=1_770_000_000_000_000)
    base = f"http://{HOST}:{PORT}"
    async with trio.open_nursery() as nursery:
        await nursery.start(simulator.run, [network.listen(HOST, PORT)])
        async with httpx.AsyncClient(transport=network.http_transport(), base_url=base) as http:
            yield Venue(simulator, network, http)
        nursery.cancel_scope.cancel()


async def test_the_driver_reads_its_catalogues(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        driver = BinanceDriver(venue.simulator.endpoints(f"{HOST}:{PORT}"))
        for market in Market:
            (request,) = driver.instruments(market)
            answer = await venue.http.get(request.url)
            response = HttpResponse(request, answer.status_code, answer.content, dict(answer.headers))
            rows = {row.id.pair: row for row in driver.parse_instruments(market, [response])}
            assert {"BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT"} <= set(rows)
            truth = venue.simulator.markets[market]["BTCUSDT"].instrument
            ours = rows["BTC/USDT"]
            assert (ours.tick_size, ours.lot_size, ours.min_notional, ours.kind) == (
                truth.tick_size, truth.lot_size, truth.min_notional, truth.kind,
            )  # fmt: skip


@pytest.mark.parametrize("api", ["/api/v3", "/fapi/v1"])
async def test_calls_of_both_markets(autojump_clock: MockClock, api: str) -> None:
    async with open_venue() as venue:
        await trio.sleep(120)
        assert await venue.json(f"{api}/ping") == {}
        now_ms = (await venue.json(f"{api}/time"))["serverTime"]
        assert now_ms == 1_770_000_120_000
        book = await venue.json(f"{api}/depth", symbol="BTCUSDT", limit="10")
        assert (len(book["bids"]), len(book["asks"])) == (10, 10)
        best = await venue.json(f"{api}/ticker/bookTicker", symbol="BTCUSDT")
        assert [best["bidPrice"], best["bidQty"]] == book["bids"][0]
        trades = await venue.json(f"{api}/trades", symbol="BTCUSDT", limit="5")
        assert [trade["id"] for trade in trades] == list(range(trades[0]["id"], trades[0]["id"] + 5))
        assert (await venue.json(f"{api}/ticker/price", symbol="BTCUSDT"))["price"] == trades[-1]["price"]
        rows = await venue.json(f"{api}/aggTrades", symbol="BTCUSDT", limit="5")
        assert rows[-1]["l"] == trades[-1]["id"]
        bars = await venue.json(f"{api}/klines", symbol="BTCUSDT", interval="1m", limit="3")
        assert [bar[6] - bar[0] for bar in bars] == [59_999] * 3
        assert bars[-1][4] == trades[-1]["price"]
        day = await venue.json(f"{api}/ticker/24hr", symbol="BTCUSDT")
        assert day["lastPrice"] == trades[-1]["price"]
        assert len(await venue.json(f"{api}/ticker/24hr")) == 4


async def test_calls_of_futures_alone(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        mark = await venue.json("/fapi/v1/premiumIndex", symbol="BTCUSDT")
        assert mark["nextFundingTime"] % 28_800_000 == 0
        rates = await venue.json("/fapi/v1/fundingRate", symbol="BTCUSDT", limit="3")
        assert [row["fundingTime"] for row in rates] == sorted(row["fundingTime"] for row in rates)
        assert await venue.json("/fapi/v1/fundingInfo") == []
        assert float((await venue.json("/fapi/v1/openInterest", symbol="BTCUSDT"))["openInterest"]) > 0
        assert (await venue.get("/api/v3/premiumIndex", symbol="BTCUSDT")).status_code == 404


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("/api/v3/depth", {"symbol": "NOPE"}, 400, -1121),
        ("/api/v3/depth", {}, 400, -1102),
        ("/api/v3/depth", {"symbol": "BTCUSDT", "limit": "x"}, 400, -1130),
        ("/api/v3/depth", {"symbol": "BTCUSDT", "limit": "0"}, 400, -1130),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": "7"}, 400, -1130),
        ("/api/v3/klines", {"symbol": "BTCUSDT", "interval": "7m"}, 400, -1120),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1s"}, 400, -1120),
        ("/api/v3/ticker/price", {"symbols": "BTCUSDT"}, 400, -1130),
        ("/api/v3/account", {}, 401, -2014),
        ("/fapi/v1/order", {}, 401, -2014),
        ("/api/v3/nothing", {}, 404, -1000),
        ("/nothing", {}, 404, -1000),
    ],
)
async def test_refused_calls(
    autojump_clock: MockClock, path: str, query: dict[str, str], status: int, code: int
) -> None:
    async with open_venue() as venue:
        response = await venue.get(path, **query)
        assert (response.status_code, response.json()["code"]) == (status, code)


async def test_weights_are_counted_and_going_on_is_a_ban(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        books = [await venue.get("/api/v3/depth", symbol="BTCUSDT", limit="5000") for _ in range(24)]
        used = [answer.headers["x-mbx-used-weight-1m"] for answer in books]
        assert used == [str(250 * count) for count in range(1, 25)]
        statuses = [(await venue.get("/api/v3/ping")).status_code for _ in range(25)]
        assert set(statuses) == {429, 418}
        assert statuses == sorted(statuses, reverse=True)
        refused = await venue.get("/api/v3/ping")
        assert refused.json()["code"] == -1003
        driver = BinanceDriver(venue.simulator.endpoints(f"{HOST}:{PORT}"))
        request = HttpRequest("GET", "", "ping")
        response = HttpResponse(request, refused.status_code, refused.content, dict(refused.headers))
        assert 0 < driver.rate_notice(response).parked_sec <= 120
        assert (await venue.get("/fapi/v1/ping")).status_code == 200, "the markets count apart"
        await trio.sleep(121)
        assert (await venue.get("/api/v3/ping")).status_code == 200


async def test_streams_by_url_bare_and_combined(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        async with venue.socket("/ws/btcusdt@bookTicker/ethusdt@bookTicker/junk") as client:
            assert {message["s"] for message in await client.some(3)} == {"BTCUSDT", "ETHUSDT"}
        async with venue.socket("/stream?streams=btcusdt@bookTicker/btcusdt@depth@100ms") as client:
            found = await client.some(3)
            assert {message["stream"] for message in found} == {"btcusdt@bookTicker", "btcusdt@depth@100ms"}
        async with venue.socket("/fstream.binance.com/public/ws/btcusdt@bookTicker") as client:
            assert {message["e"] for message in await client.some(3)} == {"bookTicker"}


async def test_requests_and_their_answers(autojump_clock: MockClock) -> None:
    async with open_venue() as venue, venue.socket("/ws") as client:
        assert await client.ask("SUBSCRIBE", "btcusdt@bookTicker") == {"result": None, "id": 7}
        listed = await client.ask("LIST_SUBSCRIPTIONS", request_id="a")
        assert listed == {"result": ["btcusdt@bookTicker"], "id": "a"}
        assert (await client.ask("GET_PROPERTY", "combined"))["result"] is False
        assert (await client.ask("SET_PROPERTY", "combined", True))["result"] is None
        await trio.sleep(2)
        assert all("stream" in message for message in (await client.some(2))[-3:])
        assert await client.ask("UNSUBSCRIBE", "btcusdt@bookTicker") == {"result": None, "id": 7}
        await client.some(1)
        assert await client.some(3) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("junk", 3),
        ("[]", 2),
        ('{"method":"DANCE","params":[],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[5],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["btcusdt@nonsense"],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["btcusdt@depth7"],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["btcusdt@markPrice"],"id":1}', 2),
        ('{"method":"GET_PROPERTY","params":["colour"],"id":1}', 0),
        ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}', 1),
    ],
)
async def test_requests_that_are_refused(autojump_clock: MockClock, text: str, code: int) -> None:
    async with open_venue() as venue, venue.socket("/ws") as client:
        await client.socket.send(text)
        assert (await client.next())["code"] == code


async def test_an_unknown_symbol_and_a_wrong_path_are_acknowledged_and_silent(
    autojump_clock: MockClock
) -> None:
    async with open_venue() as venue, venue.socket("/public/ws") as client:
        answer = await client.ask("SUBSCRIBE", "nopeusdt@depth", "btcusdt@aggTrade", "btcusdt@markPrice@1s")
        assert answer == {"result": None, "id": 7}
        assert await client.some(10) == []


async def test_too_many_messages_end_the_connection(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        async with venue.socket("/ws") as client:
            for _ in range(6):
                await client.socket.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
            assert await client.closed() == 1008
        async with venue.socket("/market/ws") as client:
            for _ in range(10):
                await client.socket.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
            assert len(await client.some(2)) == 10


async def test_more_streams_than_a_connection_holds(autojump_clock: MockClock) -> None:
    async with open_venue() as venue, venue.socket("/ws") as client:
        names = [f"s{number}usdt@trade" for number in range(1025)]
        assert (await client.ask("SUBSCRIBE", *names))["code"] == 2
        assert (await client.ask("SUBSCRIBE", *names[1:]))["result"] is None
        assert (await client.ask("SUBSCRIBE", *names))["code"] == 2


async def test_the_private_socket_is_closed_politely(autojump_clock: MockClock) -> None:
    async with open_venue() as venue, venue.socket("/private/ws?listenKey=abc") as client:
        assert await client.closed() == 1008


async def test_all_market_streams(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        async with venue.socket("/ws/!miniTicker@arr") as client:
            assert len((await client.some(2))[0]) == 4
        async with venue.socket("/market/ws/!markPrice@arr@1s") as client:
            assert {row["s"] for row in (await client.some(2))[0]} >= {"BTCUSDT", "ETHUSDT"}
