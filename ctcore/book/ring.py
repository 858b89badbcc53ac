"""A bounded history of one stream in memory: the newest items, older ones fall off."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ring(Generic[T]):
    """Keeps the newest ``capacity`` items and drops older ones."""

    __slots__ = ("_items", "append")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a ring holds at least 1 item, not {capacity}")
        self._items: deque[T] = deque(maxlen=capacity)
        self.append = self._items.append

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def newest(self, count: int) -> list[T]:
        """At most ``count`` items, oldest of them first."""
        items = self._items
        skip = max(0, len(items) - count)
        return [item for index, item in enumerate(items) if index >= skip]
