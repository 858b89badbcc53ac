"""A book from history without a daemon: by SQL over a connection of the command's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ctcore.api import views
from ctcore.api.views import answer_of
from ctcore.cli.lookup import near_pairs
from ctcore.errors import ConfigError, UnknownInstrument
from ctcore.model.time import iso
from ctcore.sinks.client import EngineRefused, HistoryClient, connect
from ctcore.sinks.queries import book_at

if TYPE_CHECKING:
    from ctcore.config import Config
    from ctcore.model.ids import InstrumentId
    from ctcore.sinks.config import ClickHouseConfig

_NO_SCHEMA = {60, 81}  # ClickHouse's codes for an unknown table and an unknown database


def history_view(config: Config, instrument: InstrumentId, at_us: int, depth: int) -> dict[str, Any]:
    """The book at a moment, in the form of the API's answer, from the first configured ClickHouse sink.

    Raises :class:`~ctcore.errors.ConfigError` when there is no history to ask,
    :class:`~ctcore.errors.UnknownInstrument` when it has no such book, and
    :class:`~ctcore.errors.StorageError` when it does not answer.
    """
    with _history(config) as client:
        try:
            found = book_at(client, instrument, at_us)
        except UnknownInstrument:
            near = _near(client, instrument)
            raise UnknownInstrument(f"history holds nothing of {instrument}; {near}") from None
        if found.snapshot_us is None:
            first = _first(client, instrument)
            raise UnknownInstrument(f"history has no book of {instrument} at {iso(at_us)}; {first}")
        view = answer_of(views.history_view(found, _symbol(client, instrument), depth))
    answer: dict[str, Any] = msgspec.to_builtins(view)
    return answer


@contextmanager
def _history(config: Config) -> Iterator[HistoryClient]:
    options = next((sink.options for sink in config.sinks.values() if sink.kind == "clickhouse"), None)
    if options is None:
        raise ConfigError(f"{config.path}: no history to ask; configure a sink of kind clickhouse")
    _must_exist(options)
    client = connect(options)
    try:
        client.use(options.database)
        yield client
    except EngineRefused as error:
        if error.code in _NO_SCHEMA:
            raise _empty(options) from None
        raise
    finally:
        client.close()


def _must_exist(options: ClickHouseConfig) -> None:
    """The embedded engine would make a folder that is not there."""
    if options.embedded and not Path(options.folder).is_dir():
        raise _empty(options)


def _empty(options: ClickHouseConfig) -> ConfigError:
    return ConfigError(f"{options.url}: holds no history yet; 'ctcore run' writes it")


def _of(instrument: InstrumentId) -> dict[str, str]:
    return {"exchange": instrument.exchange, "market": str(instrument.market), "pair": instrument.pair}


def _symbol(client: HistoryClient, instrument: InstrumentId) -> str:
    rows = client.rows(
        "SELECT argMax(symbol, valid_from) FROM instruments WHERE exchange = {exchange:String} "
        "AND market = {market:String} AND pair = {pair:String}", _of(instrument))
    return str(rows[0][0]) if rows else ""


def _near(client: HistoryClient, instrument: InstrumentId) -> str:
    rows = client.rows(
        "SELECT DISTINCT pair FROM instruments WHERE exchange = {exchange:String} "
        "AND market = {market:String} LIMIT 10000", _of(instrument))
    return near_pairs(instrument.pair, (str(pair) for (pair,) in rows))


def _first(client: HistoryClient, instrument: InstrumentId) -> str:
    """When its books begin."""
    rows = client.rows(
        "SELECT count(), toUnixTimestamp64Micro(min(ts)) FROM book_snapshot WHERE instrument IN ("
        "SELECT id FROM instruments WHERE exchange = {exchange:String} AND market = {market:String} "
        "AND pair = {pair:String})", _of(instrument))
    count, first_us = rows[0]
    return f"its first one is of {iso(first_us)}" if count else "it has none at all yet"
