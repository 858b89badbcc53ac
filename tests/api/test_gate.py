"""The outermost layer: errors that get no further, headers, limits, and plugins' routes behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from loguru import logger
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from ctcore.api.gate import BODY_LARGEST, CALLS_MOST
from ctcore.errors import StorageError

from .fake import TOKEN, FakeTarget, app_over, call, client_of, refusal


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lines.append, format="{level} {message}")
    yield lines
    logger.remove(handler)


async def test_an_unexpected_error_is_told_as_an_id(log: list[str]) -> None:
    answer = await call("GET", "/status", FakeTarget(broken=RuntimeError("kitchen is on fire")))
    assert refusal(answer) == (500, "internal", None)
    error = answer.json()["error"]
    assert "kitchen" not in answer.text
    assert error["id"] in error["message"]
    written = "".join(log)
    assert error["id"] in written
    assert "kitchen is on fire" in written
    assert "Traceback" in written
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_errors_of_a_nursery(log: list[str]) -> None:
    group = ExceptionGroup("", [StorageError("disk full"), ValueError("odd")])
    answer = await call("GET", "/status", FakeTarget(broken=group))
    assert refusal(answer) == (500, "internal", None)
    assert "disk full" in "".join(log)


async def test_an_expected_error_of_a_nursery_is_told() -> None:
    target = FakeTarget(broken=ExceptionGroup("", [StorageError("full")]))
    answer = await call("PUT", "/control?action=stop", target)
    assert refusal(answer) == (503, "unavailable", None)


async def test_cancellation_goes_through() -> None:
    target = FakeTarget(gate=trio.Event())
    with trio.move_on_after(0) as scope:
        await call("PUT", "/control?action=stop", target)
    assert scope.cancelled_caught


@pytest.mark.parametrize("path", ["/status", "/nothing", "/status?x=1"])
async def test_every_answer_has_the_headers(path: str) -> None:
    headers = (await call("GET", path)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers


async def test_more_calls_than_can_be_served_are_refused_at_once() -> None:
    target = FakeTarget(gate=trio.Event())
    async with client_of(app_over(target)) as client, trio.open_nursery() as nursery:
        for _ in range(CALLS_MOST):
            nursery.start_soon(client.put, "/control?action=stop")
        await trio.testing.wait_all_tasks_blocked()
        answer = await client.get("/status")
        assert refusal(answer) == (429, "busy", None)
        assert answer.headers["retry-after"] == "1"
        assert target.gate is not None
        target.gate.set()
    async with client_of(app_over(target)) as client:
        assert (await client.get("/status")).status_code == 200


async def _echo(request: Request) -> PlainTextResponse:
    """Say how long the body was.

    A second paragraph that the document leaves out.
    """
    return PlainTextResponse(str(len(await request.body())))


async def _teapot(_: Request) -> PlainTextResponse:
    raise HTTPException(418, "short and stout")


async def _broken(_: Request) -> PlainTextResponse:
    raise ZeroDivisionError("plugin's own")


async def _page(_: Request) -> HTMLResponse:
    return HTMLResponse("<p>", headers={"content-security-policy": "default-src 'self'"})


def _in_thread(_: Request) -> PlainTextResponse:
    return PlainTextResponse("sync")


async def _breaks_off(_: Request) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"begun"
        raise ZeroDivisionError("half way")
    return StreamingResponse(parts())


async def _socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


PLUGIN = {"ctdaemon-demo": [
    Route("/echo", _echo, methods=["POST"]),
    Route("/teapot", _teapot),
    Route("/broken", _broken),
    Route("/page", _page),
    Route("/sync", _in_thread),
    Route("/breaks-off", _breaks_off),
    Mount("/deep", routes=[Route("/{name}/{rest:path}", _page)]),
    WebSocketRoute("/live", _socket),
]}
LIVE = "/plugins/ctdaemon-demo/live"


def _app(**options: Any) -> Starlette:
    return app_over(plugin_routes=PLUGIN, **options)


async def _plugin(method: str, path: str, **options: Any) -> httpx.Response:
    return await call(method, f"/plugins/ctdaemon-demo{path}", app=_app(), **options)


async def test_plugins_routes() -> None:
    assert (await _plugin("POST", "/echo", content=b"12345")).text == "5"
    assert (await _plugin("GET", "/sync")).text == "sync"
    assert (await _plugin("GET", "/deep/a/b/c")).text == "<p>"
    assert "ctdaemon-okx" in (await call("GET", "/plugins", app=_app())).text


async def test_plugins_errors_have_the_one_shape() -> None:
    assert refusal(await _plugin("GET", "/teapot"))[:2] == (418, "i'm_a_teapot")
    assert refusal(await _plugin("GET", "/broken")) == (500, "internal", None)
    assert refusal(await _plugin("GET", "/nothing")) == (404, "not_found", "path")
    assert refusal(await _plugin("GET", "/echo")) == (405, "method_not_allowed", "method")
    assert refusal(await _plugin("GET", "/echo/")) == (404, "not_found", "path")


async def test_plugins_routes_are_behind_the_gate() -> None:
    app = _app(token=TOKEN)
    assert refusal(await call("POST", "/plugins/ctdaemon-demo/echo", app=app))[0] == 401
    assert refusal(await _plugin("GET", "/page", headers={"origin": "https://evil.example"}))[0] == 403


async def test_a_page_may_say_what_it_may_load() -> None:
    headers = (await _plugin("GET", "/page")).headers
    assert headers["content-security-policy"] == "default-src 'self'"
    assert headers["x-content-type-options"] == "nosniff"


async def test_an_answer_that_breaks_off_is_logged(log: list[str]) -> None:
    said = await _raw(_app(), "GET", "/plugins/ctdaemon-demo/breaks-off", [])
    assert [message["type"] for message in said] == ["http.response.start", "http.response.body"]
    assert "half way" in "".join(log)


@pytest.mark.parametrize(("size", "status"), [(BODY_LARGEST, 200), (BODY_LARGEST + 1, 413)])
async def test_a_body_has_a_limit(size: int, status: int) -> None:
    announced = await _plugin("POST", "/echo", content=b"x" * size)
    parts = [b"x" * (size // 2), b"x" * (size - size // 2)]
    streamed = await _raw(_app(), "POST", "/plugins/ctdaemon-demo/echo", parts)
    assert (announced.status_code, streamed[0]["status"]) == (status, status)
    if status == 413:
        assert refusal(announced) == (413, "too_large", "body")
        assert streamed[1]["body"] == announced.content


async def _raw(app: Starlette, method: str, path: str, parts: list[bytes]) -> list[dict[str, Any]]:
    """What the app sends for a request whose body comes in parts of no announced length."""
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "scheme": "http", "server": ("127.0.0.1", 8080), "state": {}, "extensions": {},
        "headers": [(b"host", b"127.0.0.1:8080")],
    }
    said: list[dict[str, Any]] = []
    coming = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    coming.append({"type": "http.request", "body": b"", "more_body": False})

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> dict[str, Any]:
        if not coming:
            await trio.sleep_forever()
        return coming.pop(0)

    await app(scope, receive, send)
    return said


async def _knock(app: Starlette, path: str, *headers: tuple[bytes, bytes]) -> list[dict[str, Any]]:
    """What the app says to a WebSocket's handshake."""
    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "scheme": "ws", "server": ("127.0.0.1", 8080), "subprotocols": [], "state": {},
        "headers": [(b"host", b"127.0.0.1:8080"), *headers], "extensions": {"websocket.http.response": {}},
    }
    said: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    await app(scope, receive, send)
    return said


async def test_a_plugins_websocket() -> None:
    said = await _knock(_app(), LIVE, (b"origin", b"http://127.0.0.1:8080"))
    assert [message["type"] for message in said] == ["websocket.accept", "websocket.send", "websocket.close"]
    said = await _knock(_app(token=TOKEN), LIVE, (b"authorization", f"Bearer {TOKEN}".encode()))
    assert said[0]["type"] == "websocket.accept"


@pytest.mark.parametrize(
    ("path", "headers", "token", "status", "code"),
    [
        (LIVE, [(b"origin", b"https://evil.example")], "", 403, b"origin_not_allowed"),
        (LIVE, [], TOKEN, 401, b"unauthorized"),
        ("/status", [], "", 403, b"websocket_refused"),
        ("/nothing", [], "", 403, b"websocket_refused"),
    ],
)
async def test_websockets_that_are_refused(path: str, headers: list[tuple[bytes, bytes]], token: str,
                                           status: int, code: bytes) -> None:
    start, body = await _knock(_app(token=token), path, *headers)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
    assert code in body["body"]
