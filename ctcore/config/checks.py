"""What must fit together: exchanges and their drivers, subscriptions and what a market offers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import attrs

from ctcore.config.document import Document
from ctcore.config.schema import SIMULATED, Config, ExchangeSection, SubscriptionConfig
from ctcore.config.values import KeyPath
from ctcore.contracts.driver import Capabilities, DriverInfo, DriverPlugin
from ctcore.model.ids import Channel, InstrumentId, Subscription

if TYPE_CHECKING:
    from ctcore.config.load import Plugins


NAME_RULE = "use up to 32 lower-case letters, digits, '-' and '_', the first a letter or digit"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@attrs.frozen
class Group:
    """A subscription of the file; ``wrong`` are its keys that are reported already and hold nothing."""

    config: SubscriptionConfig
    wrong: frozenset[str] = frozenset()


def is_name(text: str) -> bool:
    """Whether a sink or an exchange may be called that: names become folders."""
    return _NAME.fullmatch(text) is not None


def no_driver(exchange: str, plugins: Plugins) -> str:
    """Why no plugin serves an exchange, and what to do."""
    package = f"ctdaemon-{exchange}"
    for report in plugins.plugins():
        if exchange not in (report.name, report.package) and package != report.package:
            continue
        if report.status == "disabled":
            return f"its plugin is disabled; {'; '.join(report.problems)}"
        if report.status == "blocked":
            places = "plugins.disable and CTCORE_DISABLE_PLUGINS"
            return f"its plugin {report.package} is blocked; take it off {places}"
    near = difflib.get_close_matches(exchange, plugins.drivers, n=1)
    if near:
        return f"no installed plugin serves it; did you mean {near[0]!r}?"
    return f"no installed plugin serves it; install {package} or remove the section"


def no_sink(kind: str, plugins: Plugins) -> str:
    """Why there is no such sink, and what to do."""
    known = sorted(plugins.sinks)
    near = difflib.get_close_matches(kind, known, n=1)
    mend = f"did you mean {near[0]!r}?" if near else f"the kinds installed are {', '.join(known) or 'none'}"
    return f"no installed plugin offers sinks of the kind {kind!r}; {mend}"


def environment(document: Document, path: KeyPath, section: ExchangeSection, plugin: DriverPlugin) -> None:
    """The environment is one of the driver's, and the addresses carry its names."""
    info, chosen = plugin.info, section.environment
    if chosen == SIMULATED:
        if plugin.simulator is None:
            text = f"{info.title} has no simulated venue; use one of {', '.join(info.environments)}"
            document.report((*path, "environment"), text)
        for key in ("rest", "stream"):
            if getattr(section, key):
                document.report((*path, key), "has no effect on a simulated exchange; remove it")
        return
    if chosen not in info.environments:
        names = ", ".join((*info.environments, *((SIMULATED,) if plugin.simulator else ())))
        document.report((*path, "environment"), f"must be one of {names}, is {chosen!r}")
        return
    endpoints = info.environments[chosen]
    for key, known in (("rest", endpoints.rest), ("stream", endpoints.stream)):
        for name in getattr(section, key):
            if name not in known:
                text = f"{info.title} has no such address; it has {', '.join(known)}"
                document.report((*path, key, name), text)


def subscriptions(
    document: Document, groups: Mapping[int, Group], config: Config,
    drivers: Mapping[str, DriverPlugin],
) -> tuple[Subscription, ...]:
    """Every stream that is wanted, one by one; those that cannot be, or are wanted twice, are reported."""
    found: dict[tuple[InstrumentId, Channel, str], KeyPath] = {}
    wanted: list[Subscription] = []
    for index, group in groups.items():
        path: KeyPath = ("monitor", "subscriptions", index)
        if not _is_offered(document, path, group, config, drivers) or group.wrong:
            continue
        for subscription, key in _streams(group.config, config, path):
            identity = (subscription.instrument, subscription.channel,
                        subscription.interval if subscription.channel is Channel.CANDLE else "")
            if identity in found:
                first = found[identity]
                line = document.line_of(first)
                where = f"{document.name_of(first)}{f' (line {line})' if line else ''}"
                document.report(key, f"{subscription} is wanted already by {where}; remove one")
                continue
            found[identity] = key
            wanted.append(subscription)
    return tuple(wanted)


