"""Options and arguments that several commands share, with their completion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

MARKETS = ("spot", "futures")


def _exchanges(incomplete: str) -> list[tuple[str, str]]:
    from ctcore.contracts.plugin.manager import PluginManager

    drivers = PluginManager().drivers.items()
    return [(name, plugin.info.title) for name, plugin in drivers if name.startswith(incomplete.lower())]


def _markets(context: typer.Context, incomplete: str) -> list[str]:
    from ctcore.contracts.plugin.manager import PluginManager

    plugin = PluginManager().drivers.get(_named(context.params.get("exchange")))
    markets = MARKETS if plugin is None else tuple(str(market) for market in plugin.info.markets)
    return [market for market in markets if market.startswith(incomplete.lower())]


def _named(value: Any) -> str:
    return value.lower() if isinstance(value, str) else ""


ConfigFile = Annotated[Path, typer.Option(
    "--config", "-c", metavar="FILE", help="The configuration: TOML, or the INI of the original daemon.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")]

Exchange = Annotated[str, typer.Argument(
    metavar="EXCHANGE", help="The exchange, like binance.", autocompletion=_exchanges)]

Exchanges = Annotated[list[str], typer.Argument(
    metavar="EXCHANGE...", help="One exchange or several, like binance okx.", autocompletion=_exchanges)]

MarketName = Annotated[str, typer.Argument(
    metavar="MARKET", help="The market: spot or futures.", autocompletion=_markets)]
