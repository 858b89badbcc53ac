"""What the simulated Binance says about an instrument: the JSON that REST answers and stream payloads share.

Spot pads its decimals to 8 digits, futures print those of the tick and the lot.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from ctcore.model.ids import Market
from ctcore.model.market import Side
from ctcore.model.numbers import plain
from ctcore.model.time import US_PER_MS
from ctcore.sim import Row, SimCandle, SimFunding, SimInstrument, SimLiquidation, SimTrade
from ctcore.sim.book import UnitLevel
from ctdaemon_binance.symbols import stream_symbol

_SPOT_DIGITS = 8
_NEVER_MS = 4_133_404_800_000

TABLE: dict[Market, tuple[Row, ...]] = {
    Market.SPOT: (
        Row(symbol="BTCUSDT", base="BTC", tick="0.01", lot="0.00001", min_notional="5"),
        Row(symbol="ETHUSDT", base="ETH", tick="0.01", lot="0.0001", min_notional="5"),
        Row(symbol="SOLUSDT", base="SOL", tick="0.01", lot="0.001", min_notional="5"),
        Row(symbol="XRPUSDT", base="XRP", tick="0.0001", lot="0.1", min_notional="5"),
    ),
    Market.FUTURES: (
        Row(symbol="BTCUSDT", base="BTC", tick="0.1", lot="0.001", min_notional="100"),
        Row(symbol="ETHUSDT", base="ETH", tick="0.01", lot="0.001", min_notional="20"),
        Row(symbol="SOLUSDT", base="SOL", tick="0.01", lot="0.01", min_notional="5"),
        Row(symbol="XRPUSDT", base="XRP", tick="0.0001", lot="0.1", min_notional="5"),
    ),
}
"""Steps as the venue lists them (2025)."""


class AggregateTrade(msgspec.Struct, frozen=True):
    """What one taker order took at one price: trades ``first`` to ``last``, named by ``first``.

    The venue numbers its aggregates without holes; here their ids grow by the trades in them.
    """

    first: SimTrade
    last: SimTrade
    quantity: int


def aggregated(trades: Iterable[SimTrade]) -> list[AggregateTrade]:
    """Neighbours of one taker order at one price, as one."""
    found: list[AggregateTrade] = []
    for trade in trades:
        before = found[-1] if found else None
        if before and (before.last.taker_order_id, before.last.price) == (trade.taker_order_id, trade.price):
            found[-1] = AggregateTrade(before.first, trade, before.quantity + trade.quantity)
        else:
            found.append(AggregateTrade(trade, trade, trade.quantity))
    return found


def ms(us: int) -> int:
    """A time of the wire."""
    return us // US_PER_MS


class Printer:
    """Prints one instrument's numbers and rows as its market does."""

    def __init__(self, item: SimInstrument) -> None:
        self.item = item
        self.symbol = item.symbol
        self.stream_symbol = stream_symbol(item.symbol)
        self.is_spot = item.derivative is None
        self._digits = _SPOT_DIGITS if self.is_spot else None

    def price(self, ticks: int) -> str:
        """A price."""
        return self.item.prices.text(ticks, self._digits)

    def quantity(self, lots: int) -> str:
        """A quantity."""
        return self.item.quantities.text(lots, self._digits)

    def quote(self, units: int) -> str:
        """An amount of the quote asset, in ticks times lots."""
        return self.item.notionals.text(units, self._digits)

    def mark(self, ticks: float) -> str:
        """A mark or index price: finer than the tick."""
        return f"{ticks * float(self.item.instrument.tick_size):.8f}"

    def levels(self, units: Iterable[UnitLevel]) -> list[list[str]]:
        """Levels of a book."""
        return self.item.texts(units, price_decimals=self._digits, quantity_decimals=self._digits)

    def instrument(self, listed_us: int) -> dict[str, Any]:
        """A row of exchangeInfo."""
        return self._spot_row() if self.is_spot else self._futures_row(ms(listed_us))

    def trade(self, trade: SimTrade) -> dict[str, Any]:
        """A row of /trades."""
        row = {
            "id": trade.trade_id, "price": self.price(trade.price), "qty": self.quantity(trade.quantity),
            "quoteQty": self.quote(trade.price * trade.quantity), "time": ms(trade.us),
            "isBuyerMaker": trade.side is Side.SELL,
        }  # fmt: skip
        return {**row, "isBestMatch": True} if self.is_spot else row

    def trade_event(self, trade: SimTrade, now_us: int) -> dict[str, Any]:
        """The payload of @trade."""
        event = {
            "e": "trade", "E": ms(now_us), "T": ms(trade.us), "s": self.symbol, "t": trade.trade_id,
            "p": self.price(trade.price), "q": self.quantity(trade.quantity), "m": trade.side is Side.SELL,
        }  # fmt: skip
        return {**event, "M": True} if self.is_spot else {**event, "X": "MARKET"}

    def aggregate(self, trade: AggregateTrade) -> dict[str, Any]:
        """A row of /aggTrades, and most of the payload of @aggTrade."""
        row = {
            "a": trade.first.trade_id, "p": self.price(trade.first.price), "q": self.quantity(trade.quantity),
            "f": trade.first.trade_id, "l": trade.last.trade_id, "T": ms(trade.first.us),
            "m": trade.first.side is Side.SELL,
        }  # fmt: skip
        return {**row, "M": True} if self.is_spot else row

    def best(self) -> dict[str, Any]:
        """The best bid and ask as b, B, a, A; zeros where a side is empty."""
        book = self.item.book
        bid, ask = book.best_bid or (0, 0), book.best_ask or (0, 0)
        return {
            "b": self.price(bid[0]), "B": self.quantity(bid[1]),
            "a": self.price(ask[0]), "A": self.quantity(ask[1]),
        }  # fmt: skip

    def candle(self, bar: SimCandle) -> list[Any]:
        """A row of /klines."""
        return [
            ms(bar.open_us), self.price(bar.open), self.price(bar.high), self.price(bar.low),
            self.price(bar.close), self.quantity(bar.volume), ms(bar.end_us) - 1,
            self.quote(bar.quote_volume), bar.trades, self.quantity(bar.buy_volume),
            self.quote(bar.buy_quote_volume), "0",
        ]  # fmt: skip

    def candle_event(self, interval: str, bar: SimCandle) -> dict[str, Any]:
        """The ``k`` of @kline."""
        return {
            "t": ms(bar.open_us), "T": ms(bar.end_us) - 1, "s": self.symbol, "i": interval, "f": -1, "L": -1,
            "o": self.price(bar.open), "c": self.price(bar.close), "h": self.price(bar.high),
            "l": self.price(bar.low), "v": self.quantity(bar.volume), "n": bar.trades, "x": bar.closed,
            "q": self.quote(bar.quote_volume), "V": self.quantity(bar.buy_volume),
            "Q": self.quote(bar.buy_quote_volume), "B": "0",
        }  # fmt: skip

    def day(self, now_us: int) -> dict[str, Any]:
        """The figures of 24 hours under the names of @ticker."""
        day, item = self.item.day(), self.item
        change = day.last - day.open
        average = self.item.prices.number(1) * day.quote_volume / day.volume if day.volume else 0.0
        last = item.trades[-1].quantity if item.trades else 0
        return {
            "p": self.price(change), "P": f"{100 * change / day.open:.3f}", "w": f"{average:.8f}",
            "c": self.price(day.last), "Q": self.quantity(last), "o": self.price(day.open),
            "h": self.price(day.high), "l": self.price(day.low), "v": self.quantity(day.volume),
            "q": self.quote(day.quote_volume), "O": ms(now_us) - 86_400_000, "C": ms(now_us),
            "F": max(0, item.last_trade_id - day.trades), "L": item.last_trade_id, "n": day.trades,
        }  # fmt: skip

    def marks(self) -> dict[str, Any]:
        """Mark price, index price, funding rate and its time, under the names of @markPrice."""
        derivative = self.item.derivative
        if derivative is None:
            return {}
        return {
            "p": self.mark(derivative.mark), "i": self.mark(derivative.index),
            "P": self.mark(derivative.index), "r": f"{derivative.funding_rate:f}",
            "T": ms(derivative.next_funding_us),
        }  # fmt: skip

    def funding(self, funding: SimFunding) -> dict[str, Any]:
        """A row of /fundingRate."""
        return {
            "symbol": self.symbol, "fundingRate": f"{funding.rate:f}", "fundingTime": ms(funding.settled_us),
            "markPrice": self.mark(funding.mark), "rateType": "Regular",
        }  # fmt: skip

    def forced(self, order: SimLiquidation) -> dict[str, Any]:
        """The ``o`` of @forceOrder."""
        quantity = self.quantity(order.quantity)
        return {
            "s": self.symbol, "S": order.side.upper(), "o": "LIMIT", "f": "IOC", "q": quantity,
            "p": self.price(order.price), "ap": self.price(order.average), "X": "FILLED", "l": quantity,
            "z": quantity, "T": ms(order.us),
        }  # fmt: skip

    def _spot_row(self) -> dict[str, Any]:
        listed = self.item.instrument
        return {
            "symbol": self.symbol, "status": "TRADING", "baseAsset": listed.base, "baseAssetPrecision": 8,
            "quoteAsset": listed.quote, "quotePrecision": 8, "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8, "quoteCommissionPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"], "icebergAllowed": False, "ocoAllowed": False,
            "otoAllowed": False, "quoteOrderQtyMarketAllowed": True, "allowTrailingStop": False,
            "cancelReplaceAllowed": False, "amendAllowed": False, "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False, "permissions": [], "permissionSets": [["SPOT"]],
            "filters": [
                *self._steps(8),
                {"filterType": "NOTIONAL", "minNotional": f"{listed.min_notional or 0:.8f}",
                 "applyMinToMarket": True, "maxNotional": "9000000.00000000", "applyMaxToMarket": False,
                 "avgPriceMins": 5},
                {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            ],
        }  # fmt: skip

    def _futures_row(self, listed_ms: int) -> dict[str, Any]:
        listed = self.item.instrument
        return {
            "symbol": self.symbol, "pair": self.symbol, "contractType": "PERPETUAL",
            "deliveryDate": _NEVER_MS, "onboardDate": listed_ms, "status": "TRADING",
            "baseAsset": listed.base, "quoteAsset": listed.quote, "marginAsset": listed.settle,
            "pricePrecision": listed.price_scale, "quantityPrecision": listed.quantity_scale,
            "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": [],
            "orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
            "filters": [
                *self._steps(None),
                {"filterType": "MIN_NOTIONAL", "notional": plain(listed.min_notional or Decimal(0))},
                {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            ],
        }  # fmt: skip

    def _steps(self, digits: int | None) -> list[dict[str, Any]]:
        prices, lots = self.item.prices, self.item.quantities
        tick, lot = prices.text(1, digits), lots.text(1, digits)
        most = lots.text(lots.near(9_000_000.0), digits)
        return [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": prices.text(10**8, digits),
             "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": most, "stepSize": lot},
            {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": most, "stepSize": lot},
        ]  # fmt: skip
