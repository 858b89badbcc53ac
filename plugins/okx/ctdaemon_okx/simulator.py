"""A simulated OKX: its public REST and WebSocket wire on one port, over :mod:`ctcore.sim`.

``/api/v5/...`` are the calls, ``/ws/v5/public``, ``/ws/v5/business`` and ``/ws/v5/private`` the sockets;
the private one refuses every login. What is simpler than the venue: pushes come every 100 ms, also of
``bbo-tbt``; bars of 6H and more are the ``utc`` ones alone.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any, ClassVar

import attrs
import msgspec

from ctcore.contracts.driver import Endpoints, SimulatorOptions
from ctcore.errors import CtcoreError, UnknownInstrument
from ctcore.model.time import US_PER_SEC
from ctcore.sim import (
    Connection,
    ConnectionRules,
    FaultKind,
    Faults,
    SimClock,
    SimInstrument,
    SimMarket,
    SimRequest,
    SimResponse,
    VenueServer,
    default_listings,
    faults_of,
)
from ctdaemon_okx import simulator_rows as rows
from ctdaemon_okx.driver import endpoints_at
from ctdaemon_okx.ledger import OPS_PER_HOUR
from ctdaemon_okx.simulator_feeds import (
    BookFeed,
    CandleFeed,
    Feed,
    LiquidationFeed,
    RowFeed,
    SilentFeed,
    TopFeed,
    TradeFeed,
)
from ctdaemon_okx.simulator_rest import RestCalls, refusal
from ctdaemon_okx.symbols import EXCHANGE
from ctdaemon_okx.wire import Arg

_SOCKETS = {"/ws/v5/public": "public", "/ws/v5/business": "business", "/ws/v5/private": "private"}
_IDLE_SEC = 30.0
_HOUR_SEC = 3_600.0
_CANDLE = "candle"
_BY_TYPE = frozenset({"instruments", "liquidation-orders", "status"})
_ROWS = {
    "tickers": (rows.ticker_row, 100_000),
    "mark-price": (rows.mark_row, 200_000),
    "funding-rate": (rows.funding_row, 30 * US_PER_SEC),
    "open-interest": (rows.interest_row, 3 * US_PER_SEC),
    "price-limit": (rows.limit_row, 200_000),
}
_SWAPS_ONLY = frozenset({"funding-rate", "open-interest"})


_MISSING = "doesn't exist. Please use the correct URL, channel and parameters referring to API document."


class _Request(msgspec.Struct):
    op: str
    args: list[dict[str, Any]]
    id: Any = ""


@attrs.define
class _Client:
    """What is remembered of one connection; times are real seconds since the server's start."""

    socket: str
    moved_sec: float
    seen: int = 0
    ops_sec: deque[float] = attrs.field(factory=lambda: deque(maxlen=OPS_PER_HOUR))


