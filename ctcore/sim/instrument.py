"""One simulated instrument: its book, trades, bars and derivative's data, all from one seeded order flow.
Pure."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from itertools import islice

import attrs
import msgspec

from ctcore.model.instrument import Instrument, InstrumentKind
from ctcore.model.market import Side
from ctcore.model.time import US_PER_SEC
from ctcore.sim.book import SimBook, UnitLevel
from ctcore.sim.candles import INTERVALS, CandleSeries, SimCandle, check_interval
from ctcore.sim.derivative import Derivative, SimFunding, SimLiquidation
from ctcore.sim.flow import FlowParameters, OrderFlow
from ctcore.sim.grid import Grid
from ctcore.sim.matching import Execution, OrderKind
from ctcore.sim.past import PastPath
from ctcore.sim.underlying import Underlying

_NEVER_US = 1 << 62
_BASIS_VOLATILITY = 3e-6
_BASIS_REVERSION_SEC = 600.0
_OPEN_ORDERS = 5_000  # open interest at the start, in typical orders


class SimTrade(msgspec.Struct, frozen=True, gc=False):
    """One match; ``price`` in ticks, ``quantity`` in lots, ``side`` the taker's. Ids grow by 1."""

    trade_id: int
    us: int
    price: int
    quantity: int
    side: Side
    maker_order_id: int
    taker_order_id: int


@attrs.frozen
class SimDay:
    """The last 24 hours, to a quarter of an hour: prices in ticks, volume in lots, quote volume in ticks
    times lots."""

    open_us: int
    open: int
    high: int
    low: int
    last: int
    volume: int
    quote_volume: int
    trades: int


@attrs.frozen(kw_only=True)
class Listing:
    """What is to be traded: the catalogue row, where its price starts (in quote), how busy it is."""

    instrument: Instrument
    initial_price: Decimal
    flow: FlowParameters = attrs.field(factory=FlowParameters)


