"""``ctcore status``: how the running daemon is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from ctcore.cli.failing import FAILED
from ctcore.cli.options import AsJson, ConfigFile

if TYPE_CHECKING:
    from collections.abc import Collection

_NOT_READY = 503


def status(config: ConfigFile, as_json: AsJson = False) -> None:
    """Show how the running daemon is: its streams, its sinks, and what is not ready.

    The exit status is 0 while it collects, 1 when its workers are stopped or no daemon answers.

    Example: ctcore status --config examples/quickstart.toml
    """
    from ctcore.cli.client import DaemonClient
    from ctcore.cli.lookup import load

    loaded, _ = load(config)
    with DaemonClient(loaded) as daemon:
        url = daemon.url
        told = {
            **daemon.get("/status"),
            "ready": daemon.get("/ready", also=(_NOT_READY,)),
            **daemon.get("/streams"),
            **daemon.get("/gauges"),
        }
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode({**told, "ready": told["ready"]["ready"],
                                        "missing": told["ready"]["missing"]}).decode())
    else:
        _show(url, told, loaded.sinks)
    if not told["running"]:
        raise typer.Exit(FAILED)


def _show(url: str, told: dict[str, Any], sinks: Collection[str]) -> None:
    from ctcore.cli.overview import sinks_table, streams_table
    from ctcore.cli.screen import open_console

    console = open_console()
    if told["running"]:
        console.print(f"{url}: up {told['uptime']}, since {told['start_time']}", style="bold")
        console.print(streams_table(map(_figures, told["streams"])), sinks_table(told["gauges"], sinks))
    else:
        why = f": {told['error']}" if told["error"] else ""
        console.print(f"{url}: the workers are stopped since {told['shutdown_time']}{why}", style="bold")
    for line in _missing(told["ready"]):
        console.print(f"not ready: {line}", style="yellow")
    if told["ready"]["ready"]:
        console.print("ready: every stream is in sync, every sink open", style="green")


def _missing(ready: dict[str, Any]) -> list[str]:
    return [str(line) for lines in ready["missing"].values() for line in lines]


def _figures(row: dict[str, Any]) -> Any:
    from ctcore.cli.overview import StreamFigures

    return StreamFigures(row["exchange"], row["market"], row["channel"], row["messages"],
                         row["messages_per_sec"], row["lag_us"], row["gaps"], row["open_gap"])
