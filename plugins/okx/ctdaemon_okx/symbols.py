"""OKX names and instruments: the venue's row to :class:`Instrument`, its ``instId`` to a pair and back.

An ``instId`` is built by the venue with dashes, so a pair can be told without the catalogue:

=================  =================  ==================
instId             instType           pair
=================  =================  ==================
BTC-USDT           SPOT               BTC/USDT
BTC-USDT-SWAP      SWAP, linear       BTC/USDT
BTC-USD-SWAP       SWAP, inverse      BTC/USD
BTC-USDT-261225    FUTURES, linear    BTC/USDT-261225
BTC-USD-261225     FUTURES, inverse   BTC/USD-261225
=================  =================  ==================
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from ctcore.errors import DecodeError, UnknownInstrument
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.instrument import Catalogue, Instrument, InstrumentKind
from ctdaemon_okx.wire import InstrumentRow

EXCHANGE = "okx"

INST_TYPES: dict[Market, tuple[str, ...]] = {Market.SPOT: ("SPOT",), Market.FUTURES: ("SWAP", "FUTURES")}
"""The venue's product types that a market of ctcore is made of."""

_KINDS = {"SPOT": InstrumentKind.SPOT, "SWAP": InstrumentKind.PERPETUAL, "FUTURES": InstrumentKind.DATED}
_SYMBOL = re.compile(r"([A-Z0-9]{1,30})-([A-Z0-9_]{1,30})(?:-(SWAP|\d{6}))?")
_PAIR = re.compile(r"([A-Z0-9]{1,30})/([A-Z0-9_]{1,30})(?:-(\d{6}))?")


def inst_type_of(symbol: str) -> str:
    """``SPOT``, ``SWAP`` or ``FUTURES``; raises :class:`DecodeError` for anything else."""
    suffix = _parts(symbol)[2]
    if not suffix:
        return "SPOT"
    return "SWAP" if suffix == "SWAP" else "FUTURES"


def instrument_of(symbol: str) -> InstrumentId:
    """The identity that a venue's name stands for; raises :class:`DecodeError` for names of other
    products."""
    base, quote, suffix = _parts(symbol)
    if not suffix:
        return InstrumentId(EXCHANGE, Market.SPOT, f"{base}/{quote}")
    pair = f"{base}/{quote}" if suffix == "SWAP" else f"{base}/{quote}-{suffix}"
    return InstrumentId(EXCHANGE, Market.FUTURES, pair)


def symbol_of(instrument: InstrumentId) -> str:
    """The venue's name of an instrument; raises :class:`UnknownInstrument` when it cannot have one."""
    found = _PAIR.fullmatch(instrument.pair)
    dated = found[3] if found else None
    if found is None or (dated and instrument.market is Market.SPOT):
        raise UnknownInstrument(f"{instrument}: OKX has no such name; write BTC/USDT or BTC/USDT-261225")
    name = f"{found[1]}-{found[2]}"
    if instrument.market is Market.SPOT:
        return name
    return f"{name}-{dated or 'SWAP'}"


def listed_symbol(instrument: InstrumentId, catalogue: Catalogue) -> str:
    """The venue's name by the catalogue, or by its structure while the catalogue is empty.

    Raises :class:`UnknownInstrument` for what a catalogue does not list.
    """
    return catalogue[instrument].symbol if len(catalogue) else symbol_of(instrument)


def parse_instrument(row: InstrumentRow) -> Instrument | None:
    """A row of the catalogue; None for products ctcore does not serve and for rows still being prepared.

    Raises :class:`DecodeError` when a row that is traded makes no sense.
    """
    kind = _KINDS.get(row.inst_type)
    if kind is None or _SYMBOL.fullmatch(row.symbol) is None:
        return None
    if not (row.tick_size and row.lot_size):
        return None  # fields may be empty before the listing
    try:
        return _instrument(row, kind)
    except (InvalidOperation, ValueError) as error:
        raise DecodeError(f"instrument {row.symbol}: {error}", kind="instrument") from error


def _instrument(row: InstrumentRow, kind: InstrumentKind) -> Instrument:
    base, quote, _ = _parts(row.symbol)
    spot = kind is InstrumentKind.SPOT
    return Instrument(
        id=instrument_of(row.symbol),
        symbol=row.symbol,
        kind=kind,
        base=base,
        quote=quote,
        settle=quote if spot else row.settle,
        tick_size=_positive(row.tick_size, "tickSz"),
        lot_size=_positive(row.lot_size, "lotSz"),
        min_quantity=_positive(row.min_quantity, "minSz") if row.min_quantity else None,
        max_quantity=_positive(row.max_quantity, "maxLmtSz") if row.max_quantity else None,
        contract_size=Decimal(1) if spot else _contract_size(row),
        inverse=row.contract_type == "inverse",
        expiry_us=int(row.expiry) * 1_000 if kind is InstrumentKind.DATED and row.expiry else None,
        active=row.state == "live",
    )


def _contract_size(row: InstrumentRow) -> Decimal:
    """``ctVal * ctMult``, in units of ``ctValCcy``: the base of linear contracts, USD of inverse ones."""
    return _positive(row.contract_value, "ctVal") * _positive(row.contract_multiplier or "1", "ctMult")


def _positive(text: str, field: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{field} is {text!r}, not a positive number")
    return value


def _parts(symbol: str) -> tuple[str, str, str | None]:
    found = _SYMBOL.fullmatch(symbol)
    if found is None:
        raise DecodeError(f"{symbol[:60]!r} is no instId of a spot pair, swap or dated future", kind="symbol")
    return found[1], found[2], found[3]
