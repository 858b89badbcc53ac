"""A simulated ACME: the dialect over :mod:`ctcore.sim`, which brings market, sockets, limits and faults."""
# ruff: noqa: ARG002  the base hands over more than ACME needs

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from ctcore.contracts.driver import Endpoints, SimulatorOptions
from ctcore.errors import RequestRefused
from ctcore.model.ids import Market
from ctcore.sim import (
    Connection,
    ConnectionRules,
    Row,
    SimClock,
    SimInstrument,
    SimMarket,
    SimRequest,
    SimResponse,
    VenueServer,
    default_listings,
    faults_of,
)
from ctdaemon_acme.driver import EXCHANGE

ROWS = (
    Row(symbol="BTCUSDT", base="BTC", tick="0.01", lot="0.00001"),
    Row(symbol="ETHUSDT", base="ETH", tick="0.01", lot="0.0001"),
)
_encode = msgspec.json.Encoder().encode


class _Subscribe(msgspec.Struct):
    subscribe: list[str]


class AcmeSimulator(VenueServer):
    """Two instruments, everything every 100 ms."""

    rules: ClassVar[ConnectionRules] = ConnectionRules(lifetime_sec=86_400.0)

    def __init__(self, options: SimulatorOptions) -> None:
        clock = SimClock(options.speed)
        listings = default_listings(EXCHANGE, Market.SPOT, ROWS)
        self.market = SimMarket(listings, seed=options.seed, start_us=clock.start_us)
        super().__init__({Market.SPOT: self.market}, clock, faults_of(options))
        self._told = {each.symbol: (each.book.update_id, each.last_trade_id) for each in self.market}

    def endpoints(self, base: str) -> Endpoints:
        """The driver's endpoints on this server."""
        return Endpoints({"spot": f"http://{base}"}, {"spot": f"ws://{base}"})

    def accepts(self, path: str) -> bool:
        """One socket."""
        return path == "/ws"

    def handle_http(self, request: SimRequest) -> SimResponse:
        """The two calls."""
        match request.path:
            case "/instruments":
                return SimResponse.json([
                    {"symbol": row.symbol, "base": row.base, "quote": row.quote,
                     "tick": str(row.tick), "lot": str(row.lot)} for row in ROWS
                ])  # fmt: skip
            case "/book":
                found = self.market[request.query.get("symbol", "")]
                return SimResponse.json({"us": self.now_us(), "last": found.book.update_id,
                                         **_sides(found, found.book.levels())})
            case _:
                raise RequestRefused("no such call", status=404)

    def on_message(self, connection: Connection, data: str | bytes) -> None:
        """``{"subscribe":[...]}``."""
        try:
            topics = msgspec.json.decode(data, type=_Subscribe).subscribe
        except msgspec.MsgspecError as error:
            raise RequestRefused(str(error)) from None
        for topic in topics:
            kind, _, symbol = topic.partition(":")
            if kind in ("book", "trade") and symbol in self.market:
                self.subscribe(connection, topic, symbol)
                connection.send(_encode({"t": "ok", "topics": [topic]}).decode())
            else:
                connection.send(_encode({"t": "refused", "topic": topic, "why": "not listed"}).decode())

    def publish(self, now_us: int) -> None:
        """What changed since the last time."""
        for each in self.market:
            book_at, trade_at = self._told[each.symbol]
            self._told[each.symbol] = each.book.update_id, each.last_trade_id
            if self.wanted(f"book:{each.symbol}"):
                self._tell_book(each, book_at, now_us)
            for trade in each.trades_since(trade_at):
                price, quantity = each.prices.text(trade.price), each.quantities.text(trade.quantity)
                self._tell("trade", each, {"us": trade.us, "id": trade.trade_id, "p": price, "q": quantity,
                                           "side": trade.side})

    def faultable(self, topic: str) -> bool:
        """Only books: of a lost trade nobody could tell."""
        return topic.startswith("book:")

    def notice(self, connection: Connection) -> str:
        """Ten seconds before the end."""
        return _encode({"t": "bye", "why": "maintenance"}).decode()

    def _tell_book(self, each: SimInstrument, since: int, now_us: int) -> None:
        changes = each.book.changes_since(since)
        if changes:
            ids = {"us": now_us, "first": changes.first_id, "last": changes.last_id}
            self._tell("book", each, {**ids, **_sides(each, changes)})

    def _tell(self, kind: str, each: SimInstrument, told: dict[str, Any]) -> None:
        frame = _encode({"t": kind, "s": each.symbol, **told}).decode()
        self.broadcast(f"{kind}:{each.symbol}", frame)


def _sides(each: SimInstrument, levels: Any) -> dict[str, list[list[str]]]:
    return {"bids": each.texts(levels.bids), "asks": each.texts(levels.asks)}
