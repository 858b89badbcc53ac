"""Where time comes from. The only clocks of ctcore; everything below is given its time.

Intervals and deadlines are measured with trio's clock, which never steps; these clocks say what time it *is*.
"""

from __future__ import annotations

import time
from typing import Protocol

import attrs
import trio

from ctcore.model.time import US_PER_SEC

_STEP_US = US_PER_SEC  # a stamp this far ahead of its clock means that the clock was set back, not jittered


class Clock(Protocol):
    """Something that knows the time."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""


class SystemClock:
    """The machine's clock; it may step when the machine is told so."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return time.time_ns() // 1_000


class TrioClock:
    """trio's clock counted from ``epoch_us``: virtual time under a mock clock."""

    def __init__(self, epoch_us: int = 0) -> None:
        self._epoch_us = epoch_us
        self._began = trio.current_time()

    def now_us(self) -> int:
        """``epoch_us`` plus what has passed since this clock was made."""
        return self._epoch_us + round((trio.current_time() - self._began) * US_PER_SEC)


@attrs.frozen
class StampStatistics:
    """``ahead_us``: how far stamps are ahead of the clock; ``steps_back``: how often it was set back."""

    last_us: int
    ahead_us: int
    steps_back: int


class MonotonicStamp:
    """Strictly increasing microseconds: the canonical order of events.

    A stamp is the clock's time, or one more than the stamp before where the clock has not moved on. After the
    clock was set back, stamps go on at half its pace until it has caught up: deadlines measured on stamps
    come late then, but they come.
    """

    __slots__ = ("_behind_at_us", "_clock", "_last_us", "_now_us", "_steps_back")

    def __init__(self, clock: Clock, *, after_us: int = 0) -> None:
        self._clock = clock
        self._now_us = clock.now_us
        self._last_us = after_us
        self._behind_at_us: int | None = None
        self._steps_back = 0

    def now_us(self) -> int:
        """The next stamp; no two are alike."""
        now = self._now_us()
        if now > self._last_us:
            self._last_us = now
            self._behind_at_us = None
            return now
        return self._ahead_of(now)

    def _ahead_of(self, now: int) -> int:
        """The next stamp while the stamps are ahead of the clock."""
        behind_at = self._behind_at_us
        if behind_at is None and self._last_us - now > _STEP_US:
            self._steps_back += 1
        progress = 0 if behind_at is None else now - behind_at
        self._behind_at_us = now
        self._last_us += max(1, progress // 2)
        return self._last_us

    def statistics(self) -> StampStatistics:
        """Where the stamps stand against the clock."""
        return StampStatistics(self._last_us, max(0, self._last_us - self._now_us()), self._steps_back)
