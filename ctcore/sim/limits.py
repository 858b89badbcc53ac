"""Server-side rate limits: fixed windows aligned to the clock, per peer and bucket. Pure; time is passed
in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import attrs

from ctcore.contracts.driver import RateLimit
from ctcore.errors import ConfigError
from ctcore.model.time import US_PER_SEC

_PEER_LIMIT = 4_096  # peer and bucket pairs remembered; the longest unused is forgotten


@attrs.frozen
class Usage:
    """What a call found: ``used`` of ``capacity`` in this window, itself included.

    A call that is not ``allowed`` should wait ``retry_after_sec``; ``banned`` tells that the peer went on
    calling while it was refused.
    """

    bucket: str
    used: int
    capacity: int
    allowed: bool
    banned: bool = False
    retry_after_sec: float = 0.0


@attrs.define
class _Window:
    number: int
    used: int = 0
    refused: int = 0


class RateWindows:
    """Counts what peers use of each bucket.

    After ``ban_after`` refusals in one window the peer is banned for ``ban_sec`` (None: never). A bucket
    given as ``endpoint:*`` serves as many buckets as calls name (``endpoint:books``), each with that limit.
    """

    def __init__(
        self, limits: Iterable[RateLimit], *, ban_after: int | None = None, ban_sec: float = 120.0
    ) -> None:
        self._limits = {limit.bucket: limit for limit in limits}
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()
        self._banned: OrderedDict[str, int] = OrderedDict()
        self._ban_after = ban_after
        self._ban_us = round(ban_sec * US_PER_SEC)
        self.refused = 0

    def take(self, peer: str, bucket: str, cost: int, now_us: int) -> Usage:
        """Count a call of ``cost``; raises :class:`ConfigError` for a bucket without a limit."""
        limit = self._limits.get(bucket) or self._limits.get(bucket.partition(":")[0] + ":*")
        if limit is None:
            raise ConfigError(f"rate bucket {bucket!r} has no limit; there are {', '.join(self._limits)}")
        length_us = round(limit.interval_sec * US_PER_SEC)
        window = self._window(peer, bucket, now_us // length_us)
        ban_left_us = self._banned.get(peer, 0) - now_us
        if ban_left_us > 0:
            self.refused += 1
            return Usage(bucket, window.used, limit.capacity, False, True, ban_left_us / US_PER_SEC)
        window.used += cost
        if window.used <= limit.capacity:
            return Usage(bucket, window.used, limit.capacity, True)
        self.refused += 1
        window.refused += 1
        wait_us = (window.number + 1) * length_us - now_us
        banned = self._ban_after is not None and window.refused > self._ban_after
        if banned:
            self._banned[peer] = now_us + self._ban_us
            _trim(self._banned)
            wait_us = self._ban_us
        return Usage(bucket, window.used, limit.capacity, False, banned, wait_us / US_PER_SEC)

    def _window(self, peer: str, bucket: str, number: int) -> _Window:
        key = (peer, bucket)
        window = self._windows.get(key)
        if window is None or window.number != number:
            window = self._windows[key] = _Window(number)
        self._windows.move_to_end(key)
        _trim(self._windows)
        return window


def _trim(kept: OrderedDict[str, int] | OrderedDict[tuple[str, str], _Window]) -> None:
    while len(kept) > _PEER_LIMIT:
        kept.popitem(last=False)
