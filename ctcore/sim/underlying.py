"""The fair price that a market's takers believe in: a mean-reverting walk of the logarithm, seeded, pure."""

from __future__ import annotations

import math
import random

from ctcore.model.time import US_PER_SEC


class Underlying:
    """A fair price that wanders around ``initial_price`` and never drifts away for good.

    ``volatility`` is the standard deviation of the logarithm over one second, ``reversion_sec`` the time
    constant of the pull back. Spot and perpetual of one pair share a path by sharing the ``seed``.
    """

    def __init__(self, seed: str, initial_price: float, *, volatility: float, reversion_sec: float) -> None:
        self._draw = random.Random(seed)
        self._log0 = math.log(initial_price)
        self._offset = 0.0
        self._volatility = volatility
        self._reversion_sec = reversion_sec
        self._step_us = -1
        self._keep = self._sigma = 0.0
        self.price = initial_price

    def step(self, step_us: int) -> None:
        """Let ``step_us`` microseconds pass."""
        if step_us != self._step_us:
            # the exact transition of an Ornstein-Uhlenbeck process: any length of step keeps its distribution
            seconds = step_us / US_PER_SEC
            self._keep = math.exp(-seconds / self._reversion_sec)
            self._sigma = self._volatility * math.sqrt((1 - self._keep**2) * self._reversion_sec / 2)
            self._step_us = step_us
        self._offset = self._offset * self._keep + self._sigma * self._draw.gauss(0.0, 1.0)
        self.price = math.exp(self._log0 + self._offset)
