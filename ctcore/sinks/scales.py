"""Which id and which scales each instrument's rows are written with. Pure: no I/O, no clock.

An id stands for a name and its two scales, so that rows tell their own scale for ever. Scales come from the
instrument's description, or from the numbers themselves where none came. They only grow: when a number fits
no more (a finer tick, an average price), the instrument gets finer scales and so a new id. An event whose
numbers fit no scale beside those of the others (more than 15 digits, infinity) is written under an id of its
own with the scale :data:`RAW`, which keeps the bits of the float; the instrument's scales stay as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import attrs

from ctcore.model.ids import InstrumentId, Market
from ctcore.model.instrument import Instrument
from ctcore.model.market import BookDelta, BookSnapshot, MarketEvent, Trade

RAW = -1
"""The scale of numbers kept as the bits of their float."""

_FINEST = 15
_EXACT = 2.0**53

Numbers: TypeAlias = tuple[list[float], list[float]]


def factor(scale: int) -> float:
    """What a float is multiplied by before it is rounded to an integer; 0 for :data:`RAW`."""
    return 0.0 if scale == RAW else 10.0**scale


def fits(value: float, scale: int) -> bool:
    """Does the integer give back the very same float? The engine asks the same of every number."""
    by = factor(scale)
    scaled = value * by
    return abs(scaled) < _EXACT and round(scaled) / by == value


def wide_enough(values: Iterable[float], scale: int) -> int:
    """The smallest scale from ``scale`` up that keeps every value exactly, :data:`RAW` if there is none."""
    if scale == RAW:
        return RAW
    for value in values:
        while not fits(value, scale):
            scale += 1
            if scale > _FINEST:
                return RAW
    return scale


@attrs.frozen
class InstrumentRow:
    """A row of ``instruments``, without the moment it was written."""

    id: int
    exchange: str
    market: str
    pair: str
    symbol: str
    kind: str
    price_scale: int
    quantity_scale: int
    tick: float
    lot: float
    contract_size: float
    inverse: int

    @property
    def name(self) -> tuple[str, str, str]:
        """Whose row it is."""
        return self.exchange, self.market, self.pair


@attrs.frozen
class Written:
    """How an instrument's numbers are written: now, or (factors 0) where they fit no scale."""

    instrument: InstrumentId
    id: int
    price_factor: float
    quantity_factor: float


