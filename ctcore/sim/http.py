"""The HTTP/1.1 side of a simulated venue: requests in, answers out, over any trio stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import attrs
import h11
import msgspec
import trio

from ctcore.errors import CtcoreError

_CHUNK = 65_536
_HEAD_LIMIT = 16_384
_JSON = "application/json"


@attrs.frozen
class SimRequest:
    """One call. ``query`` keeps the last value of a repeated name; header names are lower case.

    ``peer`` is the client's address without the port, by which rate limits count.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    peer: str


@attrs.frozen
class SimResponse:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def json(cls, value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> SimResponse:
        """An answer whose body is ``value`` as JSON."""
        return cls(status, msgspec.json.encode(value), {"content-type": _JSON, **(headers or {})})


class BadRequest(CtcoreError):
    """What came is not HTTP, or too much of it; ``status`` is the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@attrs.frozen
class Upgrade:
    """A request to become a WebSocket; ``received`` is all that has come, the request's bytes first."""

    request: SimRequest
    received: bytes


class HttpReader:
    """Requests of one stream, one after another."""

    def __init__(self, stream: trio.abc.Stream, peer: str, *, body_limit: int) -> None:
        self._stream = stream
        self._peer = peer
        self._body_limit = body_limit
        self._machine = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT)
        self._raw = bytearray()

    async def request(self) -> SimRequest | Upgrade | None:
        """The next request; None when the client is done. Raises :class:`BadRequest`."""
        machine = self._machine
        if machine.our_state is h11.DONE and machine.their_state is h11.DONE:
            machine.start_next_cycle()
        elif machine.our_state is not h11.IDLE:
            return None
        self._raw = bytearray(machine.trailing_data[0])
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        if headers.get("upgrade", "").lower() == "websocket":
            return Upgrade(self._made(head, headers, b""), bytes(self._raw))
        return self._made(head, headers, await self._body(headers))

    async def answer(self, response: SimResponse) -> bool:
        """Send an answer; False when the stream cannot carry another request."""
        machine = self._machine
        headers = [*response.headers.items(), ("content-length", str(len(response.body)))]
        keep = machine.their_state is h11.DONE
        if not keep:
            headers.append(("connection", "close"))
        reason = _REASONS.get(response.status, b"")
        data = machine.send(h11.Response(status_code=response.status, headers=headers, reason=reason)) or b""
        data += machine.send(h11.Data(data=response.body)) or b""
        data += machine.send(h11.EndOfMessage()) or b""
        await self._stream.send_all(data)
        return keep and machine.our_state is h11.DONE

    def _made(self, head: h11.Request, headers: Mapping[str, str], body: bytes) -> SimRequest:
        path, _, query = head.target.decode("latin-1").partition("?")
        values = dict(parse_qsl(query, keep_blank_values=True))
        return SimRequest(head.method.decode("ascii"), unquote(path), values, headers, body, self._peer)

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("expect", "").lower() == "100-continue":
            continued = self._machine.send(h11.InformationalResponse(status_code=100, headers=[]))
            await self._stream.send_all(continued or b"")
        body = bytearray()
        while True:
            event = await self._event()
            if not isinstance(event, h11.Data):
                return bytes(body)
            body += event.data
            if len(body) > self._body_limit:
                raise BadRequest(413, f"the body is longer than {self._body_limit} bytes")

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        machine = self._machine
        while True:
            try:
                event = machine.next_event()
                if event is not h11.NEED_DATA:
                    return event  # type: ignore[return-value]
                data = await self._stream.receive_some(_CHUNK)
                if machine.their_state is h11.IDLE:
                    self._raw += data
                machine.receive_data(bytes(data))
            except h11.RemoteProtocolError as error:
                raise BadRequest(error.error_status_hint, str(error)) from None


_REASONS = {
    200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found",
    405: b"Method Not Allowed", 413: b"Payload Too Large", 418: b"I'm a teapot", 429: b"Too Many Requests",
    431: b"Request Header Fields Too Large", 500: b"Internal Server Error", 503: b"Service Unavailable",
}  # fmt: skip
