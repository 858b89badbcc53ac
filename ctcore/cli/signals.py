"""SIGINT and SIGTERM from a command's first moment on: none ends the process halfway, none is lost."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ctcore.runtime.shutdown import StopSignals

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class EarlySignals:
    """What becomes of a signal depends on how far the command has got.

    ``loading``: nothing is up yet, so :class:`KeyboardInterrupt` is raised wherever the command is.
    ``starting``: it is remembered, and handed over to :meth:`open`. ``running``: whoever listens inside
    :meth:`open` gets it; what arrives after that has its usual effect.
    """

    def __init__(self) -> None:
        self.stage: Literal["loading", "starting", "running"] = "loading"
        self.name = ""

    def arrived(self, number: int, _: FrameType | None) -> None:
        """The handler of both signals."""
        if self.stage == "running":
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            return
        self.name = signal.Signals(number).name
        if self.stage == "loading":
            raise KeyboardInterrupt

    @asynccontextmanager
    async def open(self) -> AsyncIterator[StopSignals]:
        """Listen as :func:`~ctcore.runtime.shutdown.open_signals`, knowing what has come before."""
        from ctcore.runtime.shutdown import open_signals

        async with open_signals() as signals:
            self.stage = "running"
            if self.name:
                signals.ask(self.name)
            yield signals


@contextmanager
def early_signals() -> Iterator[EarlySignals]:
    """Take both signals while the block runs; main thread only."""
    early = EarlySignals()
    before = {number: signal.signal(number, early.arrived) for number in _NUMBERS}
    try:
        yield early
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
