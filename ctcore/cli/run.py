"""``ctcore run``: the daemon, with a live status on a terminal and the shutdown report at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ctcore.cli.failing import FAILED, warn
from ctcore.cli.options import ConfigFile
from ctcore.cli.signals import EarlySignals, early_signals

if TYPE_CHECKING:
    import trio
    from rich.console import RenderableType

    from ctcore.cli.live import LiveStatus
    from ctcore.cli.overview import StreamFigures
    from ctcore.config import Config
    from ctcore.contracts.plugin.manager import PluginManager
    from ctcore.daemon import Daemon
    from ctcore.feed.streams import StreamStatistics
    from ctcore.runtime.shutdown import ShutdownReport


def run(config: ConfigFile) -> None:
    """Run the daemon: collect what the configuration wants, until Ctrl+C or SIGTERM.

    Everything that is wrong with the configuration is told before anything starts. On a terminal a live
    status stands below the log; at the end there is a report of the shutdown, which takes at most 30 s. A
    second Ctrl+C ends at once.

    Example: ctcore run --config examples/quickstart.toml
    """
    with early_signals() as early:
        try:
            report = _run(config, early)
        except KeyboardInterrupt:
            warn(f"{early.name} before anything was up; nothing to stop")
            return
    typer.echo("\n".join(report.lines()))
    if not report.clean:
        raise typer.Exit(FAILED)


def _run(file: Path, early: EarlySignals) -> ShutdownReport:
    import trio

    from ctcore.cli.live import LiveStatus
    from ctcore.cli.logs import open_logs, settings_of
    from ctcore.cli.lookup import load
    from ctcore.daemon import Daemon

    config, plugins = load(file)
    daemon = Daemon(config, plugins)
    early.stage = "starting"
    with (
        LiveStatus(partial(picture, daemon)) as live,
        open_logs(settings_of(config), stream=live.log_stream),
    ):
        _tell(config, plugins)
        return trio.run(_daemon, daemon, early, live)


def _tell(config: Config, plugins: PluginManager) -> None:
    """Put what ``ctcore check`` would say into the log."""
    from loguru import logger

    for problem in plugins.problems:
        logger.warning("plugin {}", problem)
    for notice in config.notices:
        logger.warning("{}", notice)


async def _daemon(daemon: Daemon, early: EarlySignals, live: LiveStatus) -> ShutdownReport:
    """Run the daemon; a signal that comes while it starts takes back what is up so far."""
    import trio

    from ctcore.runtime.shutdown import ShutdownReport

    reports: list[ShutdownReport] = []
    async with early.open() as signals, trio.open_nursery() as nursery:

        async def work(*, task_status: trio.TaskStatus[None]) -> None:
            reports.append(await daemon.run(signals, task_status=task_status))
            nursery.cancel_scope.cancel()

        nursery.start_soon(live.keep)
        if not await _unless(signals.graceful, nursery.start, work):
            nursery.cancel_scope.cancel()
    return reports[0] if reports else ShutdownReport(reason=f"{signals.name} before everything was up")


async def _unless(event: trio.Event, call: Callable[..., Awaitable[Any]], *args: Any) -> bool:
    """Await ``call(*args)``, but not beyond ``event``; tells whether it returned."""
    import trio

    returned = False
    async with trio.open_nursery() as nursery:

        async def give_up() -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(give_up)
        await call(*args)
        returned = True
        nursery.cancel_scope.cancel()
    return returned


def picture(daemon: Daemon) -> RenderableType:
    """The live status: a head line, the streams by market, the sinks."""
    from rich.console import Group
    from rich.text import Text

    from ctcore import __version__
    from ctcore.cli.overview import sinks_table, streams_table
    from ctcore.cli.screen import lasting

    workers, config = daemon.workers, daemon.config
    if workers is None:
        state = f"stopped: {daemon.error}" if daemon.error else "workers stopped"
        return Text(f"ctcore {__version__}  {state}  {daemon.api_url}", style="bold")
    up_sec = (daemon.clock.now_us() - (daemon.started_us or 0)) / 1_000_000
    head = Text(f"ctcore {__version__}  up {lasting(up_sec)}  {daemon.api_url}  Ctrl+C ends it", style="bold")
    streams = streams_table(map(_figures, workers.keeper.statistics()))
    return Group(head, streams, sinks_table(workers.gauges(), config.sinks))


def _figures(stream: StreamStatistics) -> StreamFigures:
    from ctcore.cli.overview import StreamFigures

    of = stream.instrument
    return StreamFigures(of.exchange, of.market, stream.channel, stream.messages, stream.messages_per_sec,
                         stream.lag_us, stream.gaps, stream.open_gap)
