"""Venue row -> Instrument, symbol -> stream name. No string surgery on symbols here or anywhere else.

A row whose tick and lot cannot be told is left out: no legal price or quantity could be made of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from ctcore.model.ids import InstrumentId, Market
from ctcore.model.instrument import Instrument, InstrumentKind
from ctcore.model.time import US_PER_MS
from ctdaemon_binance.wire import Filter, SymbolRow

EXCHANGE = "binance"

_PERPETUAL = "PERPETUAL"
_TRADIFI = "TRADIFI_PERPETUAL"
_NEVER_DELIVERED_MS = 4_000_000_000_000
"""Perpetuals have deliveryDate 4133404800000, the year 2100."""

_KINDS = {
    _PERPETUAL: InstrumentKind.PERPETUAL,
    "PERPETUAL_DELIVERING": InstrumentKind.PERPETUAL,
    "PERPETUAL DELIVERING": InstrumentKind.PERPETUAL,
    _TRADIFI: InstrumentKind.PERPETUAL,
    "CURRENT_MONTH": InstrumentKind.DATED,
    "NEXT_MONTH": InstrumentKind.DATED,
    "CURRENT_QUARTER": InstrumentKind.DATED,
    "NEXT_QUARTER": InstrumentKind.DATED,
    "CURRENT_QUARTER DELIVERING": InstrumentKind.DATED,
    "CURRENT_QUARTER_DELIVERING": InstrumentKind.DATED,
}


def stream_symbol(symbol: str) -> str:
    """A symbol as it stands in stream names."""
    return symbol.lower()


def unlisted(market: Market, symbol: str) -> InstrumentId:
    """The identity of a symbol that no catalogue knows: the pair is the venue's own name."""
    return InstrumentId(EXCHANGE, market, symbol)


def spot_instruments(rows: Iterable[SymbolRow]) -> list[Instrument]:
    """``/api/v3/exchangeInfo``: every symbol is ``BASE/QUOTE``."""
    return [found for row in rows if (found := _spot(row)) is not None]


def futures_instruments(rows: Iterable[SymbolRow], *, tradifi: bool) -> list[Instrument]:
    """``/fapi/v1/exchangeInfo``: linear perpetuals ``BASE/QUOTE`` and dated contracts ``BASE/QUOTE-yymmdd``.

    Quantities are in the base asset. Rows of other contract types, and with ``tradifi`` False those on stocks
    and metals, are left out.
    """
    return [found for row in rows if (found := _future(row, tradifi=tradifi)) is not None]


def _spot(row: SymbolRow) -> Instrument | None:
    filters = {filter_.filter_type: filter_ for filter_ in row.filters}
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL")
    return _instrument(
        row,
        InstrumentKind.SPOT,
        InstrumentId(EXCHANGE, Market.SPOT, f"{row.base_asset}/{row.quote_asset}"),
        filters,
        settle=row.quote_asset,
        price_digits=row.quote_asset_precision,
        quantity_digits=row.base_asset_precision,
        min_notional=notional.min_notional if notional else "",
    )


def _future(row: SymbolRow, *, tradifi: bool) -> Instrument | None:
    kind = _KINDS.get(row.contract_type)
    if kind is None or (row.contract_type == _TRADIFI and not tradifi):
        return None
    pair = f"{row.base_asset}/{row.quote_asset}"
    expiry_us = None
    if kind is InstrumentKind.DATED:
        if not 0 < row.delivery_date < _NEVER_DELIVERED_MS:
            return None
        expiry_us = row.delivery_date * US_PER_MS
        pair += dt.datetime.fromtimestamp(row.delivery_date / 1000, dt.UTC).strftime("-%y%m%d")
    filters = {filter_.filter_type: filter_ for filter_ in row.filters}
    notional = filters.get("MIN_NOTIONAL")
    return _instrument(
        row,
        kind,
        InstrumentId(EXCHANGE, Market.FUTURES, pair),
        filters,
        settle=row.margin_asset or row.quote_asset,
        price_digits=row.price_precision if row.price_precision is not None else 8,
        quantity_digits=row.quantity_precision if row.quantity_precision is not None else 8,
        min_notional=notional.notional if notional else "",
        expiry_us=expiry_us,
    )


def _instrument(
    row: SymbolRow,
    kind: InstrumentKind,
    identity: InstrumentId,
    filters: dict[str, Filter],
    *,
    settle: str,
    price_digits: int,
    quantity_digits: int,
    min_notional: str,
    expiry_us: int | None = None,
) -> Instrument | None:
    """A filter with step 0 is switched off: the precision of the row is the step then."""
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    tick_size = _positive(price.tick_size if price else "") or _step(price_digits)
    lot_size = _positive(lot.step_size if lot else "") or _step(quantity_digits)
    if tick_size is None or lot_size is None:
        return None
    return Instrument(
        id=identity,
        symbol=row.symbol,
        kind=kind,
        base=row.base_asset,
        quote=row.quote_asset,
        settle=settle,
        tick_size=tick_size,
        lot_size=lot_size,
        min_quantity=_positive(lot.min_qty if lot else ""),
        max_quantity=_positive(lot.max_qty if lot else ""),
        min_notional=_positive(min_notional),
        expiry_us=expiry_us,
        active=row.status == "TRADING",
    )


def _positive(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value.normalize() if value.is_finite() and value > 0 else None


def _step(digits: int) -> Decimal | None:
    return Decimal(1).scaleb(-digits) if 0 <= digits <= 18 else None
