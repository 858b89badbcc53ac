"""``ctcore books``: an order book now, from the running daemon, or at a moment, from history."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctcore.cli.options import AsJson, ConfigFile, Exchange, MarketName
from ctcore.errors import UnknownInstrument

if TYPE_CHECKING:
    from rich.table import Table

    from ctcore.cli.client import DaemonClient
    from ctcore.config import Config
    from ctcore.model.ids import InstrumentId

DEEPEST = 5_000


def books(
    config: ConfigFile,
    exchange: Exchange,
    market: MarketName,
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="The pair, like BTC/USDT.")],
    at: Annotated[str | None, typer.Option(metavar="TIME", help=(
        "A moment of history: 2026-01-31T12:00:00.5Z (UTC) or an epoch number in s, ms, us."))] = None,
    depth: Annotated[int, typer.Option(
        min=0, max=DEEPEST, metavar="N", help="Levels a side; 0 shows the whole book.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show an order book: as it is now, or as it was at any microsecond of the history.

    The running daemon is asked. A moment of history is read from the configured ClickHouse sink itself when
    no daemon runs. The time of history is that at which ctcore received an update.

    Example: ctcore books --config examples/quickstart.toml binance spot BTC/USDT --depth 5
    """
    from ctcore.cli.lookup import instrument_named, load
    from ctcore.model.time import parse_time

    loaded, _ = load(config)
    instrument = instrument_named(exchange, market, pair)
    at_us = None if at is None else parse_time(at)
    view = _view(loaded, instrument, at_us, depth)
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(view).decode())
    else:
        _show(view)


def _view(config: Config, instrument: InstrumentId, at_us: int | None, depth: int) -> dict[str, Any]:
    """The book as the API's answer has it, whoever gave it."""
    from ctcore.cli.client import DaemonClient, NoDaemon

    try:
        with DaemonClient(config) as daemon:
            return _from_daemon(daemon, instrument, at_us, depth)
    except NoDaemon:
        if at_us is None:
            raise
    from ctcore.cli.history import history_view

    return history_view(config, instrument, at_us, depth)


def _from_daemon(
    daemon: DaemonClient, instrument: InstrumentId, at_us: int | None, depth: int
) -> dict[str, Any]:
    from ctcore.model.time import iso

    query: dict[str, str | int] = {"depth": depth} if at_us is None else {"depth": depth, "at": iso(at_us)}
    try:
        return daemon.get(f"/books/{instrument.exchange}/{instrument.market}/{instrument.pair}", query)
    except UnknownInstrument as error:
        if at_us is not None:
            raise
        watched = daemon.get("/streams", {"exchange": instrument.exchange, "market": str(instrument.market)})
        raise UnknownInstrument(f"{error.args[0].partition(';')[0]}; {_near(instrument, watched)}") from None


def _near(instrument: InstrumentId, streams: dict[str, Any]) -> str:
    from ctcore.cli.lookup import near_pairs

    return near_pairs(instrument.pair, (str(row["pair"]) for row in streams.get("streams", ())))


def _show(view: dict[str, Any]) -> None:
    from ctcore.cli.screen import grouped, open_console
    from ctcore.model.numbers import exact, plain
    from ctcore.model.time import iso

    console = open_console()
    symbol = f" ({view['symbol']})" if view["symbol"] else ""
    console.print(f"{view['exchange']} {view['market']} {view['pair']}{symbol}", style="bold")
    console.print("live" if view["at_us"] is None else f"history, at {iso(view['at_us'])}")
    console.print(f"newest update {iso(view['received_us'])}, seq {view['seq']}")
    if not view["in_sync"]:
        console.print("NOT in sync: a gap is open, the book may miss changes", style="bold red")
    bids, asks = view["bids"], view["asks"]
    console.print(_table(bids, asks))
    if bids and asks:
        console.print(f"spread {plain(exact(asks[0][0]) - exact(bids[0][0]))}", end="; ")
    console.print(f"{grouped(view['levels'][0])} bids and {grouped(view['levels'][1])} asks in all")


def _table(bids: list[Any], asks: list[Any]) -> Table:
    from ctcore.cli.screen import number, table

    made = table(("quantity", "right"), ("bid", "right"), ("ask", "left"), ("quantity", "right"))
    for bid, ask in zip_longest(bids, asks):
        left = (number(bid[1]), number(bid[0])) if bid else ("", "")
        right = (number(ask[0]), number(ask[1])) if ask else ("", "")
        made.add_row(*left, *right)
    return made
