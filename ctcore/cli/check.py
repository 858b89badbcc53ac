"""``ctcore check``: everything that is wrong with a configuration, or what it would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ctcore.cli.options import ConfigFile

if TYPE_CHECKING:
    from rich.table import Table

    from ctcore.config import Config


def check(config: ConfigFile) -> None:
    """Check a configuration and show what it would do; nothing is started.

    Everything that is wrong is listed at once, each with its place and how to mend it. Folders must be
    writable, or such that they can be made, and certificates readable.

    Example: ctcore check --config examples/quickstart.toml
    """
    from ctcore.cli.lookup import load
    from ctcore.cli.places import place_problems
    from ctcore.cli.screen import open_console
    from ctcore.daemon import Daemon
    from ctcore.errors import ConfigProblems

    loaded, plugins = load(config)
    Daemon(loaded, plugins)
    problems = place_problems(loaded)
    if problems:
        raise ConfigProblems(problems)
    console = open_console()
    console.print(_exchanges(loaded), _streams(loaded), _sinks(loaded))
    server = loaded.server
    token = "with a token" if server.token else "without a token"
    typer.echo(f"API: {server.host}:{server.port}, {token}. Mode: {loaded.role.mode}.")
    for line in (*loaded.notices, *(f"plugin {problem}" for problem in plugins.problems)):
        console.print(f"note: {line}")
    typer.echo(f"{config}: nothing is wrong")


def _exchanges(config: Config) -> Table:
    from ctcore.cli.screen import table

    made = table("exchange", "environment", "simulator", title="Exchanges")
    for exchange in config.exchanges.values():
        own = exchange.simulator
        faults = f", {own.faults_per_min:g} faults a minute" if own.faults_per_min else ""
        told = f"seed {own.seed}, speed {own.speed:g}{faults}" if exchange.simulated else ""
        made.add_row(exchange.id, exchange.environment, told)
    return made


def _streams(config: Config) -> Table:
    """A line for each instrument: its channels."""
    from ctcore.cli.screen import table
    from ctcore.model.ids import Channel, InstrumentId

    channels: dict[InstrumentId, list[str]] = {}
    for wanted in config.subscriptions:
        extra = f" ({wanted.depth or 'all'} levels)" if wanted.channel is Channel.ORDERBOOK else ""
        extra = f" ({wanted.interval})" if wanted.channel is Channel.CANDLE else extra
        channels.setdefault(wanted.instrument, []).append(f"{wanted.channel}{extra}")
    made = table("exchange", "market", "pair", "channels", title=f"{len(config.subscriptions)} streams")
    for instrument, names in channels.items():
        made.add_row(instrument.exchange, instrument.market, instrument.pair, ", ".join(names))
    return made


def _sinks(config: Config) -> Table:
    from ctcore.cli.screen import table

    made = table("sink", "kind", "where", title="Sinks")
    for sink in config.sinks.values():
        where = getattr(sink.options, "url", None) or getattr(sink.options, "directory", "")
        made.add_row(sink.name, sink.kind, str(where))
    return made
