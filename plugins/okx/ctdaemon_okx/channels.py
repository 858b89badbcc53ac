"""The venue's channels: which of them a subscription needs, and how their frames become market events.

Every decoder is ``(instrument, frame, now_us) -> events``. Order books are apart, in
:mod:`ctdaemon_okx.books`. A decoder lets the decoding errors of msgspec through; the session gives them
their name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TypeAlias

from ctcore.contracts.driver import Effect
from ctcore.errors import ConfigError, DecodeError, OutdatedFormat
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.model.instrument import Catalogue
from ctcore.model.market import (
    Candle,
    FundingRate,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
)
from ctdaemon_okx.symbols import inst_type_of, listed_symbol
from ctdaemon_okx.wire import (
    ABSURD,
    CANDLES,
    FUNDINGS,
    INTERESTS,
    LIQUIDATIONS,
    MARKS,
    QUOTES,
    TICKERS,
    TRADES,
    Arg,
    CandleRow,
    Level,
    TickerRow,
)

Handler: TypeAlias = Callable[[bytes, int], Iterable[Effect]]
"""One data frame and the time it came at, to what is to be done."""

BARS = {
    "1s": "1s", "1m": "1m", "3m": "3m", "5m": "5m", "15m": "15m", "30m": "30m", "1h": "1H", "2h": "2H",
    "4h": "4H", "6h": "6Hutc", "12h": "12Hutc", "1d": "1Dutc", "1w": "1Wutc", "1M": "1Mutc",
}  # fmt: skip
"""Interval to the venue's bar. Plain bars of 6H and up open at UTC+8, so the ``utc`` ones are asked for."""

DEEP_BOOKS = frozenset({"books", "books-l2-tbt", "books50-l2-tbt"})
"""Books of a snapshot and updates."""

FULL_BOOK = "books5"
"""The book whose every message is the whole picture."""

BOOKS = DEEP_BOOKS | {FULL_BOOK}

LIQUIDATION_ORDERS = "liquidation-orders"

_ASIDE = frozenset({"instruments", "index-tickers", "price-limit", "status", "estimated-price"})

_INTERVALS = {bar: interval for interval, bar in BARS.items()}
_CANDLE = "candle"


def args_of(subscription: Subscription, symbol: str, *, deep: bool, quotes: str) -> list[Arg]:
    """The channels that serve a subscription.

    ``deep`` tells that somebody wants more than 5 levels of this instrument, so that ``books5`` would not do.
    Raises :class:`ConfigError` for an interval that the venue has no bar of.
    """
    match subscription.channel:
        case Channel.ORDERBOOK:
            return [Arg("books" if deep else FULL_BOOK, symbol)]
        case Channel.TRADE:
            return [Arg("trades", symbol)]
        case Channel.TICKER:
            return [Arg("tickers", symbol), *([Arg("bbo-tbt", symbol)] if quotes == "bbo-tbt" else [])]
        case Channel.CANDLE:
            bar = BARS.get(subscription.interval)
            if bar is None:
                raise ConfigError(f"{subscription}: OKX has no such bar; choose one of {', '.join(BARS)}")
            return [Arg(_CANDLE + bar, symbol)]
        case Channel.MARK:
            return [Arg("mark-price", symbol)]
        case Channel.FUNDING:
            return [Arg("funding-rate", symbol)]
        case Channel.OPEN_INTEREST:
            return [Arg("open-interest", symbol)]
        case Channel.LIQUIDATION:
            return [Arg(LIQUIDATION_ORDERS, inst_type=inst_type_of(symbol))]


def wanted_args(
    subscriptions: Sequence[Subscription], catalogue: Catalogue, quotes: str
) -> dict[Arg, InstrumentId | None]:
    """Every channel that these subscriptions need, once, in their order; None for those of a whole product
    type."""
    deep = {s.instrument for s in subscriptions if s.channel is Channel.ORDERBOOK and s.depth != 5}
    found: dict[Arg, InstrumentId | None] = {}
    for subscription in subscriptions:
        instrument = subscription.instrument
        symbol = listed_symbol(instrument, catalogue)
        for arg in args_of(subscription, symbol, deep=instrument in deep, quotes=quotes):
            found[arg] = instrument if arg.symbol else None
    return found


def shown_only(name: str) -> bool:
    """Is it a public channel that carries no market event of ctcore?"""
    return name in _ASIDE or name.startswith(("mark-price-candle", "index-candle"))


def channel_of(name: str) -> Channel | None:
    """The channel of ctcore that a venue's channel belongs to; None for those aside."""
    if name in BOOKS:
        return Channel.ORDERBOOK
    if name.startswith(_CANDLE):
        return Channel.CANDLE
    return _CHANNELS.get(name)


def handler_of(name: str, instrument: InstrumentId, *, with_quotes: bool) -> Handler | None:
    """The decoder of one instrument's channel; None when the name is unknown.

    ``with_quotes`` False leaves the best bid and offer out of ``tickers``: they are older than those of
    ``bbo-tbt`` by up to seconds and would undo them.
    """
    if name.startswith(_CANDLE):
        bar = name.removeprefix(_CANDLE)
        return partial(candles, instrument, _INTERVALS.get(bar, bar))
    if name == "tickers":
        return partial(tickers, instrument, with_quotes)
    decoder = _DECODERS.get(name)
    return partial(decoder, instrument) if decoder else None