class Scales:
    """Every instrument's current row. ``rows`` are those that the database holds, oldest first.

    Changes wait in :attr:`pending` until they are stored, which must come before rows that refer to them.
    """

    def __init__(self, rows: Iterable[InstrumentRow] = ()) -> None:
        self._rows: dict[tuple[str, str, str], InstrumentRow] = {}
        self._ids: dict[int, InstrumentRow] = {}
        self._written: dict[InstrumentId, Written] = {}
        self._raw: dict[InstrumentId, Written] = {}
        self.pending: list[InstrumentRow] = []
        self.widened = 0
        for row in rows:
            self._keep(row)

    def describe(self, instrument: Instrument) -> None:
        """Take an instrument's catalogue row; its scales never shrink."""
        known = self._rows.get(_name(instrument.id))
        price_scale, quantity_scale = _kept(instrument.price_scale), _kept(instrument.quantity_scale)
        if known is not None:
            price_scale = _larger(price_scale, known.price_scale)
            quantity_scale = _larger(quantity_scale, known.quantity_scale)
        self._change(InstrumentRow(
            0, *_name(instrument.id), instrument.symbol, str(instrument.kind), price_scale, quantity_scale,
            float(instrument.tick_size), float(instrument.lot_size), float(instrument.contract_size),
            int(instrument.inverse)))

    def written(self, instrument: InstrumentId) -> Written | None:
        """How to write an instrument now; None while nothing is known of it."""
        return self._written.get(instrument)

    def widen(self, events: Iterable[MarketEvent]) -> None:
        """Make every instrument's scales hold the numbers of these events exactly, but for odd events."""
        numbers: dict[InstrumentId, list[Numbers]] = {}
        for event in events:
            numbers.setdefault(event.instrument, []).append(_numbers(event))
        for instrument, each in numbers.items():
            row = self._rows.get(_name(instrument)) or _unknown(instrument)
            price_scale, quantity_scale = _common(each, (row.price_scale, row.quantity_scale))
            self._change(attrs.evolve(row, price_scale=price_scale, quantity_scale=quantity_scale))

    def ids_of(self, instruments: Iterable[InstrumentId]) -> list[int]:
        """Every id that rows of these instruments were ever written with."""
        names = {_name(instrument) for instrument in instruments}
        return sorted(row.id for row in self._ids.values() if row.name in names)

    def exact(self, event: MarketEvent) -> Written:
        """How to write this very event of a known instrument: as any other, or raw where it does not fit."""
        written = self._written[event.instrument]
        row = self._ids[written.id]
        prices, quantities = _numbers(event)
        if all(_holds(row.price_scale, price) for price in prices) and all(
                _holds(row.quantity_scale, quantity) for quantity in quantities):
            return written
        return self.raw(event.instrument)

    def misfits(self, events: Iterable[MarketEvent]) -> set[InstrumentId]:
        """Instruments of which an event fits no scale."""
        return {event.instrument for event in events if self.exact(event).price_factor == factor(RAW)}

    def raw(self, instrument: InstrumentId) -> Written:
        """How to write a known instrument's events as the bits of their floats."""
        if instrument not in self._raw:
            row = attrs.evolve(self._rows[_name(instrument)], price_scale=RAW, quantity_scale=RAW)
            row = attrs.evolve(row, id=self._id_of(row))
            self._ids[row.id] = row
            self._raw[instrument] = Written(instrument, row.id, factor(RAW), factor(RAW))
            self.pending.append(row)
        return self._raw[instrument]

    def __len__(self) -> int:
        return len(self._rows)

    def _change(self, row: InstrumentRow) -> None:
        row = attrs.evolve(row, id=self._id_of(row))
        known = self._rows.get(row.name)
        if row == known:
            return
        if known is not None and known.id != row.id:
            self.widened += 1
        self._keep(row)
        self.pending.append(row)

    def _keep(self, row: InstrumentRow) -> None:
        self._ids[row.id] = row
        instrument = InstrumentId(row.exchange, Market(row.market), row.pair)
        if row.price_scale == row.quantity_scale == RAW:
            self._raw[instrument] = Written(instrument, row.id, factor(RAW), factor(RAW))
            if row.name in self._rows:
                return  # that of odd events, stored beside the instrument's own
        self._rows[row.name] = row
        self._written[instrument] = Written(
            instrument, row.id, factor(row.price_scale), factor(row.quantity_scale))

    def _id_of(self, row: InstrumentRow) -> int:
        """A hash, so that two writers agree without asking each other; on a collision the next number."""
        text = ":".join((*row.name, str(row.price_scale), str(row.quantity_scale)))
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")
        while (other := self._ids.get(number)) is not None and not _same_identity(other, row):
            number = (number + 1) % 2**32
        return number


def _unknown(instrument: InstrumentId) -> InstrumentRow:
    return InstrumentRow(0, *_name(instrument), "", "", 0, 0, 0.0, 0.0, 1.0, 0)


def _name(instrument: InstrumentId) -> tuple[str, str, str]:
    return instrument.exchange, str(instrument.market), instrument.pair


def _kept(scale: int) -> int:
    return scale if scale <= _FINEST else RAW


def _larger(scale: int, known: int) -> int:
    return RAW if RAW in (scale, known) else max(scale, known)


def _same_identity(a: InstrumentRow, b: InstrumentRow) -> bool:
    return (a.name, a.price_scale, a.quantity_scale) == (b.name, b.price_scale, b.quantity_scale)


def _numbers(event: MarketEvent) -> Numbers:
    if isinstance(event, BookSnapshot | BookDelta):
        levels = event.bids + event.asks
        return [price for price, _ in levels], [quantity for _, quantity in levels]
    if isinstance(event, Trade):
        return [event.price], [event.quantity]
    return [], []


def _holds(scale: int, value: float) -> bool:
    return scale == RAW or fits(value, scale)


def _common(each: Sequence[Numbers], scales: tuple[int, int]) -> tuple[int, int]:
    """Scales from ``scales`` up that hold all of these events, or, failing that, all but the odd ones.

    An event is odd when it does not fit by itself, or would make those before it unfit.
    """
    kept: Numbers = ([], [])
    for numbers in each:
        wider = tuple(wide_enough(values, scale) for values, scale in zip(numbers, scales, strict=True))
        odd = any(new == RAW != old for new, old in zip(wider, scales, strict=True))
        if odd or (wider != scales and not all(
                _holds(scale, value) for scale, values in zip(wider, kept, strict=True) for value in values)):
            continue
        scales = (wider[0], wider[1])
        for values, more in zip(kept, numbers, strict=True):
            values.extend(more)
    return scales
