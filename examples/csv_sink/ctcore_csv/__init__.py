"""Trades as CSV, one file a batch: the smallest complete sink."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from ctcore.contracts.plugin import hookimpl
from ctcore.contracts.sink import Sink, SinkPlugin
from ctcore.errors import StorageError
from ctcore.model.instrument import Instrument
from ctcore.model.market import MarketEvent, Trade

CTCORE_API_VERSION = 1


@attrs.frozen(kw_only=True)
class CsvConfig:
    """The keys of ``[sinks.<name>]`` beside ``kind``."""

    directory: Path = Path("data/csv")


class CsvSink(Sink):
    """A batch is a file of its own name, so that writing one again changes nothing."""

    def __init__(self, config: CsvConfig) -> None:
        self._directory = config.directory

    def open(self) -> None:
        """Make the folder."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self._directory}: {error}") from error

    def describe(self, instruments: Iterable[Instrument]) -> None:
        """Names stand in every row: nothing to remember."""

    def write_batch(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
        """All rows or none: a file gets its name once it is whole."""
        rows = io.StringIO()
        writer = csv.writer(rows)
        for event in events:
            if isinstance(event, Trade):
                what = event.price, event.quantity, event.side
                writer.writerow([event.received_us, event.instrument, *what])
        target = self._directory / f"{batch_id}.csv"
        part = target.with_suffix(".part")
        try:
            part.write_text(rows.getvalue(), encoding="utf-8")
            part.replace(target)
        except OSError as error:
            raise StorageError(f"{target}: {error}") from error

    def close(self) -> None:
        """Nothing is held open."""


@hookimpl
def ctcore_register_sinks() -> Iterable[SinkPlugin]:
    """Register the kind ``csv``."""
    return [SinkPlugin(name="csv", config_type=CsvConfig, create=CsvSink)]
