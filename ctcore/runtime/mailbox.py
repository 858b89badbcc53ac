"""Bounded queues from synchronous publishers to one asynchronous consumer.

Publishing never waits: what happens to an item that does not fit is the mailbox's :class:`Overflow`.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import attrs
import trio

from ctcore.errors import MailboxFull

T = TypeVar("T")


class Overflow(enum.StrEnum):
    """What a full mailbox does.

    CONFLATE keeps the newest item of each key, for items that each hold a whole state (a best price, a book;
    never deltas); ``capacity`` bounds the keys, and one key too many raises as NEVER_DROP does. DROP_OLDEST
    forgets the oldest item and counts it. NEVER_DROP raises :class:`~ctcore.errors.MailboxFull`, so that the
    consumer is failed loudly rather than told half of the story.
    """

    CONFLATE = "conflate"
    DROP_OLDEST = "drop_oldest"
    NEVER_DROP = "never_drop"


@attrs.frozen
class MailboxStatistics:
    """``put`` items came in, ``received`` went out; the rest is queued, or was dropped or conflated."""

    name: str
    overflow: Overflow
    capacity: int
    queued: int
    high_water: int
    put: int
    received: int
    dropped: int
    conflated: int
    refused: int


class Mailbox(Generic[T]):
    """One consumer's queue: ``put_nowait`` from anywhere in trio's thread, ``async for batch in mailbox``
    once.

    ``key`` is required by CONFLATE, and used by nothing else.
    """

    def __init__(
        self, name: str, *, capacity: int, overflow: Overflow, key: Callable[[T], Hashable] | None = None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"mailbox {name}: capacity {capacity} is below 1")
        if (key is not None) is not (overflow is Overflow.CONFLATE):
            raise ValueError(f"mailbox {name}: a key goes with {Overflow.CONFLATE}, and only with it")
        self.name = name
        self.capacity = capacity
        self.overflow = overflow
        self._items: deque[T] = deque()
        self._latest: dict[Hashable, T] = {}
        self._lot = trio.lowlevel.ParkingLot()
        self._waiting = False
        self._closed = False
        self._error: Exception | None = None
        self._high_water = 0
        self._put = 0
        self._received = 0
        self._dropped = 0
        self._conflated = 0
        self._refused = 0
        self.put_nowait: Callable[[T], None] = self._put_ordered if key is None else self._conflating(key)

    def __len__(self) -> int:
        return len(self._items) + len(self._latest)

    def _put_ordered(self, item: T) -> None:
        items = self._items
        if self._closed or len(items) >= self.capacity:
            self._make_room()
        items.append(item)
        self._put += 1
        if self._waiting:
            self._wake()

    def _conflating(self, key_of: Callable[[T], Hashable]) -> Callable[[T], None]:
        latest = self._latest

        def put(item: T) -> None:
            key = key_of(item)
            if self._closed:
                raise trio.ClosedResourceError
            if key in latest:
                self._conflated += 1
            elif len(latest) >= self.capacity:
                self._refuse("keys")
            latest[key] = item
            self._put += 1
            if self._waiting:
                self._wake()

        return put

    async def receive_all(self) -> list[T]:
        """Everything queued, oldest first; waits for a first item.

        Cancelled, it has taken nothing. Raises what :meth:`fail` was given, :class:`trio.EndOfChannel` once
        closed and empty, :class:`trio.BusyResourceError` when another task is receiving.
        """
        if self._waiting:
            raise trio.BusyResourceError(f"mailbox {self.name} has its one consumer already")
        await trio.lowlevel.checkpoint()
        while not self and not self._closed and self._error is None:
            self._waiting = True
            try:
                await self._lot.park()
            finally:
                self._waiting = False
        return self._take()

    def receive_all_nowait(self) -> list[T]:
        """Everything queued, oldest first; raises :class:`trio.WouldBlock` when there is nothing."""
        if not self and not self._closed and self._error is None:
            raise trio.WouldBlock
        return self._take()

    def __aiter__(self) -> Mailbox[T]:
        return self

    async def __anext__(self) -> list[T]:
        try:
            return await self.receive_all()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Take no more; what is queued can still be received, then iteration ends."""
        self._closed = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Make the consumer raise ``error``: the way a broken subscription fails the service that owns it."""
        if self._error is None:
            self._error = error
        self._wake()

    def statistics(self) -> MailboxStatistics:
        """Counts so far."""
        queued = len(self)
        return MailboxStatistics(
            name=self.name,
            overflow=self.overflow,
            capacity=self.capacity,
            queued=queued,
            high_water=max(self._high_water, queued),
            put=self._put,
            received=self._received,
            dropped=self._dropped,
            conflated=self._conflated,
            refused=self._refused,
        )

    def _make_room(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if self.overflow is Overflow.NEVER_DROP:
            self._refuse("items")
        self._high_water = self.capacity
        self._items.popleft()
        self._dropped += 1

    def _refuse(self, what: str) -> None:
        self._refused += 1
        raise MailboxFull(
            f"mailbox {self.name} holds {self.capacity} {what} and may drop none: its consumer is too slow"
        )

    def _take(self) -> list[T]:
        if self._error is not None:
            raise self._error
        items = [*self._items, *self._latest.values()]
        if not items:
            raise trio.EndOfChannel
        self._items.clear()
        self._latest.clear()
        self._high_water = max(self._high_water, len(items))
        self._received += len(items)
        return items

    def _wake(self) -> None:
        self._lot.unpark_all()