def role(document: Document, config: Config) -> None:
    """The daemon can do what it is to do; of "both" it does the half it can, and says so."""
    mode = config.role.mode
    if mode == "trader":
        document.report(("role", "mode"), f"{mode!r} trades, which this version cannot do; write monitor")
    elif mode == "both":
        document.notice(("role", "mode"), "this version only monitors: nothing is traded")


def ports(document: Document, config: Config) -> None:
    """No two servers of the daemon share a port."""
    taken = {config.server.port: "server.port"} if config.server.port else {}
    for name, exchange in config.exchanges.items():
        path: KeyPath = ("exchanges", name, "simulator", "port")
        port = exchange.simulator.port
        if not exchange.simulated or not port:
            continue
        if port in taken:
            document.report(path, f"{port} is taken by {taken[port]}; choose another, or 0 for any")
        taken.setdefault(port, document.name_of(path))


def purpose(document: Document, config: Config) -> None:
    """A daemon that monitors has something to monitor; a database is left alone, and said so."""
    if config.database is not None:
        document.notice(("database",), "is checked but not connected to; tasks are read from this file")
    section = document.root.get("monitor", {})
    asked = not isinstance(section, dict) or section.get("subscriptions")
    if asked or config.role.mode == "trader" or "database" in document.root:
        return
    is_toml = document.file.lower().endswith(".toml")
    mend = "add [[monitor.subscriptions]]" if is_toml else "add [exchange.<id>] with spot = BTC/USDT"
    document.report(("monitor",), f"there is nothing to monitor; {mend}")


def _is_offered(
    document: Document, path: KeyPath, group: Group, config: Config, drivers: Mapping[str, DriverPlugin],
) -> bool:
    wanted = group.config
    plugin = drivers.get(wanted.exchange)
    sections = document.root.get("exchanges", {})
    if "exchange" in group.wrong:
        return False
    if not isinstance(sections, dict) or wanted.exchange not in sections:
        near = difflib.get_close_matches(wanted.exchange, config.exchanges, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"add [exchanges.{wanted.exchange}]"
        document.report((*path, "exchange"), f"there is no section for {wanted.exchange!r}; {mend}")
        return False
    if plugin is None or "market" in group.wrong:
        return False
    info = plugin.info
    offer = info.capabilities.get(wanted.market)
    if offer is None:
        markets = ", ".join(info.markets)
        text = f"{info.title} has no market {wanted.market.value!r} here; it has {markets}"
        document.report((*path, "market"), text)
        return False
    problems = [(key, text) for key, text in _refused(wanted, info, offer) if key[0] not in group.wrong]
    for key, text in problems:
        document.report((*path, *key), text)
    return not problems


def _refused(
    group: SubscriptionConfig, info: DriverInfo, offer: Capabilities
) -> Iterator[tuple[KeyPath, str]]:
    for index, channel in enumerate(group.channels):
        if channel not in offer.channels:
            names = ", ".join(known for known in Channel if known in offer.channels)
            yield ("channels", index), f"{info.title} {group.market} has no {channel.value!r}; it has {names}"
    if Channel.CANDLE in group.channels and group.candle_interval not in offer.candle_intervals:
        names = ", ".join(offer.candle_intervals)
        yield (("candle_interval",),
               f"{info.title} {group.market} has no candles of {group.candle_interval!r}; it has {names}")


def _streams(
    group: SubscriptionConfig, config: Config, path: KeyPath
) -> Iterator[tuple[Subscription, KeyPath]]:
    depth = config.monitor.orderbook_depth if group.depth is None else group.depth
    for index, pair in enumerate(group.pairs):
        instrument = InstrumentId(group.exchange, group.market, pair)
        for channel in group.channels:
            yield Subscription(instrument, channel, depth if channel is Channel.ORDERBOOK else 0,
                               group.candle_interval), (*path, "pairs", index)
