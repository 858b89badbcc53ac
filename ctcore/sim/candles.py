"""Bars of all intervals, kept in bounded rings; bars from before the start come from :class:`PastPath`."""

from __future__ import annotations

import datetime as dt
from collections import deque
from itertools import chain, islice

import msgspec

from ctcore.errors import RequestRefused
from ctcore.model.time import US_PER_SEC
from ctcore.sim.past import PastPath

_MINUTE = 60 * US_PER_SEC
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_MONDAY_US = 4 * _DAY  # 1970-01-01 was a Thursday
_MONTH = "1M"

INTERVALS = {
    "1s": US_PER_SEC,
    "1m": _MINUTE, "3m": 3 * _MINUTE, "5m": 5 * _MINUTE, "15m": 15 * _MINUTE, "30m": 30 * _MINUTE,
    "1h": _HOUR, "2h": 2 * _HOUR, "4h": 4 * _HOUR, "6h": 6 * _HOUR, "8h": 8 * _HOUR, "12h": 12 * _HOUR,
    "1d": _DAY, "3d": 3 * _DAY, "1w": 7 * _DAY, _MONTH: 30 * _DAY,
}  # fmt: skip
"""Length of each interval in microseconds; that of a month only serves estimates. Days begin at 00:00 UTC."""


class SimCandle(msgspec.Struct, gc=False):
    """One bar in ticks and lots; ``quote_volume`` in ticks times lots. ``end_us`` is the next bar's open."""

    open_us: int
    end_us: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    quote_volume: int = 0
    trades: int = 0
    buy_volume: int = 0
    buy_quote_volume: int = 0
    closed: bool = False

    def add(self, price: int, quantity: int, *, buy: bool) -> None:
        """Take in one trade; ``buy`` tells that the taker bought. The first one opens the bar."""
        if not self.trades:
            self.open = self.high = self.low = price
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += quantity
        self.quote_volume += price * quantity
        self.trades += 1
        if buy:
            self.buy_volume += quantity
            self.buy_quote_volume += price * quantity


def bar_open(interval: str, us: int) -> int:
    """The open of the bar that holds a moment."""
    if interval == _MONTH:
        moment = _datetime(us).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return _micros(moment)
    length = INTERVALS[interval]
    offset = _MONDAY_US if interval == "1w" else 0
    return (us - offset) // length * length + offset


def bar_end(interval: str, open_us: int) -> int:
    """The open of the bar after the one that opens at ``open_us``."""
    if interval == _MONTH:
        return bar_open(interval, open_us + 32 * _DAY)
    return open_us + INTERVALS[interval]


class CandleSeries:
    """Bars of one interval since the start, at most ``limit`` of them, the last one still growing."""

    def __init__(
        self, interval: str, start_us: int, price: int, past: PastPath, *, limit: int = 1_500
    ) -> None:
        self.interval = interval
        self._past = past
        self._start_us = start_us
        self._closed: deque[SimCandle] = deque(maxlen=limit)
        open_us = bar_open(interval, start_us)
        self._growing = self._opening(open_us, price)
        self._first_live_us = open_us

    def __len__(self) -> int:
        return len(self._closed) + 1

    def add(self, us: int, price: int, quantity: int, *, buy: bool) -> None:
        """Take in one trade."""
        if us >= self._growing.end_us:
            self.roll(us)
        self._growing.add(price, quantity, buy=buy)

    def roll(self, now_us: int) -> None:
        """Close the bars that have ended; an interval without trades has a flat bar."""
        growing = self._growing
        if now_us < growing.end_us:
            return
        limit = self._closed.maxlen or 1
        if (now_us - growing.end_us) // INTERVALS[self.interval] > limit:
            self._closed.clear()  # none of them would be kept
            open_us = bar_open(self.interval, now_us - limit * INTERVALS[self.interval])
            growing = self._flat(open_us, growing.close)
        while growing.end_us <= now_us:
            growing.closed = True
            self._closed.append(growing)
            growing = self._flat(growing.end_us, growing.close)
        self._growing = growing

    def bars(self, limit: int, *, begin_us: int | None = None, end_us: int | None = None) -> list[SimCandle]:
        """Oldest first; see :meth:`ctcore.sim.market.SimInstrument.candles`."""
        last_us = self._growing.open_us if end_us is None else min(end_us, self._growing.open_us)
        if begin_us is None:
            return self._newest(limit, last_us)
        first_us = bar_open(self.interval, begin_us)
        if first_us < begin_us:
            first_us = bar_end(self.interval, first_us)
        found: list[SimCandle] = []
        while len(found) < limit and first_us <= min(last_us, self._first_live_us - 1):
            found.append(self._past_bar(first_us))
            first_us = bar_end(self.interval, first_us)
        live = chain(self._closed, (msgspec.structs.replace(self._growing),))
        found.extend(islice((bar for bar in live if first_us <= bar.open_us <= last_us), limit - len(found)))
        return found

    def _newest(self, limit: int, last_us: int) -> list[SimCandle]:
        live = chain((msgspec.structs.replace(self._growing),), reversed(self._closed))
        found = list(islice((bar for bar in live if bar.open_us <= last_us), limit))
        if len(self._closed) < (self._closed.maxlen or 0):  # the live bars still reach back to the start
            open_us = bar_open(self.interval, min(last_us, self._first_live_us - 1))
            while len(found) < limit and open_us >= 0:
                found.append(self._past_bar(open_us))
                open_us = bar_open(self.interval, open_us - 1)
        found.reverse()
        return found

    def _flat(self, open_us: int, price: int) -> SimCandle:
        return SimCandle(open_us, bar_end(self.interval, open_us), price, price, price, price)

    def _past_bar(self, open_us: int) -> SimCandle:
        return self._from_past(open_us, bar_end(self.interval, open_us))

    def _from_past(self, open_us: int, end_us: int) -> SimCandle:
        bar = self._past.bar(open_us, end_us)
        return SimCandle(open_us, end_us, *bar, closed=True)

    def _opening(self, open_us: int, price: int) -> SimCandle:
        """The bar that the start falls into: what came before belongs to it."""
        end_us = bar_end(self.interval, open_us)
        if open_us == self._start_us:
            return self._flat(open_us, price)
        bar = self._from_past(open_us, self._start_us)
        bar.end_us, bar.closed, bar.close = end_us, False, price
        bar.high, bar.low = max(bar.high, price), min(bar.low, price)
        return bar


def check_interval(interval: str) -> str:
    """The interval, if there are bars of it; raises :class:`RequestRefused`."""
    if interval not in INTERVALS:
        raise RequestRefused(f"no bars of {interval!r}; there are {', '.join(INTERVALS)}")
    return interval


def _datetime(us: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=us)


def _micros(moment: dt.datetime) -> int:
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
