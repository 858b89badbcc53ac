"""Who and where: markets, channels and the identity of an instrument. Imports nothing of ctcore but errors.
"""

from __future__ import annotations

import enum

import attrs

from ctcore.errors import ConfigError


class Market(enum.StrEnum):
    """A venue's family of products; the same symbol may live in both."""

    SPOT = "spot"
    FUTURES = "futures"


class Channel(enum.StrEnum):
    """A kind of market data; the value is the ``type`` of its unified message."""

    ORDERBOOK = "orderbook"
    TRADE = "trade"
    TICKER = "ticker"
    CANDLE = "candle"
    MARK = "mark"
    FUNDING = "funding"
    OPEN_INTEREST = "open_interest"
    LIQUIDATION = "liquidation"


FUTURES_ONLY = frozenset({Channel.MARK, Channel.FUNDING, Channel.OPEN_INTEREST, Channel.LIQUIDATION})


@attrs.frozen(cache_hash=True)
class InstrumentId:
    """Identity of an instrument: ``binance:spot:BTC/USDT``, ``okx:futures:BTC/USDT`` (linear perpetual).

    Dated contracts carry their expiry in the pair (``BTC/USDT-261225``), inverse ones their settlement
    (``BTC/USD``).
    """

    exchange: str
    market: Market
    pair: str

    def __str__(self) -> str:
        return f"{self.exchange}:{self.market}:{self.pair}"

    @classmethod
    def parse(cls, text: str) -> InstrumentId:
        """Read the text form back; raises :class:`ConfigError` that names what is wrong with it."""
        parts = text.split(":", 2)
        if len(parts) != 3 or not all(parts):
            raise ConfigError(f"{text!r} is not an instrument; write it as binance:spot:BTC/USDT")
        exchange, market, pair = parts
        try:
            return cls(exchange.lower(), Market(market.lower()), pair.upper())
        except ValueError:
            raise ConfigError(f"{text!r}: market {market!r} is neither 'spot' nor 'futures'") from None


@attrs.frozen(cache_hash=True)
class Subscription:
    """One stream somebody wants.

    ``depth`` counts the levels a side of an order book (0 = the whole book the venue gives) and ``interval``
    names the bar of a candle; both are ignored by the other channels.
    """

    instrument: InstrumentId
    channel: Channel
    depth: int = 0
    interval: str = "1m"

    def __str__(self) -> str:
        extra = ""
        if self.channel is Channel.ORDERBOOK and self.depth:
            extra = f"({self.depth})"
        elif self.channel is Channel.CANDLE:
            extra = f"({self.interval})"
        return f"{self.instrument} {self.channel}{extra}"
