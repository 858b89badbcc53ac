"""The server itself, on a real loopback port."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import pytest
import trio
import trio.testing
from starlette.applications import Starlette

from ctcore.api import server
from ctcore.api.server import serve
from ctcore.errors import ConfigError

from .fake import TOKEN, FakeTarget, app_over, refusal


@asynccontextmanager
async def _serving(app: Starlette, stop: trio.Event, host: str = "127.0.0.1") -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:
        yield await nursery.start(partial(serve, app, host, 0, stop=stop))
        stop.set()


async def test_a_served_call() -> None:
    stop = trio.Event()
    async with _serving(app_over(port=0), stop) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/status")
        assert answer.json()["running"] is True
        assert "server" not in answer.headers
        assert refusal(await client.get("/status", headers={"host": "evil.example"}))[0] == 403
        assert refusal(await client.get("/books/binance/spot/BTC-USDT"))[2] == "path.pair"
        assert (await client.get("/books/binance/spot/BTC%2FUSDT?depth=0")).json()["levels"] == [50, 40]


async def test_a_call_under_way_is_answered_before_the_end() -> None:
    stop, target = trio.Event(), FakeTarget(gate=trio.Event())
    assert target.gate is not None
    answers: list[httpx.Response] = []

    async def ask(client: httpx.AsyncClient) -> None:
        answers.append(await client.put("/control?action=stop"))

    async with _serving(app_over(target, port=0), stop) as url, httpx.AsyncClient(base_url=url) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, client)
            while not target.calls:
                await trio.sleep(0.001)
            stop.set()
            await trio.sleep(0.02)
            with pytest.raises(httpx.ConnectError):
                await httpx.AsyncClient(base_url=url).get("/status")
            target.gate.set()
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"status": "stopped"})]


async def test_a_call_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE_SEC", 0.05)
    stop, target = trio.Event(), FakeTarget(gate=trio.Event())
    with trio.fail_after(2):
        async with _serving(app_over(target, port=0), stop) as url:
            stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
            await stream.send_all(_request(url, "PUT /control?action=stop"))
            while not target.calls:
                await trio.sleep(0.001)
            stop.set()
    async with stream:
        assert await stream.receive_some() == b""


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel has no such limit")
async def test_a_client_that_takes_no_answers_cannot_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE_SEC", 0.05)
    monkeypatch.setattr(server, "STALLED_SEC", 0.5)
    stop = trio.Event()
    with trio.fail_after(5):
        async with _serving(app_over(port=0), stop) as url:
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            plain.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(plain))
            request = _request(url, "GET /openapi.json") * 200
            with trio.move_on_after(0.5):
                await stream.send_all(request * 5)
            stop.set()
    await stream.aclose()


async def test_an_idle_connection_is_closed_at_once_at_the_end() -> None:
    stop = trio.Event()
    with trio.fail_after(2):
        async with _serving(app_over(port=0), stop) as url:
            stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
            await stream.send_all(_request(url, "GET /health"))
            assert b"alive" in await stream.receive_some()
            stop.set()
    async with stream:
        assert await stream.receive_some() == b""


async def test_a_body_that_nobody_reads_ends_the_connection() -> None:
    stop = trio.Event()
    with trio.fail_after(5):
        async with _serving(app_over(port=0), stop) as url:
            stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
            length = b"Content-Length: 4000000\r\n\r\n"
            await stream.send_all(_request(url, "PUT /control?action=stop").removesuffix(b"\r\n") + length)
            answer = await stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 413")
            await stream.aclose()


async def test_a_taken_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"^server.port: 127.0.0.1:{port} is taken .*set another port"):
            await serve(app_over(), "127.0.0.1", port, stop=trio.Event())


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("192.0.2.1", 0, "server.host: 192.0.2.1 is not an address of this machine"),
        ("not a name", 0, "server.host: 'not a name' is not an address"),
    ],
)
async def test_an_address_that_cannot_be_had(host: str, port: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        await serve(app_over(host="0.0.0.0", token=TOKEN), host, port, stop=trio.Event())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "trader.lan"])
async def test_without_a_token_nothing_but_loopback_is_served(host: str) -> None:
    with pytest.raises(ConfigError, match=r"^server.token: .* can be reached from outside"):
        await serve(app_over(), host, 0, stop=trio.Event())


async def test_localhost_is_served() -> None:
    stop = trio.Event()
    async with _serving(app_over(host="localhost", port=0), stop, "localhost") as url:
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/health")).status_code == 200


async def test_the_port_is_free_again_after_the_end() -> None:
    stop = trio.Event()
    async with _serving(app_over(port=0), stop) as url:
        port = int(url.rpartition(":")[2])
    again = trio.Event()
    async with trio.open_nursery() as nursery:
        assert await nursery.start(partial(serve, app_over(port=port), "127.0.0.1", port, stop=again)) == url
        again.set()


async def test_a_websockets_refusal_reaches_the_client() -> None:
    stop = trio.Event()
    async with _serving(app_over(port=0), stop) as url:
        stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
        upgrade = (b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        await stream.send_all(_request(url, "GET /status").removesuffix(b"\r\n") + upgrade)
        said = b""
        while b"websocket_refused" not in said:
            said += await stream.receive_some()
        assert said.startswith(b"HTTP/1.1 403")
        await stream.aclose()


def _request(url: str, line: str) -> bytes:
    return f"{line} HTTP/1.1\r\nHost: {url.removeprefix('http://')}\r\n\r\n".encode()
