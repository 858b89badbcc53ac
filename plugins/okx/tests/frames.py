from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from ctdaemon_okx.config import OkxConfig
from ctdaemon_okx.driver import ENVIRONMENTS, OkxDriver
from ctdaemon_okx.stream import OkxSession

from ctcore.contracts.driver import Effect, HttpRequest, HttpResponse
from ctcore.model.ids import InstrumentId, Market, Subscription
from ctcore.model.instrument import Catalogue, Instrument, InstrumentKind
from ctcore.testing.pytest_plugin import RECORDINGS_VARIABLE

FIXTURES = Path(__file__).parent / "fixtures"
_NAMED = os.environ.get(RECORDINGS_VARIABLE)
RECORDINGS = (Path(_NAMED) if _NAMED else Path(__file__).parents[4] / "shared" / "recordings") / "okx"


def frame(channel: str, symbol: str, data: list[Any], **extra: Any) -> bytes:
    message = {"arg": {"channel": channel, "instId": symbol}, **extra, "data": data}
    return json.dumps(message, separators=(",", ":")).encode()


def book(
    action: str,
    previous: int | None,
    seq: int | None,
    bids: Iterable[tuple[str, str]] = (),
    asks: Iterable[tuple[str, str]] = (),
    *,
    symbol: str = "BTC-USDT",
    checksum: int = 0,
    ts: int = 1_790_000_000_000,
) -> bytes:
    row: dict[str, Any] = {
        "asks": [[price, size, "0", "1"] for price, size in asks],
        "bids": [[price, size, "0", "1"] for price, size in bids],
        "ts": str(ts),
        "checksum": checksum,
    }
    ids = {"prevSeqId": previous, "seqId": seq}
    row |= {name: value for name, value in ids.items() if value is not None}
    return frame("books", symbol, [row], action=action)


def ack(channel: str, symbol: str, event: str = "subscribe") -> bytes:
    arg = {"channel": channel, "instId": symbol}
    return json.dumps({"event": event, "arg": arg, "connId": "a1"}).encode()


def answer(body: Any, *, status: int = 200, request: HttpRequest | None = None) -> HttpResponse:
    data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return HttpResponse(request or HttpRequest("GET", "http://x/", "GET x"), status, data)


def rest_book(
    seq: int, bids: Iterable[tuple[str, str]] = (), asks: Iterable[tuple[str, str]] = ()
) -> HttpResponse:
    row: dict[str, Any] = {
        "asks": [[price, size, "0", "1"] for price, size in asks],
        "bids": [[price, size, "0", "1"] for price, size in bids],
        "ts": "1790000000000",
        "seqId": seq,
    }
    return answer({"code": "0", "msg": "", "data": [row]})


def spot(pair: str) -> InstrumentId:
    return InstrumentId("okx", Market.SPOT, pair)


def future(pair: str) -> InstrumentId:
    return InstrumentId("okx", Market.FUTURES, pair)


def listed(instrument: InstrumentId, symbol: str) -> Instrument:
    base, _, quote = instrument.pair.partition("/")
    return Instrument(
        id=instrument, symbol=symbol, kind=InstrumentKind.SPOT, base=base, quote=quote, settle=quote,
        tick_size=Decimal("0.1"), lot_size=Decimal("0.001"),
    )  # fmt: skip


def open_session_of(*wanted: Subscription, config: OkxConfig | None = None) -> OkxSession:
    driver = OkxDriver(ENVIRONMENTS["live"], config)
    (plan,) = driver.plan(set(wanted), {})
    session = driver.session(plan, Catalogue("okx", plan.market))
    assert isinstance(session, OkxSession)
    session.connected(1_000_000)
    return session


Open = Callable[..., OkxSession]


def only(effects: Iterable[Effect], kind: type[Any]) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


def one(effects: Iterable[Effect]) -> Any:
    """The only effect there is."""
    (effect,) = effects
    return effect
