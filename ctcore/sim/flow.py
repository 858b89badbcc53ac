"""Seeded order flow of one instrument: makers who quote around a fair price, and takers who pull the book
to it.

Three kinds of events come at random moments:

* a maker places an order: near the touch, or at a distance whose density falls with a power of it;
* a maker takes an order back, the more often the more orders rest;
* a taker trades: with the fair price's side when the book is off it, otherwise with either side.
"""

from __future__ import annotations

import math
import random

import attrs

from ctcore.model.market import Side
from ctcore.model.time import US_PER_SEC
from ctcore.sim.book import SimBook
from ctcore.sim.matching import Execution, OrderKind

_CHANGES_PER_EVENT = 1.15  # level changes that an event makes on average, measured
_ORDERS_PER_LEVEL = 1.5
_TAIL = 1.3  # the exponent of the density of far orders
_NEAR_SHARE = 0.45  # of makers quote at the touch
_NEAR_SHARE_WIDE = 0.9  # while the spread is wide
_NEAR_TICKS = 8
_WIDE_TICKS = 3
_SWEEP = 10  # times the typical order is what a taker with a better idea of the price takes
_SIZE_LIMIT = 200  # times the typical order


@attrs.frozen(kw_only=True)
class FlowParameters:
    """How busy and how deep an instrument is.

    ``activity``: level changes a second, about. ``levels``: price levels a side, about. ``depth``: half of
    the far orders lie within this fraction of the price. ``order_lots``: the median order, sizes being
    log-normal with ``size_sigma``. ``taker_share`` of the events trade. ``volatility``: standard deviation
    of the fair price's logarithm over one second; ``reversion_sec``: how slowly it returns.
    ``liquidations_per_min`` is for derivatives.
    """

    activity: float = 30.0
    levels: int = 400
    depth: float = 0.002
    order_lots: int = 1_000
    size_sigma: float = 1.2
    taker_share: float = 0.08
    volatility: float = 2e-5
    reversion_sec: float = 4 * 3600.0
    liquidations_per_min: float = 1.0


class OrderFlow:
    """Makes orders on a :class:`SimBook`. The events depend on the seed alone, not on how time is sliced."""

    def __init__(self, seed: str, book: SimBook, parameters: FlowParameters, initial_ticks: float) -> None:
        self._draw = random.Random(seed)
        self._book = book
        self._parameters = parameters
        self._rate = parameters.activity / _CHANGES_PER_EVENT / US_PER_SEC
        self._target = round(parameters.levels * 2 * _ORDERS_PER_LEVEL)
        self._scale = max(parameters.levels * 0.6, initial_ticks * parameters.depth / (2 ** (1 / _TAIL) - 1))
        self._furthest = max(1.0, min(self._scale * 60, initial_ticks * 0.5))
        self._resting: list[int] = []
        self._place_of: dict[int, int] = {}
        self.fair = initial_ticks
        self.next_us = 0

    def fill(self, now_us: int) -> None:
        """Quote the whole book for the first time."""
        for number in range(self._target):
            self._quote(now_us, Side.BUY if number % 2 else Side.SELL, near=number % 10 < 2)
        self.schedule(now_us)

    def schedule(self, now_us: int) -> None:
        """Draw the moment of the next event."""
        self.next_us = now_us + 1 + int(self._draw.expovariate(self._rate))

    def event(self, now_us: int) -> Execution | None:
        """One event; the execution of an order that may have traded."""
        draw, book = self._draw, self._book.matching
        self.schedule(now_us)
        bids, asks = book.count(Side.BUY), book.count(Side.SELL)
        near = draw.random() < (_NEAR_SHARE_WIDE if self._is_wide() else _NEAR_SHARE)
        few = self._parameters.levels // 8
        if bids <= few or asks <= few:
            return self._quote(now_us, Side.BUY if bids <= asks else Side.SELL, near=near)
        if draw.random() < self._parameters.taker_share:
            return self._take(now_us)
        crowd = (len(self._resting) / self._target) ** 3
        if draw.random() * (crowd + 1) < crowd:
            self._withdraw(now_us)
            return None
        side = Side.BUY if draw.random() * (bids + asks) < asks else Side.SELL
        return self._quote(now_us, side, near=near)

    @property
    def typical_lots(self) -> int:
        """The median order size."""
        return self._parameters.order_lots

    def forget(self, order_id: int) -> None:
        """An order of the flow is off the book."""
        place = self._place_of.pop(order_id, None)
        if place is None:
            return
        last = self._resting.pop()
        if last != order_id:
            self._resting[place] = last
            self._place_of[last] = place

    def lots(self, times: float = 1.0) -> int:
        """A random order size, ``times`` the typical one."""
        parameters = self._parameters
        factor = min(_SIZE_LIMIT, math.exp(self._draw.gauss(0.0, parameters.size_sigma)) * times)
        return max(1, round(parameters.order_lots * factor))

    def _quote(self, now_us: int, side: Side, *, near: bool) -> Execution:
        sign = 1 if side is Side.BUY else -1
        book = self._book.matching
        own, other = book.best(side), book.best(Side.SELL if side is Side.BUY else Side.BUY)
        distance = 1.0
        if near and own is not None:
            price = self._near_price(own, other, sign)
        else:
            distance = self._distance()
            price = round(self.fair - sign * distance)
        if other is not None and (other - price) * sign <= 0:
            price = other - sign  # makers never take
        lots = self.lots(1 + math.log1p(distance / self._scale))
        execution = self._book.place(now_us, side, lots, price=max(1, price))
        if execution.rested:
            self._place_of[execution.order_id] = len(self._resting)
            self._resting.append(execution.order_id)
        return execution

    def _near_price(self, own: int, other: int | None, sign: int) -> int:
        """At or just behind the best price; next to the fair one while the spread is wide."""
        behind = int(self._draw.expovariate(1 / _NEAR_TICKS))
        if other is None or abs(other - own) <= 1 or self._draw.random() < 0.3:
            return own - sign * behind
        fair = math.floor(self.fair) if sign > 0 else math.ceil(self.fair)
        return fair - sign * (behind // 4)

    def _is_wide(self) -> bool:
        bid, ask = self._book.matching.best(Side.BUY), self._book.matching.best(Side.SELL)
        return bid is not None and ask is not None and ask - bid > _WIDE_TICKS

    def _distance(self) -> float:
        """From the fair price, in ticks: Lomax, cut at the furthest."""
        cut = 1 - math.pow(1 + self._furthest / self._scale, -_TAIL)
        return 1 + self._scale * (math.pow(1 - self._draw.random() * cut, -1 / _TAIL) - 1)

    def _withdraw(self, now_us: int) -> None:
        order_id = self._resting[int(self._draw.random() * len(self._resting))]
        self.forget(order_id)
        self._book.cancel(now_us, order_id)

    def _take(self, now_us: int) -> Execution | None:
        bid, ask = self._book.best_bid, self._book.best_ask
        if bid is None or ask is None:
            return None
        if self.fair > ask[0]:
            side, price, lots = Side.BUY, int(self.fair), self.lots(_SWEEP)
        elif self.fair < bid[0]:
            side, price, lots = Side.SELL, math.ceil(self.fair), self.lots(_SWEEP)
        else:
            lean = (self.fair - bid[0]) / (ask[0] - bid[0])
            buys = self._draw.random() < 0.25 + 0.5 * lean
            side, price, lots = (Side.BUY, ask[0], self.lots()) if buys else (Side.SELL, bid[0], self.lots())
        return self._book.place(now_us, side, lots, price=price, kind=OrderKind.IOC)