def trades(instrument: InstrumentId, frame: bytes, now_us: int) -> list[Effect]:
    """``trades`` (may merge one taker's fills at one price) and ``trades-all``; ids have holes by design."""
    return [
        Trade(instrument, row.ts * 1_000, now_us, row.trade_id, row.px, row.sz, row.side)
        for row in TRADES.decode(frame).data
    ]


def quotes(instrument: InstrumentId, frame: bytes, now_us: int) -> list[Effect]:
    """``bbo-tbt``: an empty side is None."""
    events: list[Effect] = []
    for row in QUOTES.decode(frame).data:
        bid, bid_quantity = _best(row.bids)
        ask, ask_quantity = _best(row.asks)
        ticker = Ticker(instrument, row.ts * 1_000, now_us, bid, bid_quantity, ask, ask_quantity, seq=row.seq)
        events.append(ticker)
    return events


def tickers(instrument: InstrumentId, with_quotes: bool, frame: bytes, now_us: int) -> list[Effect]:
    """``tickers``: any value may be empty. ``volCcy24h`` is quote currency on spot, base on derivatives."""
    return [_ticker(instrument, with_quotes, row, now_us) for row in TICKERS.decode(frame).data]


def candles(instrument: InstrumentId, interval: str, frame: bytes, now_us: int) -> list[Effect]:
    """``candle*``: rows carry no time but the bar's own, so the exchange time is that of receipt."""
    return [_candle(instrument, interval, row, now_us) for row in CANDLES.decode(frame).data]


def marks(instrument: InstrumentId, frame: bytes, now_us: int) -> list[Effect]:
    """``mark-price``."""
    return [MarkPrice(instrument, row.ts * 1_000, now_us, row.mark) for row in MARKS.decode(frame).data]


def fundings(instrument: InstrumentId, frame: bytes, now_us: int) -> list[Effect]:
    """``funding-rate``: the rate due next; older messages carry no time of their own."""
    return [
        FundingRate(instrument, row.ts * 1_000 if row.ts else now_us, now_us, row.rate, row.due * 1_000)
        for row in FUNDINGS.decode(frame).data
    ]


def interests(instrument: InstrumentId, frame: bytes, now_us: int) -> list[Effect]:
    """``open-interest``, in contracts."""
    return [OpenInterest(instrument, row.ts * 1_000, now_us, row.oi) for row in INTERESTS.decode(frame).data]


def liquidations(
    identify: Callable[[str], InstrumentId | None], frame: bytes, now_us: int
) -> list[Effect]:
    """``liquidation-orders`` of a whole product type; ``identify`` gives None for instruments nobody wants.

    ``side`` is that of the liquidating order: it buys where ``posSide`` is short.
    """
    events: list[Effect] = []
    for row in LIQUIDATIONS.decode(frame).data:
        instrument = identify(row.symbol)
        if instrument is not None:
            events += [
                Liquidation(instrument, detail.ts * 1_000, now_us, detail.side, detail.price, detail.sz)
                for detail in row.details
            ]
    return events


def _ticker(instrument: InstrumentId, with_quotes: bool, row: TickerRow, now_us: int) -> Ticker:
    bid, bid_size, ask, ask_size = (
        (_number(row.bid), _number(row.bid_size), _number(row.ask), _number(row.ask_size))
        if with_quotes else (None, None, None, None)
    )  # fmt: skip
    turnover = _number(row.volume_currency) if instrument.market is Market.SPOT else None
    return Ticker(instrument, row.ts * 1_000, now_us, bid, bid_size, ask, ask_size,
                  _number(row.last), _number(row.volume), turnover)


def _candle(instrument: InstrumentId, interval: str, row: CandleRow, now_us: int) -> Candle:
    if row.volume_quote is None or row.confirm is None:
        raise OutdatedFormat("candle without confirm, the form of 2022: whether it is closed is not told")
    return Candle(instrument, now_us, now_us, interval, row.ts * 1_000, row.open, row.high, row.low,
                  row.close, row.volume, row.volume_quote, row.confirm == "1")


def _best(levels: Collection[Level]) -> tuple[float | None, float | None]:
    for level in levels:
        return level.price, level.quantity
    return None, None


def _number(text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= ABSURD:
        raise DecodeError(f"tickers: {text[:40]!r} is no sensible number", kind="tickers")
    return value


_CHANNELS = {
    "trades": Channel.TRADE,
    "trades-all": Channel.TRADE,
    "tickers": Channel.TICKER,
    "bbo-tbt": Channel.TICKER,
    "mark-price": Channel.MARK,
    "funding-rate": Channel.FUNDING,
    "open-interest": Channel.OPEN_INTEREST,
    LIQUIDATION_ORDERS: Channel.LIQUIDATION,
}

_DECODERS: dict[str, Callable[[InstrumentId, bytes, int], list[Effect]]] = {
    "trades": trades,
    "trades-all": trades,
    "bbo-tbt": quotes,
    "mark-price": marks,
    "funding-rate": fundings,
    "open-interest": interests,
}
