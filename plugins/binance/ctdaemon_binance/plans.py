"""From what is wanted to connections: stream names, which futures socket carries which, and how many go on
one.

A *part* is a socket of its own: ``spot``, and for futures ``futures_public`` and ``futures_market``, between
which Binance divided its streams in 2026; a stream asked on the wrong one stays silent. The part is the
second word of a plan's name, ``binance-futures_public-1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import attrs

from ctcore.contracts.driver import Capabilities, ConnectionPlan
from ctcore.errors import ConfigError
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.model.instrument import Catalogue
from ctdaemon_binance.config import BinanceConfig
from ctdaemon_binance.symbols import EXCHANGE, stream_symbol

PARTS = {Market.SPOT: ("spot",), Market.FUTURES: ("futures_public", "futures_market")}
PARTIAL_DEPTHS = (5, 10, 20)

_PUBLIC_KINDS = ("bookTicker", "depth", "trade")
"""What a futures stream's kind begins with on the public socket; everything else is on the market socket."""

_SEND_INTERVAL_SEC = {Market.SPOT: 0.25, Market.FUTURES: 0.12}
"""Binance cuts off a client at more than 5 (spot) or 10 (futures) messages a second, pongs included."""

_LIFETIME_SEC = 23 * 3600.0
"""Binance cuts every socket at 24 hours."""


@attrs.frozen
class Stream:
    """A stream of the venue, the part that carries it and the subscription it serves."""

    name: str
    part: str
    subscription: Subscription


def streams_of(subscription: Subscription, symbol: str, config: BinanceConfig) -> Iterator[Stream]:
    """The streams that serve a subscription; open interest has none."""
    market = subscription.instrument.market
    for kind in _kinds(subscription, market, config):
        name = f"{stream_symbol(symbol)}@{kind}"
        yield Stream(name, part_of_kind(market, kind), subscription)


def parts_of(subscription: Subscription, config: BinanceConfig) -> list[str]:
    """The parts a subscription needs; open interest is polled by the session of the market socket."""
    market = subscription.instrument.market
    if subscription.channel is Channel.OPEN_INTEREST:
        return [part_of_kind(market, "openInterest")]
    return sorted({part_of_kind(market, kind) for kind in _kinds(subscription, market, config)})


def make_plans(
    wanted: AbstractSet[Subscription],
    catalogues: Mapping[Market, Catalogue],
    capabilities: Mapping[Market, Capabilities],
    urls: Mapping[str, str],
    config: BinanceConfig,
) -> list[ConnectionPlan]:
    """Divide what is wanted by part, then by symbol, then by how much a connection holds.

    Raises :class:`~ctcore.errors.UnknownInstrument`, or :class:`ConfigError` for what the venue does not
    offer.
    """
    by_part: dict[str, dict[str, list[Subscription]]] = {}
    for subscription in _one_book_each(wanted):
        market = subscription.instrument.market
        _check(subscription, capabilities)
        symbol = catalogues[market][subscription.instrument].symbol
        for part in parts_of(subscription, config):
            by_part.setdefault(part, {}).setdefault(symbol, []).append(subscription)
    return [
        _plan(part, number, urls[part], group, config)
        for part, by_symbol in sorted(by_part.items())
        for number, group in enumerate(_groups(part, by_symbol, config), 1)
    ]


def recorded_plan(market: Market, urls: Mapping[str, str], config: BinanceConfig) -> ConnectionPlan:
    """For recorded frames of a market, of whichever part."""
    part = PARTS[market][0]
    return attrs.evolve(_plan(part, 0, urls[part], (), config), any_instrument=True)


def _kinds(subscription: Subscription, market: Market, config: BinanceConfig) -> tuple[str, ...]:
    match subscription.channel:
        case Channel.ORDERBOOK:
            partial = str(subscription.depth) if subscription.depth in PARTIAL_DEPTHS else ""
            return (f"depth{partial}@100ms",)
        case Channel.TRADE:
            return ("trade",) if market is Market.SPOT else (config.futures_trades,)
        case Channel.TICKER:
            with_day = market is Market.SPOT or config.futures_day_ticker
            return ("bookTicker", "ticker") if with_day else ("bookTicker",)
        case Channel.CANDLE:
            return (f"kline_{subscription.interval}",)
        case Channel.MARK | Channel.FUNDING:
            return ("markPrice@1s",)
        case Channel.LIQUIDATION:
            return ("forceOrder",)
        case Channel.OPEN_INTEREST:
            return ()


def part_of_kind(market: Market, kind: str) -> str:
    """The part that carries streams of a kind."""
    if market is Market.SPOT:
        return "spot"
    return "futures_public" if kind.startswith(_PUBLIC_KINDS) else "futures_market"


def _one_book_each(wanted: AbstractSet[Subscription]) -> list[Subscription]:
    """In a fixed order; an instrument wanted at several depths gets the one full book that serves them
    all."""
    depths: dict[InstrumentId, set[int]] = {}
    for subscription in wanted:
        if subscription.channel is Channel.ORDERBOOK:
            depths.setdefault(subscription.instrument, set()).add(subscription.depth)
    chosen = {
        attrs.evolve(subscription, depth=0) if len(depths.get(subscription.instrument, ())) > 1
        and subscription.channel is Channel.ORDERBOOK else subscription
        for subscription in wanted
    }  # fmt: skip
    return sorted(chosen, key=lambda s: (str(s.instrument), s.channel, s.interval))


def _check(subscription: Subscription, capabilities: Mapping[Market, Capabilities]) -> None:
    offered = capabilities[subscription.instrument.market]
    if subscription.channel not in offered.channels:
        raise ConfigError(f"{subscription}: binance {subscription.instrument.market} has no such channel")
    if subscription.channel is Channel.CANDLE and subscription.interval not in offered.candle_intervals:
        known = ", ".join(offered.candle_intervals)
        raise ConfigError(f"{subscription}: binance has no such interval; it has {known}")


def _groups(
    part: str, by_symbol: Mapping[str, Sequence[Subscription]], config: BinanceConfig
) -> Iterator[tuple[Subscription, ...]]:
    group: list[Subscription] = []
    symbols = streams = 0
    for symbol, subscriptions in sorted(by_symbol.items()):
        more = len({s.name for s in part_streams(part, subscriptions, symbol, config)})
        if symbols >= config.symbols_per_connection or streams + more > config.streams_per_connection:
            yield tuple(group)
            group, symbols, streams = [], 0, 0
        group += subscriptions
        symbols += 1
        streams += more
    if group:
        yield tuple(group)


def part_streams(
    part: str, subscriptions: Iterable[Subscription], symbol: str, config: BinanceConfig
) -> list[Stream]:
    """The streams of one symbol that a part carries."""
    return [s for wanted in subscriptions for s in streams_of(wanted, symbol, config) if s.part == part]


def _plan(
    part: str, number: int, url: str, subscriptions: tuple[Subscription, ...], config: BinanceConfig
) -> ConnectionPlan:
    market = Market.SPOT if part == "spot" else Market.FUTURES
    return ConnectionPlan(
        name=f"{EXCHANGE}-{part}-{number}",
        exchange=EXCHANGE,
        market=market,
        url=f"{url}/stream",
        subscriptions=subscriptions,
        part=part,
        send_interval_sec=_SEND_INTERVAL_SEC[market],
        stall_sec=config.stall_sec,
        lifetime_sec=_LIFETIME_SEC,
    )
