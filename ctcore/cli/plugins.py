"""``ctcore plugins``: what is installed, what it can do, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctcore.cli.options import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from ctcore.contracts.driver import DriverPlugin
    from ctcore.contracts.plugin.manager import PluginManager, PluginReport

_STYLES = {"active": "green", "disabled": "red", "blocked": "yellow", "missing": "yellow"}


def plugins(
    as_json: AsJson = False,
    config: Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help=(
        "Leave out the plugins that this configuration disables."))] = None,
) -> None:
    """List the installed plugins: what each registers, what the exchanges offer, and what is wrong.

    A package with a problem is disabled as a whole and stops nothing else.

    Example: ctcore plugins --json
    """
    from ctcore.cli.app import command_line
    from ctcore.config import disabled_plugins
    from ctcore.contracts.plugin.manager import PluginManager

    manager = PluginManager(disabled=disabled_plugins(config) if config is not None else ())
    manager.add_commands(command_line())  # so that what is wrong with their commands is known too
    if as_json:
        _print_json(manager)
        return
    from ctcore.cli.screen import open_console

    console = open_console()
    console.print(_packages(manager.plugins()), _offers(manager))
    for problem in manager.problems:
        console.print(f"problem: {problem}", style="red")


def _packages(reports: list[PluginReport]) -> Table:
    from rich.text import Text

    from ctcore.cli.screen import table

    made = table("plugin", "package", "version", "status", "registers", title="Plugins")
    for report in reports:
        status = Text(report.status, style=_STYLES[report.status])
        made.add_row(report.name, report.package, report.version, status, "\n".join(report.registers))
    return made


def _offers(manager: PluginManager) -> Table:
    from ctcore.cli.screen import table
    from ctcore.model.ids import Channel

    made = table("exchange", "market", "simulated", "channels", title="Exchanges")
    for name, driver in manager.drivers.items():
        for market, offer in driver.info.capabilities.items():
            channels = ", ".join(channel for channel in Channel if channel in offer.channels)
            made.add_row(name, market, "yes" if driver.simulator else "no", channels)
    return made


def _print_json(manager: PluginManager) -> None:
    import attrs
    import msgspec

    reports = manager.plugins()
    rows = [attrs.asdict(report) | {"capabilities": _capabilities(report, manager)} for report in reports]
    typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))


def _capabilities(report: PluginReport, manager: PluginManager) -> dict[str, Any]:
    """What the exchanges that a plugin registers offer, by exchange and market."""
    ids = [name.removeprefix("driver ") for name in report.registers if name.startswith("driver ")]
    return {name: _of_driver(manager.drivers[name]) for name in ids}


def _of_driver(driver: DriverPlugin) -> dict[str, Any]:
    info = driver.info
    return {
        "title": info.title,
        "environments": list(info.environments),
        "simulated": driver.simulator is not None,
        "markets": {
            market: {
                "channels": sorted(offer.channels),
                "candle_intervals": offer.candle_intervals,
                "partial_depths": offer.partial_depths,
                "full_depth": offer.full_depth,
            }
            for market, offer in info.capabilities.items()
        },
    }
