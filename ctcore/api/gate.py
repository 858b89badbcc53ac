"""The outermost layer of the app: access, limits, headers, and the wall that no error gets through."""

from __future__ import annotations

from collections.abc import Mapping

import trio
from loguru import logger
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ctcore.api.access import Access
from ctcore.api.errors import ApiError, answer_failure
from ctcore.runtime.contain import Failure, contain

BODY_LARGEST = 64 * 1024
"""Bytes of a request's body; ctcore's own calls take none, a plugin's may."""

CALLS_MOST = 64
"""Calls at a time; one more is answered 429 at once, so that a flood cannot fill the memory."""

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""On every answer, unless a plugin's route says otherwise."""


_GONE = (trio.BrokenResourceError, trio.BusyResourceError, trio.ClosedResourceError)
# What the server's send raises where the client hangs up; "busy" while it is closing its end.


class Gate:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app = app
        self._access = access
        self._calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, as ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        call = _Call(scope, receive, send, self._access.answer_headers(scope))
        try:
            self._access.check(scope)
            _check_length(scope)
            if self._calls >= CALLS_MOST:
                raise ApiError(429, "busy", f"{CALLS_MOST} calls are under way; ask again",
                               headers={"Retry-After": "1"})
        except ApiError as refusal:
            await call.answer(refusal.answer())
            return
        if self._access.is_preflight(scope):
            await call.answer(Response(status_code=204))
            return
        await self._let_in(call)

    async def _let_in(self, call: _Call) -> None:
        weight = 1 if call.scope["type"] == "http" else 0  # a WebSocket lasts; its plugin bounds how many
        self._calls += weight
        try:
            await contain(lambda: self._app(call.scope, call.receive, call.send), call.failed)
        finally:
            self._calls -= weight
        if call.failure is not None and not call.begun:
            await call.answer(call.failure)


class _Call:
    """One request: its body is counted, its answer gets the headers."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str]) -> None:
        self.scope = scope
        self.begun = False
        self.failure: Response | None = None
        self._receive = receive
        self._send = send
        self._headers = {**_HEADERS, **headers}
        self._body_bytes = 0
        self._gone = False

    async def answer(self, response: Response) -> None:
        """Answer with this."""
        await response(self.scope, self._receive, self.send)

    def failed(self, failure: Failure) -> None:
        """Told by :func:`contain`."""
        path = self.scope.get("raw_path") or self.scope["path"].encode()
        name = f"{self.scope.get('method', 'WEBSOCKET')} {path.decode('ascii', 'replace')!r}"
        self.failure = answer_failure(failure, name)

    async def receive(self) -> Message:
        """Raise :class:`ApiError` 413 as soon as the body is too long."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._body_bytes += len(message.get("body", b""))
            if self._body_bytes > BODY_LARGEST:
                raise _too_long()
        return message

    async def send(self, message: Message) -> None:
        """Add the headers to an answer; give a refused WebSocket the one error shape."""
        if message["type"] == "websocket.close" and not self.begun:
            refusal = ApiError(403, "websocket_refused", "no WebSocket was opened at this path", place="path")
            await self.answer(refusal.answer())
            return
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = MutableHeaders(raw=list(message["headers"]))
            for name, value in self._headers.items():
                headers.setdefault(name, value)
            message = {**message, "headers": headers.raw}
        self.begun = True
        if self._gone:
            return
        try:
            await self._send(message)
        except _GONE:
            self._gone = True
            logger.debug("API: the client left before its answer was complete")


def _check_length(scope: Scope) -> None:
    length = Headers(scope=scope).get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length) > BODY_LARGEST:
        raise _too_long()


def _too_long() -> ApiError:
    return ApiError(413, "too_large", f"a body may have {BODY_LARGEST} bytes; send less", place="body")
