"""Faults of a simulated venue: requested one by one or drawn at random, each logged when it strikes. Pure.

A request waits until it meets its victim: the next broadcast frame, connection or HTTP call that matches.
Frames are struck for one connection and topic, so that every other reader still gets them.
"""

from __future__ import annotations

import enum
import random
from collections import deque
from collections.abc import Collection

import attrs

from ctcore.contracts.driver import SimulatorOptions
from ctcore.errors import ConfigError
from ctcore.model.time import US_PER_SEC


class FaultKind(enum.StrEnum):
    """What can go wrong."""

    GAP = "gap"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    STALL = "stall"
    CORRUPT = "corrupt"
    DISCONNECT = "disconnect"
    HALF_OPEN = "half_open"
    VENUE_NOTICE = "venue_notice"
    HTTP_429 = "http_429"
    HTTP_418 = "http_418"
    HTTP_500 = "http_500"
    SLOW_HTTP = "slow_http"


FRAME_FAULTS = frozenset(
    {FaultKind.GAP, FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.STALL, FaultKind.CORRUPT}
)
CONNECTION_FAULTS = frozenset({FaultKind.DISCONNECT, FaultKind.HALF_OPEN, FaultKind.VENUE_NOTICE})
HTTP_FAULTS = frozenset({FaultKind.HTTP_429, FaultKind.HTTP_418, FaultKind.HTTP_500})

DEFAULT_DURATION_US = {
    FaultKind.STALL: 5 * US_PER_SEC,
    FaultKind.HALF_OPEN: 600 * US_PER_SEC,
    FaultKind.SLOW_HTTP: 3 * US_PER_SEC,
}
"""How long a fault lasts when the request does not say; the others are over at once."""

_RANDOM_SKIP = dict.fromkeys(FRAME_FAULTS, 20) | dict.fromkeys(CONNECTION_FAULTS, 5)
"""How many victims a random fault may let pass, so that not always the first topic is struck."""

_PENDING_LIMIT = 1_000


@attrs.define
class FaultRequest:
    """A fault that waits for its victim. ``symbol`` and ``topic`` (a part of it) narrow the choice.

    It strikes ``count`` times, after letting ``skip`` victims pass. ``duration_us``: see :class:`Faults`.
    """

    kind: FaultKind
    symbol: str | None = None
    topic: str | None = None
    count: int = 1
    duration_us: int = 0
    skip: int = 0

    def means(self, symbol: str, topic: str) -> bool:
        """Whether a victim of that symbol and topic is meant."""
        return (self.symbol or symbol) == symbol and (self.topic or "") in topic


@attrs.frozen
class FaultStrike:
    """A fault that struck: ``connection`` is 0 for HTTP calls."""

    us: int
    kind: FaultKind
    symbol: str
    topic: str
    connection: int
    duration_us: int


@attrs.define
class FaultPlan:
    """Random faults: ``rate_per_min`` of them in a minute of market time, each of one of ``kinds``."""

    rate_per_min: float
    kinds: Collection[FaultKind] = tuple(FaultKind)
    seed: int = 1
    _draw: random.Random = attrs.field(init=False)
    _next_us: int | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        if self.rate_per_min < 0 or not self.kinds:
            raise ConfigError("a fault plan needs a rate of 0 or more a minute and at least one kind")
        self._draw = random.Random(self.seed)

    def due(self, now_us: int) -> list[FaultRequest]:
        """The faults that have come due."""
        if not self.rate_per_min:
            return []
        if self._next_us is None:
            self._next_us = now_us + self._wait_us()
        found: list[FaultRequest] = []
        while self._next_us <= now_us:
            self._next_us += self._wait_us()
            kind = self._draw.choice(sorted(self.kinds))
            skip = self._draw.randint(0, _RANDOM_SKIP.get(kind, 0))
            found.append(FaultRequest(kind, skip=skip, duration_us=self._duration_us(kind)))
        return found

    def _wait_us(self) -> int:
        return 1 + int(self._draw.expovariate(self.rate_per_min) * 60 * US_PER_SEC)

    def _duration_us(self, kind: FaultKind) -> int:
        return round(DEFAULT_DURATION_US.get(kind, 0) * self._draw.uniform(0.2, 1.5))


def faults_of(options: SimulatorOptions) -> Faults:
    """The faults a simulator's options ask for; raises :class:`ConfigError` for an unknown kind."""
    known = {str(kind): kind for kind in FaultKind}
    unknown = [kind for kind in options.fault_kinds if kind not in known]
    if unknown:
        raise ConfigError(f"fault kind {unknown[0]!r} is unknown; the kinds are {', '.join(known)}")
    if not options.faults_per_min:
        return Faults(seed=options.seed)
    kinds = tuple(known[kind] for kind in options.fault_kinds) or tuple(FaultKind)
    return Faults(FaultPlan(options.faults_per_min, kinds, seed=options.seed), seed=options.seed)


