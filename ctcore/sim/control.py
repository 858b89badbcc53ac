"""Routes outside a venue's API, for tests and people: request faults, see the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import msgspec

from ctcore.errors import ConfigError, CtcoreError, RequestRefused
from ctcore.model.ids import Market
from ctcore.sim.http import SimRequest, SimResponse

if TYPE_CHECKING:
    from ctcore.sim.instrument import SimInstrument
    from ctcore.sim.server import VenueServer

_DIGITS = 9


class _FaultBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /_sim/faults``."""

    kind: str
    symbol: str | None = None
    count: int = 1
    duration_us: int | None = None
    topic: str | None = None


class _PauseBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /_sim/pause``."""

    paused: bool = True


_FAULT = msgspec.json.Decoder(_FaultBody)
_PAUSE = msgspec.json.Decoder(_PauseBody)


def control(server: VenueServer, request: SimRequest) -> SimResponse:
    """Answer a call below ``/_sim/``:

    * ``POST /_sim/faults`` ``{"kind","symbol","count","duration_us","topic"}``: ask for a fault;
    * ``GET /_sim/faults``: those that struck, and those that wait;
    * ``POST /_sim/calm``: no further fault strikes, random ones included;
    * ``GET /_sim/book?market=&symbol=&depth=``: the true book, ``{"update_id","bids","asks"}`` (depth 0 =
      all);
    * ``GET /_sim/trades?market=&symbol=&count=``: the last trades, oldest first;
    * ``POST /_sim/pause`` ``{"paused"}``: stop the order flow, or let it go on;
    * ``GET /_sim/status``: counts.
    """
    try:
        match request.method, request.path:
            case "POST", "/_sim/faults":
                return _request_fault(server, request)
            case "GET", "/_sim/faults":
                return _faults(server)
            case "POST", "/_sim/calm":
                return _calm(server)
            case "GET", "/_sim/book":
                return _book(server, request)
            case "GET", "/_sim/trades":
                return _trades(server, request)
            case "POST", "/_sim/pause":
                return _pause(server, request)
            case "GET", "/_sim/status":
                return _status(server)
            case _:
                error = f"no control route {request.method} {request.path}"
                return SimResponse.json({"error": error}, status=404)
    except (CtcoreError, msgspec.MsgspecError) as refusal:
        return SimResponse.json({"error": str(refusal)}, status=400)


def _request_fault(server: VenueServer, request: SimRequest) -> SimResponse:
    body = _FAULT.decode(request.body)
    server.faults.request(body.kind, body.symbol, body.count, body.duration_us, topic=body.topic)
    return SimResponse.json({"pending": len(server.faults.pending)})


def _calm(server: VenueServer) -> SimResponse:
    server.faults.calm()
    return SimResponse.json({"pending": len(server.faults.pending)})


def _faults(server: VenueServer) -> SimResponse:
    faults = server.faults
    return SimResponse.json({
        "struck": faults.struck,
        "history": [attrs.asdict(strike) for strike in faults.history],
        "pending": [attrs.asdict(fault) for fault in faults.pending],
    })


def _book(server: VenueServer, request: SimRequest) -> SimResponse:
    instrument = _instrument(server, request)
    levels = instrument.book.levels(_count(request, "depth", "0"))
    return SimResponse.json({
        "update_id": levels.update_id,
        "bids": instrument.texts(levels.bids),
        "asks": instrument.texts(levels.asks),
    })


def _trades(server: VenueServer, request: SimRequest) -> SimResponse:
    instrument = _instrument(server, request)
    price, quantity = instrument.prices.plain, instrument.quantities.plain
    return SimResponse.json({"trades": [
        {"id": trade.trade_id, "us": trade.us, "price": price(trade.price),
         "quantity": quantity(trade.quantity), "side": trade.side.value}
        for trade in instrument.recent_trades(_count(request, "count", "1000"))
    ]})  # fmt: skip


def _instrument(server: VenueServer, request: SimRequest) -> SimInstrument:
    name = request.query.get("market", Market.SPOT.value)
    markets = {str(market): value for market, value in server.markets.items()}
    if name not in markets:
        raise ConfigError(f"market {name!r} is not served; there are {', '.join(markets)}")
    return markets[name][request.query.get("symbol", "")]


def _count(request: SimRequest, name: str, default: str) -> int:
    text = request.query.get(name, default)
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise RequestRefused(f"{name} {text!r} is not a number of rows")
    return int(text)


def _pause(server: VenueServer, request: SimRequest) -> SimResponse:
    paused = _PAUSE.decode(request.body or b"{}").paused
    for market in server.markets.values():
        market.halted = paused
    return SimResponse.json({"paused": paused})


def _status(server: VenueServer) -> SimResponse:
    return SimResponse.json({
        "now_us": server.clock.now_us(),
        "speed": server.clock.speed,
        "statistics": attrs.asdict(server.statistics()),
        "markets": {
            str(market): {instrument.symbol: instrument.book.statistics()._asdict() for instrument in value}
            for market, value in server.markets.items()
        },
    })
