"""What a perpetual has beside its book: mark and index price, funding, open interest, liquidations. Seeded,
pure."""

from __future__ import annotations

import math
import random
from collections import deque
from decimal import Decimal
from typing import NamedTuple

from ctcore.model.market import Side
from ctcore.model.time import US_PER_SEC

FUNDING_INTERVAL_US = 8 * 3600 * US_PER_SEC
_INTEREST = 0.0001  # a funding interval
_INTEREST_BAND = 0.0005
_LARGEST_RATE = 0.003
_MARK_SEC = 30.0  # time constant of the basis in the mark price


class SimFunding(NamedTuple):
    """A settled funding: ``rate`` as a fraction, ``mark`` in ticks."""

    settled_us: int
    rate: Decimal
    mark: int


class SimLiquidation(NamedTuple):
    """A forced order that went through the book; ``side`` is its own, prices in ticks."""

    liquidation_id: int
    us: int
    side: Side
    price: int
    average: int
    quantity: int


class Derivative:
    """State of one perpetual; prices in ticks (of the instrument), open interest in lots."""

    def __init__(self, seed: str, now_us: int, index: float, open_interest: int) -> None:
        self._seed = seed
        self._draw = random.Random(seed)
        self._start_us = now_us
        self._basis = 0.0
        self._premium = 0.0
        self._initial_interest = open_interest
        self._settled: deque[SimFunding] = deque(maxlen=500)
        self.liquidations: deque[SimLiquidation] = deque(maxlen=500)
        self._last_liquidation_id = 0
        self.index = index
        self.mark = index
        self.open_interest = open_interest
        self.next_funding_us = (now_us // FUNDING_INTERVAL_US + 1) * FUNDING_INTERVAL_US

    @property
    def funding_rate(self) -> Decimal:
        """The rate that would be settled now."""
        interest = min(max(_INTEREST - self._premium, -_INTEREST_BAND), _INTEREST_BAND)
        return _rate(self._premium + interest)

    def step(self, now_us: int, step_us: int, index: float, middle: float) -> None:
        """Let ``step_us`` pass, up to ``now_us``: the mark follows the basis slowly, funding settles when
        due."""
        seconds = step_us / US_PER_SEC
        weight = min(1.0, seconds / _MARK_SEC)
        self._basis += weight * ((middle - index) / index - self._basis)
        self._premium += min(1.0, seconds / 3600.0) * (self._basis - self._premium)
        self.index = index
        self.mark = index * (1 + self._basis)
        pull = 1e-5 * seconds * math.log(self._initial_interest / self.open_interest)
        noise = 2e-5 * math.sqrt(seconds) * self._draw.gauss(0.0, 1.0)
        self.open_interest = max(1, round(self.open_interest * math.exp(pull + noise)))
        self.settle(now_us)

    def settle(self, now_us: int) -> None:
        """Settle the fundings that are due."""
        while self.next_funding_us <= now_us:
            self._settled.append(SimFunding(self.next_funding_us, self.funding_rate, round(self.mark)))
            self.next_funding_us += FUNDING_INTERVAL_US

    def liquidated(self, us: int, side: Side, price: int, average: int, quantity: int) -> None:
        """Note a forced order."""
        self._last_liquidation_id += 1
        number = self._last_liquidation_id
        self.liquidations.append(SimLiquidation(number, us, side, price, average, quantity))

    def fundings(self, limit: int) -> list[SimFunding]:
        """The last ``limit`` settlements, oldest first; those before the start are drawn from the seed."""
        live = list(self._settled)[-limit:]
        missing = limit - len(live)
        before_us = live[0].settled_us if live else self.next_funding_us
        past = [self._past(before_us - number * FUNDING_INTERVAL_US) for number in range(missing, 0, -1)]
        return [*past, *live]

    def _past(self, settled_us: int) -> SimFunding:
        draw = random.Random(f"{self._seed}:{settled_us}")
        return SimFunding(settled_us, _rate(_INTEREST * draw.gauss(1.0, 0.5)), round(self.index))


def _rate(value: float) -> Decimal:
    return Decimal(f"{min(max(value, -_LARGEST_RATE), _LARGEST_RATE):.8f}")
