"""The default set of instruments: prices and habits of well-known assets, over a venue's own table of
steps."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import attrs

from ctcore.errors import ConfigError
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.instrument import Instrument, InstrumentKind
from ctcore.sim.flow import FlowParameters
from ctcore.sim.instrument import Listing


@attrs.frozen
class Asset:
    """Where an asset's price starts (in US dollars), the dollars of its typical order, and how fast it moves.

    ``volatility`` is the standard deviation of the price's logarithm over one second. ``weight`` scales the
    activity.
    """

    price: Decimal
    order_usd: float
    volatility: float
    weight: float = 1.0


ASSETS = {
    "BTC": Asset(Decimal("64250.5"), 4_000, 1.6e-5, 1.3),
    "ETH": Asset(Decimal("3180.2"), 2_500, 2.0e-5, 1.2),
    "SOL": Asset(Decimal("152.4"), 1_500, 2.6e-5),
    "XRP": Asset(Decimal("2.1375"), 900, 2.4e-5),
    "BNB": Asset(Decimal("605.3"), 1_200, 1.8e-5),
    "ADA": Asset(Decimal("0.6812"), 600, 2.6e-5, 0.8),
    "DOGE": Asset(Decimal("0.18245"), 700, 3.0e-5, 0.9),
    "LTC": Asset(Decimal("91.7"), 500, 2.2e-5, 0.7),
}
"""Assets that a simulated venue can list by default."""


@attrs.frozen(kw_only=True)
class Row:
    """One line of a venue's table: an asset of :data:`ASSETS` against ``quote``, with the venue's own
    steps."""

    symbol: str
    base: str
    tick: Decimal = attrs.field(converter=Decimal)
    lot: Decimal = attrs.field(converter=Decimal)
    quote: str = "USDT"
    contract_size: Decimal = attrs.field(converter=Decimal, default=Decimal(1))
    min_quantity: Decimal | None = attrs.field(converter=attrs.converters.optional(Decimal), default=None)
    min_notional: Decimal | None = attrs.field(converter=attrs.converters.optional(Decimal), default=None)


def default_listings(
    exchange: str, market: Market, rows: Iterable[Row], *, activity: float = 30.0, levels: int = 400
) -> list[Listing]:
    """Listings of a venue's table; ``activity`` is level changes a second of an asset of weight 1.

    Futures rows become linear perpetuals. Raises :class:`ConfigError` for an asset that is not in
    :data:`ASSETS`.
    """
    return [_listing(exchange, market, row, activity, levels) for row in rows]


def _listing(exchange: str, market: Market, row: Row, activity: float, levels: int) -> Listing:
    asset = ASSETS.get(row.base)
    if asset is None:
        known = ", ".join(ASSETS)
        raise ConfigError(f"{row.symbol}: no price is known for {row.base}; the assets are {known}")
    instrument = Instrument(
        id=InstrumentId(exchange, market, f"{row.base}/{row.quote}"),
        symbol=row.symbol,
        kind=InstrumentKind.SPOT if market is Market.SPOT else InstrumentKind.PERPETUAL,
        base=row.base,
        quote=row.quote,
        settle=row.quote,
        tick_size=row.tick,
        lot_size=row.lot,
        min_quantity=row.min_quantity or row.lot,
        min_notional=row.min_notional,
        contract_size=row.contract_size,
    )
    lot_usd = float(row.lot * row.contract_size * asset.price)
    flow = FlowParameters(
        activity=activity * asset.weight,
        levels=levels,
        order_lots=max(1, round(asset.order_usd / lot_usd)),
        volatility=asset.volatility,
    )
    return Listing(instrument=instrument, initial_price=asset.price, flow=flow)
