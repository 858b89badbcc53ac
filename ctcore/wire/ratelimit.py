"""A venue's request budget, kept on our side so that the venue never has to say 429.

One :class:`RateBudget` serves one venue from one address, everything sharing it: snapshots, polling, later
orders.

* A *bucket* allows ``capacity`` units in **any** stretch of ``interval_sec`` seconds. Venues count in fixed
  windows of their own clock; a sliding window keeps within the limit wherever their windows begin.
* Waiters are served in order of arrival, priority callers first. A waiter holds back those behind it only in
  the buckets that both need.
* What the venue itself counts is heeded when it is more than we know of (:meth:`RateBudget.observed`):
  another program may share the address.
* :meth:`RateBudget.park` silences everyone, as 429 and 418 ask for.

Time is trio's, so that tests run on a virtual clock. Knows no venue; imports only errors.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping

import attrs
import trio

from ctcore.errors import RateLimited, RequestRefused

_SLOTS = 256  # a window's memory: charges closer together than 1/256 of it share one slot and expire together


@attrs.frozen
class BucketLimit:
    """``capacity`` units in any ``interval_sec`` seconds; a ``reserved`` share is for priority callers."""

    bucket: str
    capacity: int = attrs.field(validator=attrs.validators.ge(1))
    interval_sec: float = attrs.field(validator=attrs.validators.gt(0))
    reserved: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.lt(1)])


@attrs.frozen
class BucketStatistics:
    """Of one bucket: ``used`` units in the window that ends now."""

    bucket: str
    capacity: int
    used: int
    waiting: int


@attrs.frozen
class RateStatistics:
    """Of a budget: ``waited_sec`` sums up all callers; ``parked_sec`` is what is left of a silence."""

    name: str
    buckets: tuple[BucketStatistics, ...]
    granted: int
    waiting: int
    waited_sec: float
    parked_sec: float
    parked_times: int
    refused: int
    unknown_observed: int


class _Slot:
    """Units charged at about one time."""

    __slots__ = ("amount", "expires", "opened")

    def __init__(self, opened: float, expires: float, amount: int) -> None:
        self.opened = opened
        self.expires = expires
        self.amount = amount


class _Window:
    """The sliding window of one bucket."""

    def __init__(self, limit: BucketLimit) -> None:
        self.limit = limit
        self.ordinary_capacity = limit.capacity - math.ceil(limit.capacity * limit.reserved)
        self._slots: deque[_Slot] = deque()
        self._used = 0

    def used(self, now: float) -> int:
        while self._slots and self._slots[0].expires <= now:
            self._used -= self._slots.popleft().amount
        return self._used

    def capacity(self, *, priority: bool) -> int:
        return self.limit.capacity if priority else self.ordinary_capacity

    def charge(self, amount: int, now: float) -> _Slot:
        interval_sec = self.limit.interval_sec
        self._used += amount
        last = self._slots[-1] if self._slots else None
        if last is not None and now - last.opened < interval_sec / _SLOTS:
            last.amount += amount
            last.expires = now + interval_sec
            return last
        slot = _Slot(now, now + interval_sec, amount)
        self._slots.append(slot)
        return slot

    def refund(self, slot: _Slot, amount: int, now: float) -> None:
        self.used(now)
        if slot.expires > now:
            slot.amount -= amount
            self._used -= amount

    def fits_at(self, amount: int, capacity: int, now: float) -> float:
        """The earliest time at which ``amount`` fits, if nobody else charges until then."""
        excess = self.used(now) + amount - capacity
        when = now
        for slot in self._slots:
            if excess <= 0:
                break
            excess -= slot.amount
            when = slot.expires
        return when


class _Waiter:
    """One caller of acquire."""

    __slots__ = ("charges", "cost", "granted", "priority", "ready_at", "wake")

    def __init__(self, cost: dict[str, int], *, priority: bool) -> None:
        self.cost = cost
        self.priority = priority
        self.granted = False
        self.ready_at = math.inf  # when its own budget may be there; infinite while somebody is before it
        self.wake = trio.Event()
        self.charges: list[tuple[_Window, _Slot, int]] = []


class RateBudget:
    """The budget of one venue from one address. ``max_waiting`` bounds the queue of callers."""

    def __init__(self, name: str, limits: Iterable[BucketLimit], *, max_waiting: int = 1_000) -> None:
        self.name = name
        self._windows = {limit.bucket: _Window(limit) for limit in limits}
        self._queue: deque[_Waiter] = deque()
        self._urgent: deque[_Waiter] = deque()
        self._max_waiting = max_waiting
        self._parked_until = -math.inf
        self._granted = 0
        self._waited_sec = 0.0
        self._parked_times = 0
        self._refused = 0
        self._unknown_observed = 0

    async def acquire(self, cost: Mapping[str, int], *, priority: bool = False) -> None:
        """Wait until ``cost`` (units by bucket) fits, and take it.

        Cancelled, it has taken nothing. Raises :class:`RequestRefused` for a bucket the venue does not have
        or a cost that never fits, :class:`RateLimited` when ``max_waiting`` callers are waiting already.
        """
        self._check(cost, priority=priority)
        began = trio.current_time()
        waiter = _Waiter({bucket: units for bucket, units in cost.items() if units}, priority=priority)
        queue = self._urgent if priority else self._queue
        queue.append(waiter)
        self._serve()
        served = False
        try:
            await trio.lowlevel.checkpoint()
            while not waiter.granted:
                # Only a waiter with nobody before it watches the time; the others are woken by those before
                # them.
                with trio.move_on_at(waiter.ready_at):
                    await waiter.wake.wait()
                waiter.wake = trio.Event()
                self._serve()
            served = True
        finally:
            if not served:
                self._withdraw(waiter, queue)
        self._granted += 1
        self._waited_sec += trio.current_time() - began

    def observed(self, bucket: str, used: int) -> None:
        """The venue says it counts ``used`` units in ``bucket``: take over what we did not know of.

        A smaller number than ours changes nothing: the venue's window may have just begun, or requests of
        ours may still be under way. A bucket we do not have is only counted.
        """
        window = self._windows.get(bucket)
        if window is None:
            self._unknown_observed += 1
            return
        now = trio.current_time()
        unknown = min(used, window.limit.capacity) - window.used(now)
        if unknown > 0:
            window.charge(unknown, now)
            self._serve()

    def park(self, seconds: float) -> None:
        """Let nobody through for ``seconds``; a longer silence that already runs stays."""
        self._parked_times += 1
        self._parked_until = max(self._parked_until, trio.current_time() + seconds)
        self._serve()

    def statistics(self) -> RateStatistics:
        """What is used and who waits, now."""
        now = trio.current_time()
        waiting = [*self._urgent, *self._queue]
        return RateStatistics(
            name=self.name,
            buckets=tuple(
                BucketStatistics(
                    bucket, window.limit.capacity, window.used(now), sum(bucket in w.cost for w in waiting)
                )
                for bucket, window in self._windows.items()
            ),
            granted=self._granted,
            waiting=len(waiting),
            waited_sec=self._waited_sec,
            parked_sec=max(0.0, self._parked_until - now),
            parked_times=self._parked_times,
            refused=self._refused,
            unknown_observed=self._unknown_observed,
        )

    def _check(self, cost: Mapping[str, int], *, priority: bool) -> None:
        for bucket, units in cost.items():
            window = self._windows.get(bucket)
            if window is None:
                known = ", ".join(self._windows) or "none"
                raise RequestRefused(f"{self.name}: a request costs {units} of {bucket!r}; there is {known}")
            capacity = window.capacity(priority=priority)
            if not 0 <= units <= capacity:
                raise RequestRefused(
                    f"{self.name}: a request costs {units} of {bucket!r}; 0 to {capacity} can be had"
                )
        if len(self._queue) + len(self._urgent) >= self._max_waiting:
            self._refused += 1
            raise RateLimited(f"{self.name}: {self._max_waiting} requests wait already", status=0)

    def _serve(self) -> None:
        """Grant whoever can be granted, in order; set the time the others at the front wait for."""
        now = trio.current_time()
        if now < self._parked_until:
            for waiter in (*self._urgent, *self._queue):
                self._retime(waiter, self._parked_until)
            return
        taken: set[str] = set()  # buckets that somebody further ahead waits for
        for queue in (self._urgent, self._queue):
            for waiter in tuple(queue):
                if taken.isdisjoint(waiter.cost):
                    ready_at = self._ready_at(waiter, now)
                    if ready_at <= now:
                        self._grant(waiter, now)
                        queue.remove(waiter)
                        continue
                    self._retime(waiter, ready_at)
                else:
                    self._retime(waiter, math.inf)
                taken.update(waiter.cost)

    def _ready_at(self, waiter: _Waiter, now: float) -> float:
        ready_at = now
        for bucket, units in waiter.cost.items():
            window = self._windows[bucket]
            ready_at = max(ready_at, window.fits_at(units, window.capacity(priority=waiter.priority), now))
        return ready_at

    def _retime(self, waiter: _Waiter, ready_at: float) -> None:
        if ready_at != waiter.ready_at:
            waiter.ready_at = ready_at
            waiter.wake.set()

    def _grant(self, waiter: _Waiter, now: float) -> None:
        waiter.granted = True
        waiter.charges = [
            (window, window.charge(units, now), units)
            for window, units in ((self._windows[bucket], units) for bucket, units in waiter.cost.items())
        ]
        waiter.wake.set()

    def _withdraw(self, waiter: _Waiter, queue: deque[_Waiter]) -> None:
        if waiter.granted:
            now = trio.current_time()
            for window, slot, units in waiter.charges:
                window.refund(slot, units, now)
        else:
            queue.remove(waiter)
        self._serve()
