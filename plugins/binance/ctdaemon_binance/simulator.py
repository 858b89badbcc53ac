"""A simulated Binance: the public REST and WebSocket wire of spot and USD-M futures on one port.

``/api/v3/...`` and ``/fapi/v1/...`` are the calls; ``/ws`` and ``/stream`` the sockets of spot; ``/public``,
``/market`` and ``/private`` with the same two below them those of futures (the private one is closed at
once). A first segment with a dot in it (``/stream.binance.com/ws``) is taken for a host of the venue and
ignored, so that clients that look at the host in a URL still see one.

What is simpler than the venue: everything is pushed every 100 ms at most; pings come every 20 s on futures
too; aggregate trades are numbered with holes.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any, ClassVar

import attrs
import msgspec

from ctcore.contracts.driver import Endpoints, SimulatorOptions
from ctcore.errors import CtcoreError, RateLimited, RequestRefused, VenueError
from ctcore.model.ids import Market
from ctcore.model.time import US_PER_SEC
from ctcore.sim import (
    Connection,
    ConnectionRules,
    FaultKind,
    Faults,
    SimClock,
    SimMarket,
    SimRequest,
    SimResponse,
    VenueServer,
    default_listings,
    faults_of,
)
from ctdaemon_binance.config import MAX_STREAMS
from ctdaemon_binance.driver import endpoints_at
from ctdaemon_binance.rest import API
from ctdaemon_binance.simulator_names import make_feed
from ctdaemon_binance.simulator_rest import RestCalls
from ctdaemon_binance.simulator_rows import TABLE, Printer, ms
from ctdaemon_binance.simulator_streams import Feed
from ctdaemon_binance.symbols import EXCHANGE
from ctdaemon_binance.wire import NOT_JSON

_SOCKET = re.compile(r"(?:/(public|market|private))?/(ws|stream)(?:/(.*))?")
_HOST = re.compile(r"^/[^/]*\.[^/]*(?=/)")
_PARTS = {None: "spot", "public": "futures_public", "market": "futures_market", "private": "futures_private"}
_MESSAGES_PER_SEC = {"spot": 5}
_FUTURES_MESSAGES_PER_SEC = 10
_FAULT_BODIES = {
    FaultKind.HTTP_429: {"code": -1003, "msg": "Too many requests; please use WebSocket Streams."},
    FaultKind.HTTP_418: {"code": -1003, "msg": "Way too many requests; IP banned."},
    FaultKind.HTTP_500: {"code": -1000, "msg": "An unknown error occurred while processing the request."},
}
_METHODS = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"
_COMBINED = " combined"
_encode = msgspec.json.Encoder().encode


class _Request(msgspec.Struct):
    method: str
    params: list[Any] = []
    id: int | str | None = None


@attrs.define
class _Client:
    """What is remembered of one connection; times are real seconds since the server's start."""

    part: str
    combined: bool
    names: dict[str, None] = attrs.field(factory=dict)
    messages_sec: deque[float] = attrs.field(factory=deque)