class Faults:
    """The faults of one venue. ``history`` keeps the last ``history_limit`` strikes, ``struck`` counts all.

    The duration of a stall is how long frames are withheld (they are lost); of half_open how long the socket
    stays; of slow_http how late the answer is; of the HTTP refusals how long every call is refused after the
    first (0 = that one alone).
    """

    def __init__(self, plan: FaultPlan | None = None, *, seed: int = 1, history_limit: int = 10_000) -> None:
        self.plan = plan
        self.history: deque[FaultStrike] = deque(maxlen=history_limit)
        self.struck = 0
        self._draw = random.Random(seed)
        self._pending: list[FaultRequest] = []
        self._stalled: dict[tuple[int, str], int] = {}
        self._held: dict[tuple[int, str], str | bytes] = {}
        self._refusing: dict[FaultKind, int] = {}

    @property
    def pending(self) -> tuple[FaultRequest, ...]:
        """Requests that have not struck as often as they were asked to."""
        return tuple(self._pending)

    def request(
        self,
        kind: str,
        symbol: str | None = None,
        count: int = 1,
        duration_us: int | None = None,
        *,
        topic: str | None = None,
    ) -> None:
        """Ask for a fault; raises :class:`ConfigError` for an unknown kind or impossible numbers."""
        try:
            known = FaultKind(kind)
        except ValueError:
            kinds = ", ".join(FaultKind)
            raise ConfigError(f"fault kind {kind!r} is unknown; the kinds are {kinds}") from None
        if count < 1 or (duration_us is not None and duration_us < 0):
            raise ConfigError(f"fault {kind}: count must be 1 or more and duration_us 0 or more")
        if len(self._pending) >= _PENDING_LIMIT:
            raise ConfigError(f"{_PENDING_LIMIT} faults are waiting already; let some of them strike first")
        lasting_us = DEFAULT_DURATION_US.get(known, 0) if duration_us is None else duration_us
        self._pending.append(FaultRequest(known, symbol, topic, count, lasting_us))

    def calm(self) -> None:
        """Forget the plan and every request that waits; what has struck runs its course."""
        self.plan = None
        self._pending.clear()

    def tick(self, now_us: int) -> None:
        """Take in what the plan has due; a kind that finds no victim does not pile up."""
        if self.plan is None:
            return
        for fault in self.plan.due(now_us):
            if sum(waiting.kind is fault.kind for waiting in self._pending) < 3:
                self._pending.append(fault)

    def frame(
        self, now_us: int, connection: int, topic: str, symbol: str, frame: str | bytes
    ) -> list[str | bytes]:
        """What to send to a connection instead of a frame of a topic."""
        if not (self._pending or self._stalled or self._held):
            return [frame]
        key = (connection, topic)
        if self._is_stalled(key, now_us):
            return []
        held = self._held.pop(key, None)
        if held is not None:
            return [frame, held]
        fault = self.strike(FRAME_FAULTS, now_us, symbol=symbol, topic=topic, connection=connection)
        match fault.kind if fault else None:
            case None:
                return [frame]
            case FaultKind.DUPLICATE:
                return [frame, frame]
            case FaultKind.CORRUPT:
                return [self._corrupted(frame)]
            case FaultKind.REORDER:
                self._held[key] = frame
            case FaultKind.STALL if fault:
                self._stalled[key] = now_us + fault.duration_us
        return []

    def refusal(self, now_us: int, symbol: str) -> FaultKind | None:
        """The refusal that an HTTP call meets, if any."""
        for kind, until_us in list(self._refusing.items()):
            if now_us < until_us:
                return kind
            del self._refusing[kind]
        fault = self.strike(HTTP_FAULTS, now_us, symbol=symbol)
        if fault is None:
            return None
        if fault.duration_us:
            self._refusing[fault.kind] = now_us + fault.duration_us
        return fault.kind

    def delay_us(self, now_us: int, symbol: str) -> int:
        """How late the answer to an HTTP call shall be."""
        fault = self.strike(frozenset({FaultKind.SLOW_HTTP}), now_us, symbol=symbol)
        return fault.duration_us if fault else 0

    def strike(
        self,
        kinds: Collection[FaultKind],
        now_us: int,
        *,
        symbol: str = "",
        topic: str = "",
        connection: int = 0,
    ) -> FaultRequest | None:
        """The first waiting fault of these kinds that matches the victim; it is logged."""
        for fault in self._pending:
            if fault.kind not in kinds or not fault.means(symbol, topic):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.count -= 1
            if fault.count == 0:
                self._pending.remove(fault)
            self._log(FaultStrike(now_us, fault.kind, symbol, topic, connection, fault.duration_us))
            return fault
        return None

    def forget(self, connection: int) -> None:
        """A connection ended: drop what is kept for it."""
        for kept in (self._stalled, self._held):
            for key in [key for key in kept if key[0] == connection]:
                del kept[key]

    def _is_stalled(self, key: tuple[int, str], now_us: int) -> bool:
        until_us = self._stalled.get(key)
        if until_us is None:
            return False
        if now_us < until_us:
            return True
        del self._stalled[key]
        return False

    def _corrupted(self, frame: str | bytes) -> str | bytes:
        """Cut short, or with a piece in the middle replaced."""
        place = self._draw.randrange(1, max(2, len(frame)))
        if self._draw.random() < 0.5:
            return frame[:place]
        junk = "\x7f\x01?" if isinstance(frame, str) else b"\xff\x00?"
        return frame[:place] + junk + frame[place + 3 :]  # type: ignore[operator]  # both of one type

    def _log(self, strike: FaultStrike) -> None:
        self.history.append(strike)
        self.struck += 1
