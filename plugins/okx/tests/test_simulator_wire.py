"""What the simulated venue says, by its documented wire."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from .simulated import START_US, open_venue

BOOKS = {"channel": "books", "instId": "BTC-USDT"}
START_MS = START_US // 1_000


async def test_a_book_is_a_snapshot_and_chained_updates(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        client = await venue.connect()
        await client.subscribe(BOOKS)
        ack = await client.next()
        assert (ack["event"], ack["arg"], ack["id"]) == ("subscribe", BOOKS, "t1")
        first = await client.next()
        assert (first["arg"], first["action"]) == (BOOKS, "snapshot")
        row = first["data"][0]
        assert (row["prevSeqId"], row["checksum"]) == (-1, 0)
        assert len(row["bids"]) == len(row["asks"]) == 400
        at, steps = row["seqId"], set()
        for _ in range(30):
            update = (await client.next_data("update"))["data"][0]
            assert update["prevSeqId"] == at
            steps.add(update["seqId"] - at)
            at = update["seqId"]
            assert [float(level[0]) for level in update["bids"]] == sorted(
                (float(level[0]) for level in update["bids"]), reverse=True)
        assert len(steps) > 3  # irregular


async def test_a_duplicate_subscribe_brings_no_snapshot(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        client = await venue.connect()
        await client.subscribe(BOOKS)
        await client.next_data("snapshot")
        await client.subscribe(BOOKS)
        seen = [await client.next() for _ in range(20)]
        assert [message["event"] for message in seen if "event" in message] == ["subscribe"]
        assert {message["action"] for message in seen if "data" in message} == {"update"}
        await client.subscribe(BOOKS, op="unsubscribe")
        await client.subscribe(BOOKS)
        await client.next_data("snapshot")


async def test_a_second_client_joins_the_same_chain(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        clients = [await venue.connect() for _ in range(2)]
        await clients[0].subscribe(BOOKS)
        await clients[0].next_data("snapshot")
        await trio.sleep(1.05)
        await clients[1].subscribe(BOOKS)
        at = (await clients[1].next_data("snapshot"))["data"][0]["seqId"]
        update = (await clients[1].next_data("update"))["data"][0]
        assert update["prevSeqId"] == at
        while (same := (await clients[0].next_data("update"))["data"][0])["prevSeqId"] != at:
            pass
        assert same == update


async def test_a_quiet_book_is_kept_alive(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        client = await venue.connect()
        venue.simulator.markets[next(iter(venue.simulator.markets))].halted = True
        await client.subscribe(BOOKS)
        at = (await client.next_data("snapshot"))["data"][0]["seqId"]
        begun = trio.current_time()
        with trio.move_on_after(29):
            await client.next()
        await client.send("ping")
        assert await client.next() == b"pong"
        with trio.move_on_after(29):
            await client.next()
        await client.send("ping")
        assert await client.next() == b"pong"
        row = (await client.next_data("update"))["data"][0]
        assert (row["prevSeqId"], row["seqId"], row["bids"], row["asks"]) == (at, at, [], [])
        assert 59 <= trio.current_time() - begun <= 61


@pytest.mark.parametrize(("socket", "arg"), [
    ("public", {"channel": "books", "instId": "NO-SUCH"}),
    ("public", {"channel": "candle1m", "instId": "BTC-USDT"}),
    ("business", BOOKS),
    ("public", {"channel": "funding-rate", "instId": "BTC-USDT"}),
    ("public", {"channel": "nonsense", "instId": "BTC-USDT"}),
])
async def test_what_a_socket_does_not_have(
    autojump_clock: MockClock, socket: str, arg: dict[str, str]
) -> None:
    async with open_venue() as venue:
        client = await venue.connect(socket)
        await client.subscribe(arg, {"channel": "trades", "instId": "BTC-USDT"})
        error = await client.next()
        assert (error["event"], error["code"]) == ("error", "60018")
        assert f"channel:{arg['channel']},instId:{arg['instId']} doesn't exist" in error["msg"]
        assert (await client.next())["event"] == ("subscribe" if socket == "public" else "error")


@pytest.mark.parametrize("message", ["{", "hello", '{"op":"dance","args":[]}', '{"op":1}', "[" * 50])
async def test_illegal_requests_leave_the_socket_open(autojump_clock: MockClock, message: str) -> None:
    async with open_venue() as venue:
        client = await venue.connect()
        await client.send(message)
        assert (await client.next())["code"] == "60012"
        await client.send("ping")
        assert await client.next() == b"pong"


async def test_logins_are_refused(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        client = await venue.connect("private")
        await client.send({"op": "login", "args": [{"apiKey": "x"}]})
        assert (await client.next())["code"] == "60009"


async def test_silence_for_30_seconds_closes(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        client = await venue.connect()
        begun = trio.current_time()
        assert await client.closed() == 4004
        assert 30 <= trio.current_time() - begun < 31


async def test_480_requests_an_hour(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        client = await venue.connect()
        arg = {"channel": "instruments", "instType": "SPOT"}
        for _ in range(240):
            await client.subscribe(arg)
            await client.subscribe(arg, op="unsubscribe")
        await client.subscribe(arg)
        answers = [await client.next() for _ in range(481)]
        assert [message.get("code") for message in answers[-2:]] == [None, "60014"]


async def test_a_notice_comes_before_the_end(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        client = await venue.connect()
        await client.subscribe({"channel": "instruments", "instType": "SPOT"})
        await client.next()
        venue.simulator.faults.request("venue_notice")
        notice = await client.next()
        assert (notice["event"], notice["code"]) == ("notice", "64008")
        assert await client.closed() == 1001


@pytest.mark.parametrize(("path", "query", "rows"), [
    ("public/time", {}, 1),
    ("public/instruments", {"instType": "SPOT"}, 4),
    ("public/instruments", {"instType": "SWAP", "instId": "BTC-USDT-SWAP"}, 1),
    ("public/instruments", {"instType": "FUTURES"}, 0),
    ("public/instruments", {"instType": "OPTION", "instFamily": "BTC-USD"}, 0),
    ("public/mark-price", {"instType": "SWAP"}, 4),
    ("public/mark-price", {"instId": "BTC-USDT-SWAP"}, 1),
    ("public/funding-rate", {"instId": "BTC-USDT-SWAP"}, 1),
    ("public/funding-rate-history", {"instId": "BTC-USDT-SWAP", "limit": "7"}, 7),
    ("public/open-interest", {"instType": "SWAP"}, 4),
    ("public/price-limit", {"instId": "BTC-USDT-SWAP"}, 1),
    ("market/books", {"instId": "BTC-USDT"}, 1),
    ("market/books-full", {"instId": "BTC-USDT", "sz": "1000"}, 1),
    ("market/ticker", {"instId": "BTC-USDT"}, 1),
    ("market/tickers", {"instType": "SPOT"}, 4),
    ("market/trades", {"instId": "BTC-USDT", "limit": "5"}, 5),
    ("market/history-trades", {"instId": "BTC-USDT", "limit": "5"}, 5),
    ("market/candles", {"instId": "BTC-USDT"}, 100),
    ("market/history-candles", {"instId": "BTC-USDT-SWAP", "bar": "1Dutc", "limit": "300"}, 300),
    ("market/index-tickers", {"instId": "BTC-USDT"}, 1),
    ("system/status", {}, 0),
])  # fmt: skip
async def test_calls_and_their_rows(
    autojump_clock: MockClock, path: str, query: dict[str, str], rows: int
) -> None:
    async with open_venue() as venue:
        await trio.sleep(10)
        data = await venue.data(path, **query)
        assert len(data) == rows
        for row in data:
            values = row.values() if isinstance(row, dict) else row
            assert all(isinstance(value, str | bool | int | list) for value in values)


@pytest.mark.parametrize(("path", "query", "status", "code"), [
    ("market/books", {"instId": "NO-SUCH"}, 200, "51001"),
    ("market/books", {}, 400, "50014"),
    ("market/books", {"instId": "BTC-USDT", "sz": "x"}, 400, "51000"),
    ("market/candles", {"instId": "BTC-USDT", "bar": "7m"}, 400, "51000"),
    ("public/instruments", {"instType": "CHEESE"}, 400, "51000"),
    ("public/funding-rate", {"instId": "BTC-USDT"}, 200, "51001"),
    ("account/balance", {}, 401, "50103"),
    ("market/nonsense", {}, 404, "404"),
])  # fmt: skip
async def test_refused_calls(
    autojump_clock: MockClock, path: str, query: dict[str, str], status: int, code: str
) -> None:
    async with open_venue() as venue:
        found, body = await venue.get(path, **query)
        assert (found, body["code"], body["data"]) == (status, code, [])
        assert body["msg"]


async def test_each_endpoint_has_its_own_limit(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        answers = [await venue.get("market/books", instId="BTC-USDT") for _ in range(41)]
        assert [status for status, _ in answers] == [200] * 40 + [429]
        assert answers[-1][1]["code"] == "50011"
        assert (await venue.get("market/ticker", instId="BTC-USDT"))[0] == 200
        await trio.sleep(2)
        assert (await venue.get("market/books", instId="BTC-USDT"))[0] == 200


async def test_candles_page_by_time_newest_first(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        minute = 60_000
        newest = START_MS // minute * minute
        bars = await venue.data("market/candles", instId="BTC-USDT", limit="5")
        assert [int(bar[0]) for bar in bars] == [newest - minute * n for n in range(5)]
        assert [bar[8] for bar in bars] == ["0", "1", "1", "1", "1"]
        older = await venue.data("market/candles", instId="BTC-USDT", limit="2", after=bars[1][0])
        assert older == bars[2:4]
        newer = await venue.data("market/candles", instId="BTC-USDT", before=bars[3][0])
        assert newer == bars[:3]


async def test_rest_and_stream_agree(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        client = await venue.connect()
        await client.subscribe(BOOKS, {"channel": "trades", "instId": "BTC-USDT"})
        snapshot = (await client.next_data("snapshot"))["data"][0]
        (row,) = await venue.data("market/books", instId="BTC-USDT", sz="400")
        assert {side: row[side] for side in ("bids", "asks")} == {s: snapshot[s] for s in ("bids", "asks")}
        assert row["seqId"] == snapshot["seqId"]
        seen: list[Any] = []
        while len(seen) < 5:
            message = await client.next_data()
            if message["arg"]["channel"] == "trades":
                seen += message["data"]
        told = {trade["tradeId"]: trade for trade in await venue.data("market/trades", instId="BTC-USDT")}
        for trade in seen:
            assert told[trade["tradeId"]].items() <= trade.items()


async def test_other_paths_are_not_there(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        response = await venue.http.get("/elsewhere")
        assert response.status_code == 404
