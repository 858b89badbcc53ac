"""A wish of anybody that one task waits for."""

from __future__ import annotations

import trio


class Signal:
    """Set by anybody, waited for by one, and gone once it was seen."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        """Wake the one that waits, or that will."""
        self._event.set()

    async def wait(self) -> None:
        """Wait until it is set."""
        await self._event.wait()
        self._event = trio.Event()
