"""Binance's payloads -> ctcore's events, one pure function a kind. Order books are in
:mod:`ctdaemon_binance.stream`.

Each function takes the payload, the time of receipt and a way to name the instrument of a symbol, and raises
:class:`~ctcore.errors.DecodeError` with the name of the kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ctcore.errors import DecodeError
from ctcore.model.ids import InstrumentId
from ctcore.model.market import Candle, FundingRate, Liquidation, MarketEvent, MarkPrice, Side, Ticker, Trade
from ctcore.model.time import US_PER_MS
from ctdaemon_binance import wire
from ctdaemon_binance.rest import decode

InstrumentOf: TypeAlias = Callable[[str], InstrumentId]
Parse: TypeAlias = Callable[[bytes, int, InstrumentOf], Sequence[MarketEvent]]

_BUY, _SELL = Side.BUY, Side.SELL
"""For the hot path: looking a member up in its enum costs 0.1 us in Python 3.11."""

_NO_TRADE = frozenset({"INSURANCE_FUND", "ADL", "NA"})
"""``X`` of futures trades that are settled beside the book."""

_COIN_MARGINED = 2
"""``st`` of rows of the COIN-M service, which all-market arrays carry too."""


def trade(payload: bytes, now_us: int, instrument_of: InstrumentOf) -> Sequence[MarketEvent]:
    """``trade``: every single trade."""
    told = decode(wire.TRADE, payload, "trade")
    if told.X in _NO_TRADE:
        return ()
    if not told.p or not told.q:
        raise DecodeError(f"binance trade {told.s} {told.t}: {told.q:g} at {told.p:g}", kind="trade")
    side = _SELL if told.m else _BUY
    return (Trade(instrument_of(told.s), told.T * US_PER_MS, now_us, str(told.t), told.p, told.q, side),)


def agg_trade(payload: bytes, now_us: int, instrument_of: InstrumentOf) -> Sequence[MarketEvent]:
    """``aggTrade``: what one taker order took at one price counts as one trade."""
    told = decode(wire.AGG_TRADE, payload, "aggTrade")
    side = _SELL if told.m else _BUY
    return (Trade(instrument_of(told.s), told.T * US_PER_MS, now_us, str(told.a), told.p, told.q, side),)


def book_ticker(payload: bytes, now_us: int, instrument_of: InstrumentOf) -> Sequence[MarketEvent]:
    """``bookTicker``; spot tells no time: the time of receipt stands for it."""
    told = decode(wire.BOOK_TICKER, payload, "bookTicker")
    exchange_us = (told.T or told.E) * US_PER_MS or now_us
    return (
        Ticker(
            instrument_of(told.s),
            exchange_us,
            now_us,
            told.b or None,
            told.B if told.b else None,
            told.a or None,
            told.A if told.a else None,
            seq=told.u,
        ),
    )


def day_ticker(payload: bytes, now_us: int, instrument_of: InstrumentOf) -> Sequence[MarketEvent]:
    """``24hrTicker`` and ``24hrMiniTicker``: the last price and the volumes.

    The best bid and ask of spot's are left out: they are up to a second old, and ``bookTicker`` has newer.
    """
    told = decode(wire.DAY_TICKER, payload, "24hrTicker")
    if told.st == _COIN_MARGINED:
        return ()
    return (
        Ticker(
            instrument_of(told.s),
            told.E * US_PER_MS,
            now_us,
            last=told.c or None,
            volume_24h=told.v,
            quote_volume_24h=told.q,
        ),
    )


def window_ticker(payload: bytes, now_us: int, instrument_of: InstrumentOf) -> Sequence[MarketEvent]:
    """``1hTicker``, ``4hTicker``, ``1dTicker``: the last price; their volumes are not those of 24 hours."""
    told = decode(wire.DAY_TICKER, payload, "windowTicker")
    return (Ticker(instrument_of(told.s), told.E * US_PER_MS, now_us, last=told.c or None),)


def kline(payload: bytes, now_us: int, instrument_of: InstrumentOf) -> Sequence[MarketEvent]:
    """``kline``, and ``continuous_kline`` of perpetuals, whose pair is their symbol."""
    told = decode(wire.KLINE, payload, "kline")
    symbol = told.s or (told.ps if told.ct == "PERPETUAL" else "")
    if not symbol:
        raise DecodeError(f"binance kline of {told.ps or '?'} {told.ct}: no symbol in it", kind="kline")
    bar = told.k
    return (
        Candle(
            instrument_of(symbol),
            told.E * US_PER_MS,
            now_us,
            bar.i,
            bar.t * US_PER_MS,
            bar.o,
            bar.h,
            bar.l,
            bar.c,
            bar.v,
            bar.q,
            bar.x,
        ),
    )


def mark_price(payload: bytes, now_us: int, instrument_of: InstrumentOf) -> Sequence[MarketEvent]:
    """``markPriceUpdate``: mark and index price, and the funding rate of contracts that have one."""
    told = decode(wire.MARK_PRICE, payload, "markPrice")
    if told.st == _COIN_MARGINED:
        return ()
    instrument, exchange_us = instrument_of(told.s), told.E * US_PER_MS
    index = _number(told.i, "index") if told.i else None
    events: list[MarketEvent] = [MarkPrice(instrument, exchange_us, now_us, told.p, index or None)]
    if told.r and told.T:
        rate = _number(told.r, "funding rate")
        events.append(FundingRate(instrument, exchange_us, now_us, rate, told.T * US_PER_MS))
    return events


def force_order(payload: bytes, now_us: int, instrument_of: InstrumentOf) -> Sequence[MarketEvent]:
    """``forceOrder``: at most one liquidation a second and symbol, the largest."""
    told = decode(wire.FORCE_ORDER, payload, "forceOrder")
    if told.st == _COIN_MARGINED:
        return ()
    order = told.o
    if order.S not in ("BUY", "SELL"):
        raise DecodeError(f"binance forceOrder {order.s}: side {order.S[:20]!r}", kind="forceOrder")
    side = _BUY if order.S == "BUY" else _SELL
    price, quantity = order.ap or order.p, order.z or order.q
    return (Liquidation(instrument_of(order.s), order.T * US_PER_MS, now_us, side, price, quantity),)


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -1e15 < value < 1e15:
        raise DecodeError(f"binance markPrice: {what} {text[:40]!r} is no number", kind="markPrice")
    return value
