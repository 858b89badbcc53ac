"""``ctcore record``: the wire of a configuration's feeds into recordings, one file a connection."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctcore.cli.failing import FAILED, warn
from ctcore.cli.options import ConfigFile
from ctcore.cli.signals import EarlySignals, early_signals
from ctcore.errors import ConfigError, CtcoreError, raise_sole

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ctcore.cli.live import LiveStatus
    from ctcore.config import Config
    from ctcore.feed.observer import RecordingObserver
    from ctcore.feed.venue import VenueFeed
    from ctcore.wire.network import Network
    from ctcore.workers import Surroundings, Workers

SUFFIX = ".jsonl"
END_SEC = 10.0


def record(
    config: ConfigFile,
    out: Annotated[Path, typer.Option(
        "--out", "-o", metavar="DIR", help="Folder of the recordings; made when absent.")],
    minutes: Annotated[float | None, typer.Option(
        min=0.001, help="Minutes after which it ends by itself; else Ctrl+C ends it.")] = None,
) -> None:
    """Record what the exchanges send, frame by frame, for 'ctcore decode' and for tests.

    Connects as 'ctcore run' would, but writes no history: each connection gets a file of its own, and each
    market's list of instruments is kept beside them.

    Example: ctcore record --config examples/quickstart.toml --out recordings --minutes 5
    """
    with early_signals() as early:
        try:
            lines = _record(config, out, minutes, early)
        except KeyboardInterrupt:
            warn(f"{early.name} before anything was up; nothing to stop")
            return
    _report(out, lines)


def _record(file: Path, out: Path, minutes: float | None, early: EarlySignals) -> dict[str, int]:
    import trio

    from ctcore.cli.live import LiveStatus
    from ctcore.cli.logs import open_logs, settings_of
    from ctcore.cli.lookup import load
    from ctcore.feed.observer import RecordingObserver
    from ctcore.runtime.clock import MonotonicStamp, SystemClock
    from ctcore.wire.network import SocketNetwork
    from ctcore.workers import Surroundings

    config, plugins = load(file)
    _prepare(out)
    stamp = MonotonicStamp(SystemClock()).now_us
    observer = RecordingObserver(out, stamp)
    around = Surroundings(
        config=_without_history(config), plugins=plugins, network=SocketNetwork(), stamp=stamp,
        observer=observer, run_id="recording", tapped=True)
    early.stage = "starting"
    try:
        with (
            LiveStatus(partial(_picture, observer)) as live,
            open_logs(settings_of(config), stream=live.log_stream),
        ):
            trio.run(_watch, around, out, minutes, early, live)
    finally:
        observer.close()
    return observer.lines


def _without_history(config: Config) -> Config:
    import attrs

    return attrs.evolve(config, sinks={}, monitor=attrs.evolve(config.monitor, ring_buffer_size=1))


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.glob(f"*{SUFFIX}")):
            raise ConfigError(f"{out}: holds recordings already; name another folder")
    except OSError as error:
        raise ConfigError(f"{out}: cannot be made ({error.strerror}); name another folder") from None


async def _watch(
    around: Surroundings, out: Path, minutes: float | None, early: EarlySignals, live: LiveStatus
) -> None:
    import trio

    from ctcore.runtime.shutdown import run_shutdown
    from ctcore.workers import open_workers

    try:
        async with early.open() as signals, trio.open_nursery() as nursery:
            nursery.start_soon(live.keep)
            async with open_workers(around, {}) as workers:
                nursery.start_soon(_keep_catalogues, workers, around.network, out)
                with trio.move_on_after(float("inf") if minutes is None else minutes * 60):
                    await signals.graceful.wait()
                await run_shutdown(workers.phases(), total_sec=END_SEC, hurry=signals.immediate)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise_sole(group)


async def _keep_catalogues(workers: Workers, network: Network, out: Path) -> None:
    """Save each market's list of instruments, which gives the recorded symbols their pairs."""
    from loguru import logger

    for feed in workers.feeds.values():
        try:
            await _keep_catalogue(feed, network, out)
        except CtcoreError as error:
            logger.warning("the instruments of {} could not be saved: {}", feed.driver.info.id, error)


async def _keep_catalogue(feed: VenueFeed, network: Network, out: Path) -> None:
    from ctcore.feed.rest import RestClient

    async with RestClient(feed.driver, feed.budget, network) as rest:
        for market in sorted({wanted.instrument.market for wanted in feed.wanted}):
            requests = feed.driver.instruments(market)
            for number, request in enumerate(requests, 1):
                answer = await rest.perform(request)
                part = f"-{number}" if len(requests) > 1 else ""
                name = f"{feed.driver.info.id}-{market}{part}.instruments.json"
                _write(out / name, answer.body)


def _write(path: Path, body: bytes) -> None:
    from ctcore.errors import StorageError

    try:
        path.write_bytes(body)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from None


def _picture(observer: RecordingObserver) -> RenderableType:
    from ctcore.cli.screen import grouped

    lines = observer.lines
    return f"recording  {len(lines)} connections  {grouped(sum(lines.values()))} lines  Ctrl+C ends it"


def _report(out: Path, lines: dict[str, int]) -> None:
    """What was written; nothing at all is a failure."""
    from ctcore.cli.screen import grouped, open_console, size, table

    made = table("recording", ("lines", "right"), ("size", "right"))
    for path in sorted(out.glob(f"*{SUFFIX}")):
        made.add_row(path.name, grouped(lines.get(path.stem, 0)), size(path.stat().st_size))
    if not lines:
        warn("nothing was recorded: no connection came up; the log above tells why")
        raise typer.Exit(FAILED)
    open_console().print(made)
    typer.echo(f"Read one with: ctcore decode EXCHANGE MARKET {out}/FILE --book 20")
