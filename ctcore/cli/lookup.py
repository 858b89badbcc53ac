"""Names given on the command line into what they name; a wrong one is told with those that fit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ctcore.cli.options import MARKETS
from ctcore.errors import ConfigError

if TYPE_CHECKING:
    from ctcore.config import Config
    from ctcore.contracts.driver import DriverPlugin
    from ctcore.contracts.plugin.manager import PluginManager
    from ctcore.model.ids import InstrumentId, Market

_SHOWN = 8


def load(file: Path) -> tuple[Config, PluginManager]:
    """The configuration and the plugins it is for; its secrets are kept out of everything from here on.

    Raises :class:`~ctcore.errors.ConfigError` with everything that is wrong.
    """
    from ctcore.config import disabled_plugins, load_config
    from ctcore.contracts.plugin.manager import PluginManager
    from ctcore.runtime.redact import register_secret

    plugins = PluginManager(disabled=disabled_plugins(file))
    config = load_config(file, plugins)
    for secret in config.secrets:
        register_secret(secret.reveal())
    return config, plugins


def driver_named(name: str, plugins: PluginManager) -> DriverPlugin:
    """The driver of an exchange."""
    found = plugins.drivers.get(name.lower())
    if found is None:
        problems = [line for line in plugins.problems if name.lower() in line.lower()]
        mend = f"its package is not used: {problems[0]}" if problems else choice(name, plugins.drivers)
        raise ConfigError(f"no driver for the exchange {name!r} is installed; {mend}")
    return found


def market_named(name: str, plugin: DriverPlugin | None = None) -> Market:
    """A market, of those that the exchange serves."""
    from ctcore.model.ids import Market

    if name.lower() not in MARKETS:
        raise ConfigError(f"{name!r} is not a market; the markets are {' and '.join(MARKETS)}")
    market = Market(name.lower())
    if plugin is not None and market not in plugin.info.markets:
        served = ", ".join(plugin.info.markets)
        raise ConfigError(f"{plugin.info.title} has no market {market} here; it has {served}")
    return market


def instrument_named(exchange: str, market: str, pair: str) -> InstrumentId:
    """An instrument by its three names; whether it exists is another matter."""
    from ctcore.model.ids import InstrumentId

    base, slash, quote = pair.partition("/")
    if not base or not slash or not quote or "/" in quote or any(char.isspace() for char in pair):
        raise ConfigError(f"{pair!r} is not a pair; write it as BTC/USDT (or BTC/USDT-261225)")
    return InstrumentId(exchange.lower(), market_named(market), pair.upper())


def choice(name: str, known: Iterable[str]) -> str:
    """The mend for an unknown name: the nearest one, or those there are."""
    names = sorted(map(str, known))
    near = difflib.get_close_matches(name.lower(), names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there are {', '.join(names[:_SHOWN])}{more}" if names else "there are none"


def near_pairs(pair: str, known: Iterable[str]) -> str:
    """Of the pairs there are, those that may have been meant."""
    names = sorted(set(known))
    near = difflib.get_close_matches(pair, names, n=3, cutoff=0.4)
    base = [name for name in names if name.partition("/")[0] == pair.partition("/")[0] and name not in near]
    found = [*near, *base][:_SHOWN] or names[:_SHOWN]
    return f"there are {', '.join(found)}" if found else "there are none of this market"
