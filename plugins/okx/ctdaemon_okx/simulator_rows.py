"""What the simulated OKX says about an instrument: the JSON rows that REST answers and stream frames share.

All values are strings, times milliseconds. Sizes of swaps are contracts.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from ctcore.errors import UnknownInstrument
from ctcore.model.ids import Market
from ctcore.model.numbers import plain
from ctcore.sim import Row, SimCandle, SimFunding, SimInstrument, SimLiquidation, SimTrade
from ctcore.sim.book import UnitLevel
from ctdaemon_okx.channels import BARS

FUNDING_INTERVAL_MS = 8 * 3_600_000
_BAND = Decimal("0.05")  # of the price limits around the mark

TABLE: dict[Market, tuple[Row, ...]] = {
    Market.SPOT: (
        Row(symbol="BTC-USDT", base="BTC", tick="0.1", lot="0.00000001", min_quantity="0.00001"),
        Row(symbol="ETH-USDT", base="ETH", tick="0.01", lot="0.000001", min_quantity="0.0001"),
        Row(symbol="SOL-USDT", base="SOL", tick="0.01", lot="0.000001", min_quantity="0.001"),
        Row(symbol="XRP-USDT", base="XRP", tick="0.0001", lot="0.000001", min_quantity="1"),
    ),
    Market.FUTURES: (
        Row(symbol="BTC-USDT-SWAP", base="BTC", tick="0.1", lot="0.01", contract_size="0.01"),
        Row(symbol="ETH-USDT-SWAP", base="ETH", tick="0.01", lot="0.01", contract_size="0.1"),
        Row(symbol="SOL-USDT-SWAP", base="SOL", tick="0.01", lot="0.01", contract_size="1"),
        Row(symbol="XRP-USDT-SWAP", base="XRP", tick="0.0001", lot="0.01", contract_size="100"),
    ),
}
"""Steps and contract sizes as the venue lists them (2025)."""

INTERVALS = {bar: interval for interval, bar in BARS.items()}
"""Bar to interval. Of 6H and more there are only the ``utc`` bars: the others would open at UTC+8."""


def ms(us: int) -> str:
    """A time of the wire."""
    return str(us // 1_000)


def inst_type(item: SimInstrument) -> str:
    """``SPOT`` or ``SWAP``."""
    return "SPOT" if item.derivative is None else "SWAP"


def instrument_row(item: SimInstrument, code: int, listed_us: int) -> dict[str, Any]:
    """A row of ``public/instruments``; ``code`` is its ``instIdCode``."""
    listed = item.instrument
    swap = item.derivative is not None
    family = f"{listed.base}-{listed.quote}"
    return {
        "alias": "", "auctionEndTime": "", "baseCcy": "" if swap else listed.base, "category": "1",
        "ctMult": "1" if swap else "", "ctType": "linear" if swap else "",
        "ctVal": plain(listed.contract_size) if swap else "", "ctValCcy": listed.base if swap else "",
        "expTime": "", "instFamily": family if swap else "", "instId": item.symbol, "instIdCode": code,
        "instType": inst_type(item), "lever": "100" if swap else "10", "listTime": ms(listed_us),
        "lotSz": plain(listed.lot_size), "maxIcebergSz": "9999999999", "maxLmtAmt": "20000000",
        "maxLmtSz": "9999999999", "maxMktAmt": "" if swap else "1000000", "maxMktSz": "1000000",
        "maxStopSz": "1000000", "maxTriggerSz": "9999999999", "maxTwapSz": "9999999999",
        "minSz": plain(listed.min_quantity or listed.lot_size), "optType": "",
        "quoteCcy": "" if swap else listed.quote, "ruleType": "normal",
        "settleCcy": listed.settle if swap else "", "state": "live", "stk": "",
        "tickSz": plain(listed.tick_size), "tradeQuoteCcyList": [] if swap else [listed.quote],
        "uly": family if swap else "",
    }  # fmt: skip


def levels(item: SimInstrument, units: Iterable[UnitLevel]) -> list[list[str]]:
    """Rows of a book: price, size, the dead field, and a number of orders (0 where the level is gone)."""
    price, size = item.prices.plain, item.quantities.plain
    return [[price(ticks), size(lots), "0", "1" if lots else "0"] for ticks, lots in units]


def ticker_row(item: SimInstrument, now_us: int) -> dict[str, str]:
    """A row of ``market/ticker`` and of ``tickers``."""
    price, size = item.prices.plain, item.quantities.plain
    day, bid, ask = item.day(), item.book.best_bid, item.book.best_ask
    trades = item.recent_trades(1)
    turnover = item.notionals.decimal(day.quote_volume)
    base = item.quantities.decimal(day.volume) * item.instrument.contract_size
    return {
        "instType": inst_type(item), "instId": item.symbol, "last": price(day.last),
        "lastSz": size(trades[-1].quantity) if trades else "0",
        "askPx": price(ask[0]) if ask else "", "askSz": size(ask[1]) if ask else "",
        "bidPx": price(bid[0]) if bid else "", "bidSz": size(bid[1]) if bid else "",
        "open24h": price(day.open), "high24h": price(day.high), "low24h": price(day.low),
        "volCcy24h": plain(turnover if item.derivative is None else base), "vol24h": size(day.volume),
        "ts": ms(now_us), "sodUtc0": price(day.open), "sodUtc8": price(day.open),
    }  # fmt: skip


def trade_row(item: SimInstrument, trade: SimTrade) -> dict[str, str]:
    """A row of ``market/trades``; the stream adds ``count``."""
    return {
        "instId": item.symbol, "side": trade.side.value, "sz": item.quantities.plain(trade.quantity),
        "px": item.prices.plain(trade.price), "source": "0", "tradeId": str(trade.trade_id),
        "ts": ms(trade.us),
    }  # fmt: skip


def candle_row(item: SimInstrument, bar: SimCandle) -> list[str]:
    """``ts, o, h, l, c, vol, volCcy, volCcyQuote, confirm``."""
    price = item.prices.plain
    turnover = plain(item.notionals.decimal(bar.quote_volume))
    base = plain(item.quantities.decimal(bar.volume) * item.instrument.contract_size)
    return [
        ms(bar.open_us), price(bar.open), price(bar.high), price(bar.low), price(bar.close),
        item.quantities.plain(bar.volume), turnover if item.derivative is None else base, turnover,
        "1" if bar.closed else "0",
    ]  # fmt: skip


def mark_row(item: SimInstrument, now_us: int) -> dict[str, str]:
    """A row of ``mark-price``; of spot it is the last price, as the venue's for margin is near it."""
    mark = item.last_price if item.derivative is None else round(item.derivative.mark)
    kind = "MARGIN" if item.derivative is None else "SWAP"
    return {"instType": kind, "instId": item.symbol, "markPx": item.prices.plain(mark), "ts": ms(now_us)}


