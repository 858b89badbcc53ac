"""A sink keeps batches of market events; the monitor batches, spools and retries around it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from ctcore.model.instrument import Instrument
from ctcore.model.market import MarketEvent


class Sink(ABC):
    """One place of history. Its methods block; they are called from one worker thread, one at a time."""

    @abstractmethod
    def open(self) -> None:
        """Connect and migrate; raises :class:`~ctcore.errors.StorageError` when it cannot be reached
        (retried), :class:`~ctcore.errors.ConfigError` when no retry can help.
        """

    @abstractmethod
    def describe(self, instruments: Iterable[Instrument]) -> None:
        """Learn the instruments that later events refer to; called before their first event, and on change.
        """

    @abstractmethod
    def write_batch(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
        """Keep these events, in order, all or none.

        The same ``batch_id`` always carries the same events: a sink that has kept it already returns at once.
        Raises :class:`~ctcore.errors.StorageError`; the batch is then offered again.
        """

    @abstractmethod
    def close(self) -> None:
        """Flush and disconnect. Never raises."""


@attrs.frozen(kw_only=True)
class SinkPlugin:
    """A sink as registered by ``ctcore_register_sinks``: its name in configs, its section's class, its
    factory.
    """

    name: str
    config_type: type
    create: Callable[[Any], Sink]
