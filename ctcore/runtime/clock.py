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

    A stamp is the clock's time, or one more than the stamp before where the clock has not moved on or was set
    back. Stamps are therefore never further ahead of the clock than its own steps and a flood demand, and
    meet it again as soon as it catches up.
    """

    __slots__ = ("_clock", "_last_us", "_now_us", "_stepped", "_steps_back")

    def __init__(self, clock: Clock, *, after_us: int = 0) -> None:
        self._clock = clock
        self._now_us = clock.now_us
        self._last_us = after_us
        self._steps_back = 0
        self._stepped = False

    def now_us(self) -> int:
        """The next stamp; no two are alike."""
        now = self._now_us()
        last = self._last_us
        if now > last:
            self._last_us = now
            self._stepped = False
            return now
        if last - now > _STEP_US and not self._stepped:
            self._stepped = True
            self._steps_back += 1
        self._last_us = last = last + 1
        return last

    def statistics(self) -> StampStatistics:
        """Where the stamps stand against the clock."""
        return StampStatistics(self._last_us, max(0, self._last_us - self._now_us()), self._steps_back)
