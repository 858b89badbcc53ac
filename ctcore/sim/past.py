"""What the market did before it started: a price as a closed formula of time, so that any bar can be asked
for.

The logarithm of the price is a sum of sines whose periods reach from seconds to months, their amplitude
growing with the root of the period as a random walk's would; it meets the initial price at the start.
Volume, too, is the difference of a formula at both ends. So bars of different intervals agree with each
other and cost no memory.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from ctcore.model.time import US_PER_SEC

_TERMS = 20
_SHORTEST_SEC = 17.0
_STEP = 2.03  # ratio of neighbouring periods: the longest is about 4 months
_SWING_SHARE = 0.19  # of each of five swings of the volume
_SAMPLES = 4  # looked at inside a bar for its high and low


class PastBar(NamedTuple):
    """A bar in ticks and lots, and ticks times lots."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    trades: int
    buy_volume: int
    buy_quote_volume: int


class PastPath:
    """Price and volume before ``start_us``; ``price`` in ticks, ``lots_per_sec`` and ``trades_per_sec`` on
    average.

    ``volatility`` is the standard deviation of the price's logarithm over one second.
    """

    def __init__(
        self,
        seed: str,
        start_us: int,
        price: int,
        *,
        volatility: float,
        lots_per_sec: float,
        trades_per_sec: float,
    ) -> None:
        draw = random.Random(seed)
        self._start_us = start_us
        self._price = price
        self._lots = lots_per_sec
        self._trades = trades_per_sec
        self._terms: list[tuple[float, float, float]] = []
        for number in range(_TERMS):
            period_sec = _SHORTEST_SEC * _STEP**number * draw.uniform(0.9, 1.1)
            amplitude = 0.35 * volatility * math.sqrt(period_sec)
            self._terms.append((amplitude, 2 * math.pi / period_sec, draw.uniform(0, 2 * math.pi)))
        self._level = self._sum(0.0)
        self._pulse = [(_SWING_SHARE, omega, phase) for _, omega, phase in self._terms[3:12:2]]

    def price(self, us: int) -> int:
        """Ticks at a moment."""
        return max(1, round(self._price * math.exp(self._sum(self._seconds(us)) - self._level)))

    def bar(self, open_us: int, end_us: int) -> PastBar:
        """The bar between two moments."""
        step = (end_us - open_us) / (_SAMPLES + 1)
        seen = [self.price(open_us + round(step * number)) for number in range(_SAMPLES + 2)]
        volume = self._volume(end_us, self._lots) - self._volume(open_us, self._lots)
        trades = self._volume(end_us, self._trades) - self._volume(open_us, self._trades)
        mean = sum(seen) // len(seen)
        buys = round(volume * (0.5 + 0.2 * math.sin(self._seconds(open_us))))
        return PastBar(
            seen[0], max(seen), min(seen), seen[-1], volume, volume * mean, trades, buys, buys * mean
        )

    def _seconds(self, us: int) -> float:
        return (us - self._start_us) / US_PER_SEC

    def _sum(self, seconds: float) -> float:
        return sum(amplitude * math.sin(omega * seconds + phase) for amplitude, omega, phase in self._terms)

    def _volume(self, us: int, rate: float) -> int:
        """Cumulative; never shrinks, the shares of the swings adding up to less than 1."""
        seconds = self._seconds(us)
        swing = sum(share * math.sin(omega * seconds + phase) / omega for share, omega, phase in self._pulse)
        return math.floor(rate * (seconds + swing))
