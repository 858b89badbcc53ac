"""Market time of a simulated venue, driven by trio's clock."""

from __future__ import annotations

import math
import time

import trio

from ctcore.errors import ConfigError
from ctcore.model.time import US_PER_SEC


class SimClock:
    """``start_us`` plus the elapsed trio time times ``speed``; with trio's MockClock all of it is virtual.

    The clock starts when it is made, or, made outside trio, with its first reading. ``start_us`` None starts
    at the computer's own time.
    """

    def __init__(self, speed: float = 1.0, start_us: int | None = None) -> None:
        if not (speed > 0 and math.isfinite(speed)):
            raise ConfigError(f"speed {speed} of a simulated venue must be above 0; 1 is real time")
        self.speed = speed
        self.start_us = time.time_ns() // 1_000 if start_us is None else start_us
        self._epoch = trio.current_time() if trio.lowlevel.in_trio_run() else None

    def now_us(self) -> int:
        """Market time in microseconds UTC. Only inside ``trio.run``."""
        now = trio.current_time()
        if self._epoch is None:
            self._epoch = now
        return self.start_us + round((now - self._epoch) * self.speed * US_PER_SEC)

    async def sleep_until(self, us: int) -> None:
        """Sleep until the market's time is ``us``; a checkpoint if that has passed."""
        await self.sleep(us - self.now_us())

    async def sleep(self, us: int) -> None:
        """Sleep ``us`` microseconds of market time."""
        await trio.sleep(max(0.0, us / US_PER_SEC / self.speed))