class BinanceSimulator(VenueServer):
    """The dialect."""

    rules: ClassVar[ConnectionRules] = ConnectionRules(lifetime_sec=86_400.0)

    def __init__(
        self, options: SimulatorOptions, *, faults: Faults | None = None, start_us: int | None = None
    ) -> None:
        clock = SimClock(options.speed, start_us)
        markets = {
            kind: SimMarket(
                default_listings(EXCHANGE, kind, table), seed=options.seed, start_us=clock.start_us
            )
            for kind, table in TABLE.items()
        }
        super().__init__(markets, clock, faults or faults_of(options))
        self._rest = {kind: RestCalls(kind, market) for kind, market in markets.items()}
        self._printers = {
            kind: {printer.stream_symbol: printer for printer in map(Printer, market)}
            for kind, market in markets.items()
        }
        self._feeds: dict[tuple[str, str], Feed] = {}

    def endpoints(self, base: str) -> Endpoints:
        """The driver's endpoints on this server, ``base`` being its ``host:port``."""
        return endpoints_at(f"http://{base}", f"http://{base}", f"ws://{base}", f"ws://{base}")

    # REST

    def handle_http(self, request: SimRequest) -> SimResponse:
        """A public call; those that need a key are refused."""
        path = _HOST.sub("", request.path)
        for kind, rest in self._rest.items():
            if path.startswith(API[kind] + "/"):
                return rest.answer(attrs.evolve(request, path=path), self.clock.now_us())
        raise VenueError("path not found", code="-1000", status=404)

    def refused(self, request: SimRequest, error: CtcoreError) -> SimResponse:  # noqa: ARG002  the signature
        """``{"code":-1121,"msg":"Invalid symbol."}``."""
        code = int(error.code) if isinstance(error, VenueError) and error.code else -1000
        status = error.status if isinstance(error, VenueError) and error.status else 400
        headers = {}
        if isinstance(error, RateLimited):
            headers["retry-after"] = str(round(error.retry_after_sec))
        return SimResponse.json({"code": code, "msg": str(error)}, status=status, headers=headers)

    def http_fault(self, request: SimRequest, kind: FaultKind) -> SimResponse:  # noqa: ARG002  the signature
        """In the venue's words; 429 and 418 ask for a second of silence."""
        headers = {} if kind is FaultKind.HTTP_500 else {"retry-after": "1"}
        status = int(kind.removeprefix("http_"))
        return SimResponse.json(_FAULT_BODIES[kind], status=status, headers=headers)

    # WebSocket

    def accepts(self, path: str) -> bool:
        """The sockets of spot and of the three parts of futures."""
        return _SOCKET.fullmatch(_HOST.sub("", path)) is not None

    def faultable(self, topic: str) -> bool:
        """Only diff books: what is lost of other streams nobody can tell."""
        kind = topic.removesuffix(_COMBINED).partition("@")[2]
        return kind.partition("@")[0] == "depth"

    def on_connect(self, connection: Connection) -> None:
        """Streams may stand in the URL; names that are none are ignored there."""
        found = _SOCKET.fullmatch(_HOST.sub("", connection.path))
        part, form, names = found.groups() if found else (None, "ws", "")
        client = connection.context = _Client(_PARTS[part], form == "stream")
        if client.part == "futures_private":
            connection.close(1008, "listenKey is not valid")
            return
        given = connection.query.get("streams", "") if client.combined else names or ""
        for name in given.split("/")[:MAX_STREAMS]:
            try:
                self._add(connection, client, name)
            except RequestRefused:
                continue

    def notice(self, connection: Connection) -> str:
        """``serverShutdown``."""
        event = {"e": "serverShutdown", "E": ms(self.clock.now_us())}
        wrapped = {"stream": "serverShutdown", "data": event}
        return _encode(wrapped if connection.context.combined else event).decode()

    def on_message(self, connection: Connection, data: str | bytes) -> None:
        """A request; more of them than the venue allows end the connection."""
        client: _Client = connection.context
        if not self._may(client):
            connection.close(1008, "Too many requests")
            return
        try:
            request = msgspec.json.decode(data, type=_Request)
        except msgspec.ValidationError as error:
            self._refuse(connection, 2, f"Invalid request: {error}", None)
            return
        except NOT_JSON as error:
            self._refuse(connection, 3, f"Invalid JSON: {error}", None)
            return
        try:
            result = self._perform(connection, client, request)
        except RequestRefused as error:
            self._refuse(connection, int(error.code or "2"), str(error), request.id)
            return
        connection.send(_encode({"result": result, "id": request.id}).decode())

    def publish(self, now_us: int) -> None:
        """Push every stream that somebody wants."""
        for key, feed in tuple(self._feeds.items()):
            part, name = key
            topic = f"{part}:{name}"
            bare, wrapped = self.wanted(topic), self.wanted(topic + _COMBINED)
            if not bare and not wrapped:
                del self._feeds[key]
                continue
            for payload in feed.push(now_us):
                frame = _encode(payload).decode()
                if bare:
                    self.broadcast(topic, frame)
                if wrapped:
                    self.broadcast(topic + _COMBINED, f'{{"stream":"{name}","data":{frame}}}')

    def _perform(self, connection: Connection, client: _Client, request: _Request) -> Any:
        match request.method:
            case "SUBSCRIBE":
                self._subscribe_all(connection, client, _names(request))
                return None
            case "UNSUBSCRIBE":
                for name in _names(request):
                    client.names.pop(name, None)
                    self.unsubscribe(connection, _topic(client, name))
                return None
            case "LIST_SUBSCRIPTIONS":
                return list(client.names)
            case "GET_PROPERTY":
                _check_property(request, 1)
                return client.combined
            case "SET_PROPERTY":
                _check_property(request, 2)
                self._wrap(connection, client, request.params[1])
                return None
            case method:
                text = f"Invalid request: unknown variant `{method}`, expected one of {_METHODS}"
                raise RequestRefused(text, code="2")

    def _subscribe_all(self, connection: Connection, client: _Client, names: list[str]) -> None:
        """All or none."""
        for name in names:
            make_feed(client.part, name, self._printers[_market(client.part)])
        if len(client.names.keys() | set(names)) > MAX_STREAMS:
            text = f"Invalid request: more than {MAX_STREAMS} streams on one connection"
            raise RequestRefused(text, code="2")
        for name in names:
            self._add(connection, client, name)

    def _add(self, connection: Connection, client: _Client, name: str) -> None:
        """Subscribe; raises :class:`RequestRefused` for what is no stream name."""
        if name in client.names:
            return
        printers = self._printers[_market(client.part)]
        key = (client.part, name)
        if key not in self._feeds:
            self._feeds[key] = make_feed(client.part, name, printers)
        client.names[name] = None
        printer = printers.get(name.partition("@")[0])
        self.subscribe(connection, _topic(client, name), printer.symbol if printer else "")

    def _wrap(self, connection: Connection, client: _Client, combined: bool) -> None:
        """From now on frames are wrapped, or bare."""
        names = list(client.names)
        for name in names:
            self.unsubscribe(connection, _topic(client, name))
        client.combined = combined
        client.names.clear()
        for name in names:
            self._add(connection, client, name)

    def _may(self, client: _Client) -> bool:
        """5 messages a second on spot, 10 on futures; real seconds, whatever the market's speed."""
        now_sec = (self.clock.now_us() - self.clock.start_us) / US_PER_SEC / self.clock.speed
        while client.messages_sec and client.messages_sec[0] <= now_sec - 1.0:
            client.messages_sec.popleft()
        client.messages_sec.append(now_sec)
        return len(client.messages_sec) <= _MESSAGES_PER_SEC.get(client.part, _FUTURES_MESSAGES_PER_SEC)

    @staticmethod
    def _refuse(connection: Connection, code: int, text: str, request_id: int | str | None) -> None:
        connection.send(_encode({"code": code, "msg": text, "id": request_id}).decode())


def _market(part: str) -> Market:
    return Market.SPOT if part == "spot" else Market.FUTURES


def _topic(client: _Client, name: str) -> str:
    return f"{client.part}:{name}{_COMBINED if client.combined else ''}"


def _names(request: _Request) -> list[str]:
    if not request.params or not all(isinstance(name, str) for name in request.params):
        raise RequestRefused("Invalid request: params must be an array of stream names", code="2")
    return request.params


def _check_property(request: _Request, count: int) -> None:
    if len(request.params) != count or request.params[0] != "combined":
        raise RequestRefused("Unknown property", code="0")
    if count == 2 and not isinstance(request.params[1], bool):
        raise RequestRefused("Invalid value type: expected Boolean", code="1")
