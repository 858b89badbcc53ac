"""REST calls of the public data: pure pairs of ``build_x`` and ``parse_x``, and the venue's limits on
them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from loguru import logger

from ctcore.contracts.driver import HttpRequest, HttpResponse, RateLimit
from ctcore.errors import DecodeError, OutdatedFormat
from ctcore.model.ids import InstrumentId
from ctcore.model.instrument import Instrument
from ctcore.model.market import BookSnapshot
from ctdaemon_okx.symbols import parse_instrument
from ctdaemon_okx.wire import BOOK, INSTRUMENT, INSTRUMENTS, NOT_JSON, name_of

RATE_LIMITS = (
    RateLimit("public/instruments", 20, 2.0),
    RateLimit("market/books", 40, 2.0),
)
"""Per endpoint and address (docs-v5, "Rate Limit" of each endpoint); answers carry no usage headers."""

DEMO_HEADERS: Mapping[str, str] = {"x-simulated-trading": "1"}
"""The demo environment shares its REST host with the live one; this header tells them apart."""

_ODD_NAMED = 5

Shape = TypeVar("Shape")


def build_instruments(base_url: str, inst_type: str, headers: Mapping[str, str]) -> HttpRequest:
    """List the instruments of one product type."""
    return _get(base_url, "public/instruments", {"instType": inst_type}, headers, timeout_sec=20.0)


def parse_instruments(response: HttpResponse) -> list[Instrument]:
    """Its answer, without the rows of products ctcore does not serve.

    An odd row is skipped with a warning, for the others are as good as ever; raises :class:`DecodeError` when
    every row is odd.
    """
    rows = _decode(INSTRUMENTS.decode, response, "instruments").data
    found: list[Instrument] = []
    odd: list[str] = []
    for row in rows:
        try:
            instrument = parse_instrument(INSTRUMENT.decode(row))
        except NOT_JSON as error:
            odd.append(f"instrument {name_of(row)}: {error}")
        except DecodeError as error:
            odd.append(str(error))
        else:
            if instrument is not None:
                found.append(instrument)
    _tell_odd(odd, len(rows), response.request.label)
    return found


def build_book(base_url: str, symbol: str, depth: int, headers: Mapping[str, str]) -> HttpRequest:
    """Ask for an order book of at most 400 levels a side."""
    return _get(base_url, "market/books", {"instId": symbol, "sz": str(depth)}, headers)


def parse_book(response: HttpResponse, instrument: InstrumentId, now_us: int) -> BookSnapshot:
    """Its answer; raises :class:`OutdatedFormat` for the form without ``seqId``, which no update can be
    joined to."""
    rows = _decode(BOOK.decode, response, "books").data
    if len(rows) != 1:
        raise DecodeError(f"{response.request.label}: {len(rows)} books instead of one", kind="books")
    row = rows[0]
    if row.seq is None:
        raise OutdatedFormat(f"{response.request.label}: a book without seqId")
    bids = [(level.price, level.quantity) for level in row.bids]
    asks = [(level.price, level.quantity) for level in row.asks]
    return BookSnapshot(instrument, row.ts * 1_000, now_us, row.seq, bids, asks)


def _tell_odd(odd: Sequence[str], count: int, label: str) -> None:
    """Warn of the rows that were skipped, the first of them by name."""
    if not odd:
        return
    more = f"; and {len(odd) - _ODD_NAMED} more" if len(odd) > _ODD_NAMED else ""
    text = f"{label}: {len(odd)} of {count} rows make no sense: {'; '.join(odd[:_ODD_NAMED])}{more}"
    if len(odd) == count:
        raise DecodeError(text, kind="instruments")
    logger.warning("{}; skipped", text)


def _get(
    base_url: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], timeout_sec: float = 10.0
) -> HttpRequest:
    target = f"/api/v5/{path}?{urlencode(query)}"
    return HttpRequest("GET", base_url.rstrip("/") + target, f"GET {target}", {path: 1}, headers,
                       timeout_sec=timeout_sec)


def _decode(decode: Callable[[bytes], Shape], response: HttpResponse, kind: str) -> Shape:
    try:
        return decode(response.body)
    except NOT_JSON as error:
        raise DecodeError(f"{response.request.label}: {error}", kind=kind) from error
