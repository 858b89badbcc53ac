"""All calls into one sink, each contained.

A sink may be a third party's code. Whatever Exception one of its methods raises becomes a
:class:`~ctcore.errors.StorageError` here: the sink counts as down, its batches wait and are tried again. This
is a wall around one plugin, as the bus has one around its subscribers; :mod:`ctcore.runtime.contain` stays
the place for services.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias

from loguru import logger

from ctcore.contracts.sink import Sink
from ctcore.errors import ConfigError, StorageError
from ctcore.model.ids import InstrumentId
from ctcore.model.instrument import Instrument
from ctcore.model.market import MarketEvent
from ctcore.model.time import US_PER_SEC
from ctcore.runtime.clock import Clock

InThread: TypeAlias = Callable[..., Awaitable[Any]]
"""Calls ``function(*args)`` off the event loop, one at a time; raises StorageError when it takes too long."""

TRACEBACK_SEC = 60.0


class SinkDoor:
    """Opens a sink, describes instruments to it and writes to it.

    After a failure the next write opens it anew (``was_open``: it has been open before). Methods raise
    :class:`~ctcore.errors.StorageError`, and :class:`~ctcore.errors.ConfigError` where the sink says that no
    retry can help.
    """

    def __init__(self, name: str, sink: Sink, *, in_thread: InThread, clock: Clock) -> None:
        self._name = name
        self._sink = sink
        self._in_thread = in_thread
        self._clock = clock
        self._told_us: int | None = None
        self._instruments: dict[InstrumentId, Instrument] = {}
        self._news: dict[InstrumentId, Instrument] = {}
        self.opened = self.was_open = False

    def learn(self, instruments: Iterable[Instrument]) -> None:
        """Instruments to be described to the sink before its next batch."""
        self._news.update((instrument.id, instrument) for instrument in instruments)

    async def open(self) -> None:
        """Open the sink and describe every instrument to it."""
        self.opened = False
        await self._call(self._sink.open)
        self.opened = self.was_open = True
        self._news = {**self._instruments, **self._news}
        await self._describe()

    async def write(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
        """Write a batch, opening the sink before where need be."""
        try:
            if not self.opened:
                await self.open()
            await self._describe()
            await self._call(self._sink.write_batch, batch_id, events)
        except (StorageError, ConfigError):
            self.opened = False
            raise

    async def close(self) -> None:
        """Close the sink."""
        self.opened = False
        await self._call(self._sink.close)

    async def _describe(self) -> None:
        if not self._news:
            return
        news = dict(self._news)
        await self._call(self._sink.describe, list(news.values()))
        self._instruments.update(news)
        self._news = {key: value for key, value in self._news.items() if news.get(key) is not value}

    async def _call(self, function: Callable[..., object], *args: object) -> None:
        try:
            await self._in_thread(function, *args)
        except (StorageError, ConfigError):
            raise
        except Exception as error:  # the wall; see the module's text
            what = f"{function.__name__} raised {_text(error)}"
            self._tell(what, error)
            raise StorageError(what) from error

    def _tell(self, what: str, error: Exception) -> None:
        """Log the traceback, once a minute: a broken sink is tried again and again."""
        now_us = self._clock.now_us()
        if self._told_us is None or now_us - self._told_us >= TRACEBACK_SEC * US_PER_SEC:
            self._told_us = now_us
            logger.opt(exception=error).error("{}: {}", self._name, what)


def _text(error: Exception) -> str:
    # format_exception_only survives an error whose own __str__ raises.
    return " ".join("".join(traceback.format_exception_only(error)).split())[:500]
