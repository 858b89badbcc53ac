"""``ctcore simulate``: simulated exchanges alone, for any client that speaks the real ones' wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ctcore.cli.failing import warn
from ctcore.cli.options import Exchanges
from ctcore.cli.signals import EarlySignals, early_signals
from ctcore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from ctcore.contracts.driver import SimulatorOptions
    from ctcore.sim.service import SimulatedVenue

LAST_PORT = 65_535
_CONTROL = (
    ("GET", "status", "counts, and the clock of the market"),
    ("GET", "book", "a true book: ?market=spot&symbol=BTCUSDT&depth=20"),
    ("GET", "trades", "the last trades: ?market=spot&symbol=BTCUSDT&count=20"),
    ("GET", "faults", "the faults that struck, and those that wait"),
    ("POST", "faults", 'ask for one: {"kind": "gap", "symbol": "BTCUSDT"}'),
    ("POST", "calm", "no further fault, random ones included"),
    ("POST", "pause", 'stop the market: {"paused": true}'),
)


def simulate(
    exchanges: Exchanges,
    port: Annotated[int, typer.Option(
        min=0, max=LAST_PORT, help="Port of the first exchange, the next ones follow it; 0 takes any.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same market.")] = 1,
    speed: Annotated[float, typer.Option(
        min=0.001, max=1000, help="Seconds of market time in a second.")] = 1.0,
    faults_per_min: Annotated[float, typer.Option(
        min=0, max=600, help="Random faults in a minute of market time.")] = 0.0,
    fault_kind: Annotated[list[str] | None, typer.Option(metavar="KIND", help=(
        "A kind of the random faults, like gap; may be given again. All if absent."))] = None,
) -> None:
    """Run simulated exchanges on this machine, until Ctrl+C.

    They speak the public REST and WebSocket wire of the real ones, with invented orders: no account, no key,
    no internet. Point any client at the addresses shown.

    Example: ctcore simulate binance okx --port 9001 --seed 7 --speed 2
    """
    with early_signals() as early:
        try:
            kinds = _known(fault_kind or ())
            if port and port + len(exchanges) - 1 > LAST_PORT:
                what = f"{len(exchanges)} ports from {port} on go beyond {LAST_PORT}"
                raise ConfigError(f"{what}; choose a lower --port")
            _simulate(exchanges, port, (seed, speed, faults_per_min, kinds), early)
        except KeyboardInterrupt:
            warn(f"{early.name} before anything was up; nothing to stop")


def _known(kinds: Sequence[str]) -> tuple[str, ...]:
    from ctcore.cli.lookup import choice
    from ctcore.sim import FaultKind

    for kind in kinds:
        if kind not in list(FaultKind):
            raise ConfigError(f"--fault-kind: {kind!r} is no kind of fault; {choice(kind, FaultKind)}")
    return tuple(kinds)


def _simulate(
    exchanges: Sequence[str], port: int, how: tuple[int, float, float, tuple[str, ...]], early: EarlySignals
) -> None:
    import trio

    from ctcore.cli.lookup import driver_named
    from ctcore.contracts.driver import SimulatorOptions
    from ctcore.contracts.plugin.manager import PluginManager
    from ctcore.runtime.log import LogSettings, setup_logging
    from ctcore.sim.service import SimulatedVenue

    seed, speed, faults_per_min, kinds = how
    options = SimulatorOptions(seed=seed, speed=speed, faults_per_min=faults_per_min, fault_kinds=kinds)
    plugins = PluginManager()
    venues = [
        SimulatedVenue(driver_named(name, plugins), options, port + number if port else 0)
        for number, name in enumerate(exchanges)
    ]
    early.stage = "starting"
    with setup_logging(LogSettings(level="warn")):
        trio.run(_serve, venues, options, early)


async def _serve(venues: Sequence[SimulatedVenue], options: SimulatorOptions, early: EarlySignals) -> None:
    import trio

    async with early.open() as signals, trio.open_nursery() as nursery:
        for venue in venues:
            await nursery.start(venue.run)
        _show(venues, options)
        await signals.graceful.wait()
        nursery.cancel_scope.cancel()
    typer.echo(f"{signals.name}: ended")


def _show(venues: Sequence[SimulatedVenue], options: SimulatorOptions) -> None:
    from ctcore.cli.screen import open_console

    console = open_console()
    console.print(_addresses(venues), _controls(venues[0]))
    faults = f", {options.faults_per_min:g} random faults a minute" if options.faults_per_min else ""
    typer.echo(f"Seed {options.seed}, speed {options.speed:g}{faults}. Ctrl+C ends it.")


def _addresses(venues: Sequence[SimulatedVenue]) -> Table:
    from ctcore.cli.screen import table

    made = table("exchange", "REST", "streams", title="Simulated exchanges")
    for venue in venues:
        endpoints = venue.endpoints()
        rest = "\n".join(dict.fromkeys(endpoints.rest.values()))
        made.add_row(venue.exchange, rest, "\n".join(dict.fromkeys(endpoints.stream.values())))
    return made


def _controls(venue: SimulatedVenue) -> Table:
    from ctcore.cli.screen import table

    made = table("call", "path", "for", title=f"Control, the same for each exchange, as at http://{venue.address}")
    for method, name, meaning in _CONTROL:
        made.add_row(method, f"/_sim/{name}", meaning)
    return made