def index_row(item: SimInstrument, now_us: int) -> dict[str, str]:
    """A row of ``index-tickers``, named by the family."""
    price = item.prices.plain
    index, day = round(_derivative(item).index), item.day()
    listed = item.instrument
    return {
        "instId": f"{listed.base}-{listed.quote}", "idxPx": price(index), "open24h": price(day.open),
        "high24h": price(max(day.high, index)), "low24h": price(min(day.low, index)),
        "sodUtc0": price(day.open), "sodUtc8": price(day.open), "ts": ms(now_us),
    }  # fmt: skip


def funding_row(item: SimInstrument, now_us: int) -> dict[str, str]:
    """A row of ``funding-rate``."""
    derivative = _derivative(item)
    due_ms = derivative.next_funding_us // 1_000
    (last,) = derivative.fundings(1)
    return {
        "formulaType": "withRate", "fundingRate": plain(derivative.funding_rate), "fundingTime": str(due_ms),
        "instId": item.symbol, "instType": "SWAP", "interestRate": "0.0001", "maxFundingRate": "0.003",
        "method": "current_period", "minFundingRate": "-0.003", "nextFundingRate": "",
        "nextFundingTime": str(due_ms + FUNDING_INTERVAL_MS), "premium": "0",
        "prevFundingTime": ms(last.settled_us), "settFundingRate": plain(last.rate), "settState": "settled",
        "ts": ms(now_us),
    }  # fmt: skip


def settled_row(item: SimInstrument, funding: SimFunding) -> dict[str, str]:
    """A row of ``funding-rate-history``."""
    rate = plain(funding.rate)
    return {
        "formulaType": "withRate", "fundingRate": rate, "fundingTime": ms(funding.settled_us),
        "instId": item.symbol, "instType": "SWAP", "method": "current_period", "realizedRate": rate,
    }  # fmt: skip


def interest_row(item: SimInstrument, now_us: int) -> dict[str, str]:
    """A row of ``open-interest``."""
    contracts = item.quantities.decimal(_derivative(item).open_interest)
    base = contracts * item.instrument.contract_size
    return {
        "instId": item.symbol, "instType": "SWAP", "oi": plain(contracts), "oiCcy": plain(base),
        "oiUsd": plain(base * item.prices.decimal(item.last_price)), "ts": ms(now_us),
    }  # fmt: skip


def limit_row(item: SimInstrument, now_us: int) -> dict[str, Any]:
    """A row of ``price-limit``."""
    mark = item.last_price if item.derivative is None else round(item.derivative.mark)
    span = int(mark * _BAND)
    return {
        "instType": inst_type(item), "instId": item.symbol, "buyLmt": item.prices.plain(mark + span),
        "sellLmt": item.prices.plain(mark - span), "ts": ms(now_us), "enabled": True,
    }  # fmt: skip


def liquidation_row(item: SimInstrument, liquidation: SimLiquidation) -> dict[str, Any]:
    """A row of ``liquidation-orders``; a buying order closes a short position."""
    listed = item.instrument
    family = f"{listed.base}-{listed.quote}"
    detail = {
        "bkLoss": "0", "bkPx": item.prices.plain(liquidation.price), "ccy": "",
        "posSide": "short" if liquidation.side == "buy" else "long", "side": liquidation.side.value,
        "sz": item.quantities.plain(liquidation.quantity), "ts": ms(liquidation.us),
    }  # fmt: skip
    names = {"instFamily": family, "instId": item.symbol, "instType": "SWAP", "uly": family}
    return {"details": [detail], **names}


def _derivative(item: SimInstrument) -> Any:
    if item.derivative is None:
        raise UnknownInstrument(f"{item.symbol} is no swap", code="51001")
    return item.derivative
