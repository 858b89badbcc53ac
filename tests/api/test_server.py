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
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

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
    async with _serving(app_over(target, port=0), stop) as url:
        asking = await _connect(url)
        await asking.send_all(_request(url, "PUT /control?action=stop"))
        await target.asked_to_turn.wait()
        stop.set()
        await _refused(url)
        target.gate.set()
        assert b'{"status":"stopped"}' in await _until(asking, b"stopped")
    await asking.aclose()


async def test_a_call_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE_SEC", 0.05)
    stop, target = trio.Event(), FakeTarget(gate=trio.Event())
    with trio.fail_after(2):
        async with _serving(app_over(target, port=0), stop) as url:
            stream = await _connect(url)
            await stream.send_all(_request(url, "PUT /control?action=stop"))
            await target.asked_to_turn.wait()
            stop.set()
    async with stream:
        assert await stream.receive_some() == b""


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel has no such limit")
async def test_a_client_that_takes_no_answers_cannot_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE_SEC", 0.05)
    monkeypatch.setattr(server, "STALLED_SEC", 0.3)
    stop, asked = trio.Event(), trio.Event()

    async def huge(_: Request) -> PlainTextResponse:
        asked.set()
        return PlainTextResponse("x" * 50_000_000)  # more than the kernel's buffers hold

    app = app_over(port=0, plugin_routes={"demo": [Route("/huge", huge)]})
    with trio.fail_after(10):
        async with _serving(app, stop) as url:
            stream = await _connect(url)
            await stream.send_all(_request(url, "GET /plugins/demo/huge"))
            await asked.wait()
            stop.set()
    await stream.aclose()


async def test_an_idle_connection_is_closed_at_once_at_the_end() -> None:
    stop = trio.Event()
    with trio.fail_after(2):
        async with _serving(app_over(port=0), stop) as url:
            stream = await _connect(url)
            await stream.send_all(_request(url, "GET /health"))
            await _until(stream, b"alive")
            stop.set()
    async with stream:
        assert await stream.receive_some() == b""


async def test_a_body_that_nobody_reads_ends_the_connection() -> None:
    stop = trio.Event()
    with trio.fail_after(5):
        async with _serving(app_over(port=0), stop) as url:
            stream = await _connect(url)
            length = b"Content-Length: 4000000\r\n\r\n"
            await stream.send_all(_request(url, "PUT /control?action=stop").removesuffix(b"\r\n") + length)
            assert (await _until(stream, b"too_large")).startswith(b"HTTP/1.1 413")
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
    app = app_over(host="localhost", port=0)
    async with _serving(app, stop, "localhost") as url, httpx.AsyncClient(base_url=url) as client:
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
        stream = await _connect(url)
        upgrade = (b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        await stream.send_all(_request(url, "GET /status").removesuffix(b"\r\n") + upgrade)
        assert (await _until(stream, b"websocket_refused")).startswith(b"HTTP/1.1 403")
        await stream.aclose()


async def _connect(url: str) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))


async def _refused(url: str) -> None:
    """Return once the port takes no more connections."""
    while True:
        try:
            stream = await _connect(url)
        except OSError:
            return
        await stream.aclose()


async def _until(stream: trio.SocketStream, end: bytes) -> bytes:
    said = b""
    while end not in said:
        more = await stream.receive_some()
        assert more, said
        said += more
    return said


def _request(url: str, line: str) -> bytes:
    return f"{line} HTTP/1.1\r\nHost: {url.removeprefix('http://')}\r\n\r\n".encode()
