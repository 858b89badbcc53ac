"""What can be traded: an instrument's filters and the catalogue of a market.

:class:`Instrument` is the one place where a float becomes a legal Decimal price or quantity.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from decimal import Decimal

import attrs

from ctcore.errors import UnknownInstrument
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.numbers import Rounding, digits_of, exact, to_step


class InstrumentKind(enum.StrEnum):
    """What is bought: the asset itself, or a contract on it."""

    SPOT = "spot"
    PERPETUAL = "perpetual"
    DATED = "dated"


@attrs.frozen(kw_only=True)
class Instrument:
    """One row of a venue's catalogue, in exact decimals.

    ``symbol`` is the venue's own name. ``tick_size`` steps prices, ``lot_size`` steps quantities, both in the
    venue's unit: for derivatives whose quantities are contracts, ``contract_size`` says how much of the base
    asset one contract is (how much of the quote asset when ``inverse``). A limit of None is one the venue
    does not publish. ``active`` is False while the venue does not trade it.
    """

    id: InstrumentId
    symbol: str
    kind: InstrumentKind
    base: str
    quote: str
    settle: str
    tick_size: Decimal
    lot_size: Decimal
    min_quantity: Decimal | None = None
    max_quantity: Decimal | None = None
    min_notional: Decimal | None = None
    contract_size: Decimal = Decimal(1)
    inverse: bool = False
    expiry_us: int | None = None
    active: bool = True

    @property
    def price_scale(self) -> int:
        """Decimal places of a price: history keeps prices as integers of ``10**-price_scale``."""
        return digits_of(self.tick_size)

    @property
    def quantity_scale(self) -> int:
        """Decimal places of a quantity, likewise."""
        return digits_of(self.lot_size)

    def price(self, value: float | Decimal, rounding: Rounding) -> Decimal:
        """A legal price: the multiple of ``tick_size`` next to ``value``."""
        return to_step(_decimal(value), self.tick_size, rounding)

    def quantity(self, value: float | Decimal, rounding: Rounding = "down") -> Decimal:
        """A legal quantity in the venue's unit: the multiple of ``lot_size`` next to ``value``."""
        return to_step(_decimal(value), self.lot_size, rounding)

    def to_base(self, quantity: Decimal, *, price: Decimal | None = None) -> Decimal:
        """Amount of the base asset in ``quantity``; inverse contracts need the ``price`` it is valued at."""
        amount = quantity * self.contract_size
        if not self.inverse:
            return amount
        if not price:
            raise ValueError(f"{self.id} is inverse: its base amount depends on a price")
        return amount / price

    def to_contracts(self, base_amount: Decimal, *, price: Decimal | None = None) -> Decimal:
        """Quantity in the venue's unit that holds ``base_amount``; not rounded to the lot."""
        if not self.inverse:
            return base_amount / self.contract_size
        if not price:
            raise ValueError(f"{self.id} is inverse: its contracts depend on a price")
        return base_amount * price / self.contract_size


class Catalogue:
    """The instruments of one market of one venue, by the venue's symbol and by pair."""

    def __init__(self, exchange: str, market: Market, instruments: Iterable[Instrument] = ()) -> None:
        self.exchange = exchange
        self.market = market
        self._by_symbol: dict[str, Instrument] = {}
        self._by_id: dict[InstrumentId, Instrument] = {}
        self.update(instruments)

    def update(self, instruments: Iterable[Instrument]) -> list[Instrument]:
        """Take rows in, over older ones of the same identity; returns those that are new or changed."""
        changed = []
        for instrument in instruments:
            if self._by_id.get(instrument.id) != instrument:
                changed.append(instrument)
                self._by_symbol[instrument.symbol] = instrument
                self._by_id[instrument.id] = instrument
        return changed

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_id.values())

    def by_symbol(self, symbol: str) -> Instrument | None:
        """The instrument of the venue's own name, or None."""
        return self._by_symbol.get(symbol)

    def get(self, instrument: InstrumentId) -> Instrument | None:
        """The instrument of that identity, or None."""
        return self._by_id.get(instrument)

    def __getitem__(self, instrument: InstrumentId) -> Instrument:
        """Look up by identity; raises :class:`UnknownInstrument` with the nearest pairs of the same base."""
        found = self._by_id.get(instrument)
        if found is None:
            base = instrument.pair.split("/")[0]
            near = sorted(i.id.pair for i in self if i.base == base)[:5]
            hint = f"; it has {', '.join(near)}" if near else ""
            raise UnknownInstrument(f"{self.exchange} {self.market} does not list {instrument.pair}{hint}")
        return found


def _decimal(value: float | Decimal) -> Decimal:
    return value if isinstance(value, Decimal) else exact(value)
