"""``ctcore decode``: recorded frames through the shipped session, as unified messages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from ctcore.cli.failing import FAILED, complain
from ctcore.cli.options import Exchange, MarketName
from ctcore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ctcore.contracts.driver import Driver, DriverPlugin
    from ctcore.feed.replay import Outcome, Refused, Replay
    from ctcore.model.ids import Market
    from ctcore.model.instrument import Instrument

_LONGEST_FILE = 64 * 1024 * 1024  # of a list of instruments; the largest known is 3 MB


def decode(
    exchange: Exchange,
    market: MarketName,
    files: Annotated[list[Path], typer.Argument(
        metavar="FILE...", exists=True, dir_okay=False, readable=True,
        help="Recordings, or files that hold one raw message each.")],
    book: Annotated[int | None, typer.Option(
        min=0, metavar="N", help="Print each order book at the end, with N levels a side (0: all).")] = None,
    instruments: Annotated[list[Path] | None, typer.Option(
        metavar="FILE", exists=True, dir_okay=False, readable=True, help=(
            "A saved answer of the exchange's call for instruments, to name pairs as BTC/USDT; may be given "
            "again. Without it they have the exchange's own names."))] = None,
) -> None:
    """Decode recorded frames: one unified message a line, as JSON.

    The frames go through the same code as live ones. Acknowledgements and the like have "type":"control". A
    frame that cannot be decoded is told on standard error as file:line, and the exit status is then 1.

    Example: ctcore decode binance spot recordings/binance-spot-1.jsonl --book 20
    """
    from ctcore.cli.lookup import driver_named, market_named
    from ctcore.contracts.plugin.manager import PluginManager
    from ctcore.feed.replay import Replay
    from ctcore.model.instrument import Catalogue

    plugin = driver_named(exchange, PluginManager())
    wanted = market_named(market, plugin)
    driver = _driver(plugin)
    listed = _listed(driver, wanted, instruments or ())
    refused = 0
    for file in files:
        replay = Replay(driver, wanted, Catalogue(driver.info.id, wanted, listed))
        refused += _print_messages(replay, file, sys.stdout.buffer)
        if book is not None:
            _print_books(replay, book, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    if refused:
        raise typer.Exit(FAILED)


def _driver(plugin: DriverPlugin) -> Driver:
    """The driver with the defaults of its own configuration: it will connect to nothing."""
    try:
        options = plugin.config_type() if plugin.config_type is not None else None
    except TypeError:
        raise ConfigError(f"{plugin.info.id} cannot be used without a configuration of its own") from None
    return plugin.create(plugin.info.environments["live"], options)


def _listed(driver: Driver, market: Market, files: Sequence[Path]) -> list[Instrument]:
    """The instruments of saved answers, whichever of the driver's calls each answers."""
    from ctcore.contracts.driver import HttpResponse
    from ctcore.errors import CtcoreError

    request = driver.instruments(market)[0]
    found: list[Instrument] = []
    for file in files:
        try:
            with file.open("rb") as opened:
                body = opened.read(_LONGEST_FILE)
            found += driver.parse_instruments(market, [HttpResponse(request, 200, body)])
        except (OSError, CtcoreError) as error:
            raise ConfigError(f"--instruments {file}: {error}") from None
    return found


def _print_messages(replay: Replay, file: Path, out: BinaryIO) -> int:
    """Print what a file gives as it is read; returns how many of its frames were refused."""
    from ctcore.feed.replay import Replayed

    refused = 0
    for outcome in _outcomes(replay, file):
        if isinstance(outcome, Replayed):
            line = replay.to_json(outcome)
            if line is not None:
                out.write(line + b"\n")
        else:
            refused += 1
            complain(_place(file, outcome))
    return refused


def _outcomes(replay: Replay, file: Path) -> Iterable[Outcome]:
    from ctcore.wire.recording import RecordedMessage, read_recording

    recording = read_recording(file)
    if isinstance(recording, RecordedMessage):
        return replay.message(recording.frame)
    return replay.run(recording)


def _place(file: Path, refused: Refused) -> str:
    """``file:line: what is wrong``; the reader of recordings has put the place there already."""
    what = str(refused.error).removeprefix(f"{file.name}:{refused.line}: ")
    return f"{file}:{refused.line}: {what}"


def _print_books(replay: Replay, levels: int, out: BinaryIO) -> None:
    import msgspec

    out.writelines(msgspec.json.encode(summary) + b"\n" for summary in replay.summaries(levels))
