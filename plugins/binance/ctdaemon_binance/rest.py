"""Binance's public REST calls as pure pairs: ``build_x`` makes the request, ``parse_x`` reads its answer.

Every call names its weight; sources: ``rest-api.md`` (spot), the official SDK (USD-M futures).
"""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import quote

import msgspec
from loguru import logger

from ctcore.contracts.driver import HttpRequest, HttpResponse
from ctcore.errors import DecodeError
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import BookSnapshot, OpenInterest
from ctcore.model.time import US_PER_MS
from ctdaemon_binance import wire

WEIGHT_BUCKETS = {Market.SPOT: "spot_weight", Market.FUTURES: "futures_weight"}
API = {Market.SPOT: "/api/v3", Market.FUTURES: "/fapi/v1"}

_DEPTH_WEIGHTS = {
    Market.SPOT: ((100, 5), (500, 25), (1000, 50), (5000, 250)),
    Market.FUTURES: ((50, 2), (100, 5), (500, 10), (1000, 20)),
}
_INSTRUMENTS_WEIGHT = {Market.SPOT: 20, Market.FUTURES: 1}
_INSTRUMENTS_TIMEOUT_SEC = 30.0
"""Spot's catalogue is some 15 MB."""

_NAMED = 20
"""How many odd rows a warning names."""

_T = TypeVar("_T")


def depth_weight(market: Market, limit: int) -> int:
    """Weight of ``/depth`` with this limit."""
    return next(weight for most, weight in _DEPTH_WEIGHTS[market] if limit <= most)


def build_instruments(base: str, market: Market) -> HttpRequest:
    """``GET /exchangeInfo``, all symbols."""
    weight = _INSTRUMENTS_WEIGHT[market]
    return _get(base, market, "/exchangeInfo", weight, f"{market} exchangeInfo", _INSTRUMENTS_TIMEOUT_SEC)


def parse_instruments(response: HttpResponse) -> list[wire.SymbolRow]:
    """Its rows; those that cannot be read are left out with a warning. Raises :class:`DecodeError` if that is
    every one.
    """
    rows: list[wire.SymbolRow] = []
    odd: list[str] = []
    wrong: DecodeError | None = None
    for raw in decode(wire.EXCHANGE_INFO, response.body, "instruments").symbols:
        try:
            rows.append(decode(wire.SYMBOL_ROW, raw, "instruments"))
        except DecodeError as error:
            wrong = error
            odd.append(_name_in(raw))
    if wrong is not None:
        if not rows:
            raise wrong
        names = ", ".join(odd[:_NAMED]) + (", ..." if len(odd) > _NAMED else "")
        logger.warning("{}: {} rows left out ({}): {}", response.request.label, len(odd), names, wrong)
    return rows


def build_depth(base: str, market: Market, symbol: str, limit: int) -> HttpRequest:
    """``GET /depth``: the snapshot a book starts from."""
    path = f"/depth?symbol={quote(symbol)}&limit={limit}"
    return _get(base, market, path, depth_weight(market, limit), f"{market} depth {symbol}")


def parse_depth(response: HttpResponse, instrument: InstrumentId, now_us: int) -> BookSnapshot:
    """Its answer; spot tells no time of its own (``exchange_us`` 0). Raises :class:`DecodeError`."""
    book = decode(wire.PARTIAL_DEPTH, response.body, "snapshot")
    exchange_us = (book.T or book.E) * US_PER_MS
    return BookSnapshot(instrument, exchange_us, now_us, book.lastUpdateId, book.bids, book.asks)


def build_open_interest(base: str, symbol: str) -> HttpRequest:
    """``GET /fapi/v1/openInterest``, weight 1."""
    market = Market.FUTURES
    return _get(base, market, f"/openInterest?symbol={quote(symbol)}", 1, f"{market} openInterest {symbol}")


def parse_open_interest(response: HttpResponse, instrument: InstrumentId, now_us: int) -> OpenInterest:
    """Its answer; raises :class:`DecodeError`."""
    told = decode(wire.OPEN_INTEREST, response.body, "open_interest")
    return OpenInterest(instrument, told.time * US_PER_MS, now_us, told.openInterest)


def decode(decoder: msgspec.json.Decoder[_T], data: bytes | msgspec.Raw, kind: str) -> _T:
    """Decode, or raise :class:`DecodeError` of this kind with the beginning of what could not be read."""
    try:
        return decoder.decode(data)
    except wire.NOT_JSON as error:
        raise DecodeError(f"binance {kind}: {error}: {bytes(data)[:160]!r}", kind=kind) from None


def _name_in(row: msgspec.Raw) -> str:
    try:
        return str(wire.SYMBOL_NAME.decode(row).symbol)[:40]
    except wire.NOT_JSON:
        return "?"


def _get(
    base: str, market: Market, path: str, weight: int, label: str, timeout_sec: float = 10.0
) -> HttpRequest:
    url = base + API[market] + path
    return HttpRequest("GET", url, label, {WEIGHT_BUCKETS[market]: weight}, timeout_sec=timeout_sec)