class SimInstrument:
    """One instrument at work. Made by :class:`~ctcore.sim.market.SimMarket`.

    ``prices``, ``quantities`` and ``notionals`` are the grids that print ticks, lots, and ticks times lots
    (in the quote asset, contracts converted). ``derivative`` is None on spot.
    """

    def __init__(self, listing: Listing, seed: int, start_us: int, *, trade_limit: int = 5_000) -> None:
        instrument = listing.instrument
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.listing = listing
        self.prices = Grid(instrument.tick_size)
        self.quantities = Grid(instrument.lot_size)
        self.notionals = Grid(instrument.tick_size * instrument.lot_size * instrument.contract_size)
        self.now_us = start_us
        self.trades: deque[SimTrade] = deque(maxlen=trade_limit)
        self.last_trade_id = start_us // 1_000  # so that ids go on growing when the venue is started anew
        ticks = max(1, round(listing.initial_price / instrument.tick_size))
        self.last_price = ticks
        draw = random.Random(f"{seed}:{instrument.id}")
        flow = listing.flow
        self.book = SimBook(first_update_id=draw.randint(10_000, 99_999))
        self._flow = OrderFlow(f"{seed}:{instrument.id}:flow", self.book, flow, float(ticks))
        # the spot and the perpetual of a pair have one seed, so that they move together
        pair = f"{seed}:{instrument.base}/{instrument.quote}"
        self._underlying = Underlying(
            pair, float(listing.initial_price), volatility=flow.volatility, reversion_sec=flow.reversion_sec
        )
        self._basis = Underlying(
            f"{seed}:{instrument.id}:basis",
            1.0,
            volatility=_BASIS_VOLATILITY,
            reversion_sec=_BASIS_REVERSION_SEC,
        )
        self.derivative: Derivative | None = None
        if instrument.kind is not InstrumentKind.SPOT:
            interest = flow.order_lots * _OPEN_ORDERS
            name = f"{seed}:{instrument.id}:derivative"
            self.derivative = Derivative(name, start_us, float(ticks), interest)
        takes_per_sec = flow.activity * flow.taker_share
        past = PastPath(
            f"{pair}:past",
            start_us,
            ticks,
            volatility=flow.volatility,
            trades_per_sec=takes_per_sec * 2,
            lots_per_sec=takes_per_sec * flow.order_lots * 3,
        )
        self._series = {name: CandleSeries(name, start_us, ticks, past) for name in INTERVALS}
        self._forced = random.Random(f"{seed}:{instrument.id}:liquidations")
        self._forced_us = self._next_forced(start_us)
        self._day: tuple[int, SimDay] | None = None
        self._flow.fill(start_us)

    # what a venue publishes

    def trades_since(self, trade_id: int) -> list[SimTrade]:
        """Trades after ``trade_id``, oldest first, as far as the ring remembers them."""
        return self.recent_trades(self.last_trade_id - trade_id)

    def recent_trades(self, limit: int) -> list[SimTrade]:
        """The last ``limit`` trades, oldest first."""
        return list(islice(reversed(self.trades), max(0, limit)))[::-1]

    def candles(
        self, interval: str, limit: int, *, begin_us: int | None = None, end_us: int | None = None
    ) -> list[SimCandle]:
        """Bars that open from ``begin_us`` to ``end_us``, oldest first, the growing one included.

        With ``begin_us`` the first ``limit`` of them, else the last. Bars before the start of the market
        are drawn from the seed. Raises :class:`RequestRefused` for an interval that is not in
        ``INTERVALS``.
        """
        series = self._series[check_interval(interval)]
        series.roll(self.now_us)
        return series.bars(max(0, limit), begin_us=begin_us, end_us=end_us)

    def day(self) -> SimDay:
        """Figures of the last 24 hours."""
        series = self._series["15m"]
        series.roll(self.now_us)
        growing = series.bars(1)[0]
        if self._day is None or self._day[0] != growing.open_us:
            self._day = (growing.open_us, _sum(series.bars(97)[:-1]))
        past = self._day[1]
        return SimDay(
            past.open_us,
            past.open,
            max(past.high, growing.high),
            min(past.low, growing.low),
            self.last_price,
            past.volume + growing.volume,
            past.quote_volume + growing.quote_volume,
            past.trades + growing.trades,
        )

    def liquidations_since(self, liquidation_id: int) -> list[SimLiquidation]:
        """Liquidations after an id, oldest first; none on spot."""
        ring = self.derivative.liquidations if self.derivative else ()
        return [item for item in ring if item.liquidation_id > liquidation_id]

    def fundings(self, limit: int) -> list[SimFunding]:
        """The last settled fundings, oldest first; none on spot."""
        return self.derivative.fundings(limit) if self.derivative else []

    def texts(
        self,
        levels: Iterable[UnitLevel],
        *,
        price_decimals: int | None = None,
        quantity_decimals: int | None = None,
    ) -> list[list[str]]:
        """Levels as the ``[price, quantity]`` strings of the wire, padded to the decimals given."""
        price, quantity = self.prices.text, self.quantities.text
        return [[price(ticks, price_decimals), quantity(lots, quantity_decimals)] for ticks, lots in levels]

    # what comes in

    def place(
        self,
        side: Side,
        quantity: int,
        *,
        price: int | None = None,
        kind: OrderKind = OrderKind.LIMIT,
        owner: str | None = None,
    ) -> Execution:
        """Send an order to the book, now; see :meth:`ctcore.sim.matching.MatchingBook.place`."""
        return self._settle(self.book.place(self.now_us, side, quantity, price=price, kind=kind, owner=owner))

    def cancel(self, order_id: int) -> bool:
        """Take an order off the book; False when it does not rest there."""
        self._flow.forget(order_id)
        return self.book.cancel(self.now_us, order_id)

    # what the market calls

    def run_to(self, until_us: int) -> None:
        """Perform the flow's events up to a moment, that moment included."""
        flow = self._flow
        while True:
            self.now_us = min(flow.next_us, self._forced_us)
            if self.now_us > until_us:
                break
            if self._forced_us < flow.next_us:
                self._liquidate()
                continue
            execution = flow.event(self.now_us)
            if execution is not None and execution.fills:
                self._settle(execution)
        self.now_us = until_us

    def step(self, step_us: int) -> None:
        """Move the fair price, and what hangs on it, by ``step_us`` up to now."""
        self._underlying.step(step_us)
        self._basis.step(step_us)
        tick = float(self.instrument.tick_size)
        index = self._underlying.price / tick
        if self.derivative is None:
            self._flow.fair = index
            return
        self._flow.fair = index * self._basis.price
        self.derivative.step(self.now_us, step_us, index, self.middle)

    def skip(self, us: int) -> None:
        """Let ``us`` microseconds pass without any event."""
        self.now_us += us
        self._flow.next_us += us
        self._forced_us += us
        if self.derivative is not None:
            self.derivative.settle(self.now_us)

    @property
    def middle(self) -> float:
        """Halfway between the best bid and ask, in ticks; the last price while a side is empty."""
        bid, ask = self.book.best_bid, self.book.best_ask
        return float(self.last_price) if bid is None or ask is None else (bid[0] + ask[0]) / 2

    def _settle(self, execution: Execution) -> Execution:
        """Turn fills into trades and bars."""
        side, buy = execution.side, execution.side is Side.BUY
        for price, quantity, maker_id, maker_owner, maker_left in execution.fills:
            self.last_trade_id += 1
            self.last_price = price
            self.trades.append(SimTrade(
                self.last_trade_id, self.now_us, price, quantity, side, maker_id, execution.order_id
            ))
            for series in self._series.values():
                series.add(self.now_us, price, quantity, buy=buy)
            if maker_owner is None and not maker_left:
                self._flow.forget(maker_id)
        return execution

    def _next_forced(self, now_us: int) -> int:
        rate = self.listing.flow.liquidations_per_min if self.derivative else 0.0
        if not rate:
            return _NEVER_US
        return now_us + 1 + int(self._forced.expovariate(rate) * 60 * US_PER_SEC)

    def _liquidate(self) -> None:
        """Force a position's order through the book; the side that the fair price went against."""
        self._forced_us = self._next_forced(self.now_us)
        falling = self._flow.fair < self.middle
        side = Side.SELL if falling or self._forced.random() < 0.25 else Side.BUY
        lots = self._flow.typical_lots * self._forced.randint(1, 30)
        execution = self.book.place(self.now_us, side, lots, kind=OrderKind.MARKET)
        if self.derivative is None or not execution.fills:
            return
        self._settle(execution)
        filled = execution.filled
        average = sum(fill.price * fill.quantity for fill in execution.fills) // filled
        self.derivative.liquidated(self.now_us, side, execution.fills[-1].price, average, filled)


def _sum(bars: list[SimCandle]) -> SimDay:
    """Bars as one."""
    return SimDay(
        bars[0].open_us,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
        sum(bar.quote_volume for bar in bars),
        sum(bar.trades for bar in bars),
    )