class OkxSimulator(VenueServer):
    """The dialect. With ``ws_snapshot`` False no book begins with a snapshot in the stream."""

    rules: ClassVar[ConnectionRules] = ConnectionRules(ping_interval_sec=None)

    def __init__(
        self,
        options: SimulatorOptions,
        *,
        ws_snapshot: bool = True,
        faults: Faults | None = None,
        start_us: int | None = None,
    ) -> None:
        clock = SimClock(options.speed, start_us)
        markets = {
            market: SimMarket(
                default_listings(EXCHANGE, market, table), seed=options.seed, start_us=clock.start_us)
            for market, table in rows.TABLE.items()
        }
        super().__init__(markets, clock, faults or faults_of(options))
        self._ws_snapshot = ws_snapshot
        self._rest = RestCalls(markets)
        self._feeds: dict[str, Feed] = {}

    def endpoints(self, base: str) -> Endpoints:
        """The driver's endpoints on this server, ``base`` being its ``host:port``."""
        return endpoints_at(f"http://{base}", f"ws://{base}")

    # REST

    def handle_http(self, request: SimRequest) -> SimResponse:
        """A public call; private ones are refused for want of a key."""
        return self._rest.answer(request, self.clock.now_us())

    def refused(self, request: SimRequest, error: CtcoreError) -> SimResponse:  # noqa: ARG002  the signature
        """``{"code","msg","data":[]}``."""
        return refusal(error)

    def http_fault(self, request: SimRequest, kind: FaultKind) -> SimResponse:  # noqa: ARG002  the signature
        """The venue has no 418; it stands for its other way of limiting, by address."""
        code, text = ("50026", "System error. Try again later") if kind is FaultKind.HTTP_500 else (
            "50011", "Too Many Requests")
        status = int(kind.removeprefix("http_"))
        return SimResponse.json({"code": code, "msg": text, "data": []}, status=status)

    # WebSocket

    def accepts(self, path: str) -> bool:
        """The three sockets."""
        return path in _SOCKETS

    def faultable(self, topic: str) -> bool:
        """Only the sequenced books: what is lost of other channels nobody can tell."""
        return topic.startswith("books:")

    def on_connect(self, connection: Connection) -> None:
        """Nothing is said before the first request."""
        connection.context = _Client(_SOCKETS[connection.path], self._now_sec())

    def notice(self, connection: Connection) -> str:
        """The announcement of an upgrade, about 60 s ahead on the venue."""
        return self._event(connection, "notice", code="64008", msg=(
            "The connection will soon be closed for a service upgrade. Please reconnect."))

    def on_message(self, connection: Connection, data: str | bytes) -> None:
        """A ping or a request; anything else is an illegal request, and the socket stays open."""
        if data in ("ping", b"ping"):
            connection.send("pong")
            return
        try:
            request = msgspec.json.decode(data, type=_Request)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._illegal(connection, data)
            return
        self._perform(connection, request, data)

    def publish(self, now_us: int) -> None:
        """Push every feed that somebody wants, and close whom nothing is sent and who says nothing."""
        for topic, feed in tuple(self._feeds.items()):
            if not self.wanted(topic):
                del self._feeds[topic]
                continue
            for frame in feed.push(now_us):
                self.broadcast(topic, frame)
        now_sec = self._now_sec()
        for connection in self.connections:
            self._close_if_idle(connection, now_sec)

    def _perform(self, connection: Connection, request: _Request, data: str | bytes) -> None:
        if request.op == "login":
            self._error(connection, "60009", "Login failed.", request.id)
            return
        if request.op not in ("subscribe", "unsubscribe"):
            self._illegal(connection, data)
            return
        if not self._may(connection.context):
            self._error(connection, "60014", "Requests too frequent", request.id)
            return
        for arg in request.args:
            try:
                self._one(connection, request, arg)
            except (UnknownInstrument, msgspec.ValidationError):
                named = ",".join(f"{name}:{value}" for name, value in arg.items())
                self._error(connection, "60018", f"Wrong URL or {named} {_MISSING}", request.id)

    def _one(self, connection: Connection, request: _Request, given: dict[str, Any]) -> None:
        """Subscribe to one argument or drop it; a duplicate is acknowledged and brings nothing."""
        arg = msgspec.convert(given, Arg)
        topic, symbol = f"{arg.channel}:{arg.symbol or arg.inst_type}", arg.symbol
        if request.op == "unsubscribe":
            self.unsubscribe(connection, topic)
            self._ack(connection, request, given)
            return
        feed = self._feeds.get(topic) or self._make(arg, connection.context.socket)
        known = topic in connection.topics
        self._feeds[topic] = feed
        self.subscribe(connection, topic, symbol)
        self._ack(connection, request, given)
        if not known:
            for frame in feed.first(self.clock.now_us()):
                connection.send(frame)

    def _make(self, arg: Arg, socket: str) -> Feed:
        """The feed of a topic; raises :class:`UnknownInstrument` for what that socket does not have."""
        name = arg.channel
        if name.startswith(_CANDLE):
            interval = rows.INTERVALS.get(name.removeprefix(_CANDLE))
            if interval is None or socket != "business":
                raise UnknownInstrument(name)
            return CandleFeed(arg, self._rest.find(arg.symbol), interval)
        if socket != "public":
            raise UnknownInstrument(name)
        if name in _BY_TYPE:
            if name == "liquidation-orders" and arg.inst_type == "SWAP":
                return LiquidationFeed(arg, self._rest.swaps())
            return SilentFeed()
        if name == "index-tickers":
            swap = self._rest.find(f"{arg.symbol}-SWAP")
            return RowFeed(arg, partial(rows.index_row, swap), 100_000)
        return self._of(arg, self._rest.find(arg.symbol))

    def _of(self, arg: Arg, item: SimInstrument) -> Feed:
        match arg.channel:
            case "books":
                return BookFeed(arg, item, with_snapshot=self._ws_snapshot)
            case "books5":
                return TopFeed(arg, item, 5)
            case "bbo-tbt":
                return TopFeed(arg, item, 1)
            case "trades":
                return TradeFeed(arg, item)
            case name if name in _ROWS and (item.derivative is not None or name not in _SWAPS_ONLY):
                make, every_us = _ROWS[name]
                return RowFeed(arg, partial(make, item), every_us)
            case name:
                raise UnknownInstrument(name)

    def _may(self, client: _Client) -> bool:
        """480 requests an hour."""
        now_sec = self._now_sec()
        while client.ops_sec and client.ops_sec[0] <= now_sec - _HOUR_SEC:
            client.ops_sec.popleft()
        if len(client.ops_sec) >= OPS_PER_HOUR:
            return False
        client.ops_sec.append(now_sec)
        return True

    def _close_if_idle(self, connection: Connection, now_sec: float) -> None:
        """Nothing in either direction for 30 s: with no subscription nothing is ever sent."""
        client: _Client = connection.context
        seen = connection.sent + connection.received
        if seen != client.seen:
            client.seen, client.moved_sec = seen, now_sec
        elif now_sec - client.moved_sec >= _IDLE_SEC:
            connection.close(4004, "No data received in 30s.")

    def _now_sec(self) -> float:
        """Real seconds since the start, whatever the market's speed."""
        return (self.clock.now_us() - self.clock.start_us) / US_PER_SEC / self.clock.speed

    def _ack(self, connection: Connection, request: _Request, arg: dict[str, Any]) -> None:
        connection.send(self._event(connection, request.op, request.id, arg=arg))

    def _illegal(self, connection: Connection, data: str | bytes) -> None:
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
        self._error(connection, "60012", f"Invalid request: {text[:300]}")

    def _error(self, connection: Connection, code: str, text: str, request_id: Any = "") -> None:
        connection.send(self._event(connection, "error", request_id, msg=text, code=code))

    @staticmethod
    def _event(connection: Connection, event: str, request_id: Any = "", **fields: Any) -> str:
        head = {"id": request_id} if request_id else {}
        told = {**head, "event": event, **fields, "connId": f"{connection.number:08x}"}
        return msgspec.json.encode(told).decode()
