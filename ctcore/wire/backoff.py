"""Growing pauses between attempts. Pure: it sleeps nowhere, reads no clock and imports nothing of ctcore."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import attrs
from attrs.validators import and_, ge, gt, le


@attrs.frozen(kw_only=True)
class BackoffPolicy:
    """How pauses grow: ``first_sec``, then ``factor`` times longer each, never above ``max_sec``.

    ``jitter`` is the share of a pause that chance may take away (0 = none, 1 = all of it), so that clients
    thrown out together do not come back together. After ``healthy_sec`` of success the next pause is the
    first again.
    """

    first_sec: float = attrs.field(default=1.0, validator=gt(0))
    factor: float = attrs.field(default=2.0, validator=ge(1))
    max_sec: float = attrs.field(default=60.0, validator=gt(0))
    jitter: float = attrs.field(default=0.2, validator=and_(ge(0), le(1)))
    healthy_sec: float = attrs.field(default=60.0, validator=ge(0))

    def start(self, rng: Random) -> Backoff:
        """A fresh sequence of pauses."""
        return Backoff(self, rng)


class Backoff(Iterator[float]):
    """An endless iterator of pauses in seconds; each lies in ``(1 - jitter .. 1) * full pause``."""

    def __init__(self, policy: BackoffPolicy, rng: Random) -> None:
        self.policy = policy
        self.attempts = 0
        self._rng = rng
        self._full_sec = min(policy.first_sec, policy.max_sec)

    def __iter__(self) -> Backoff:
        return self

    def __next__(self) -> float:
        """The next pause, in seconds."""
        full_sec, policy = self._full_sec, self.policy
        self.attempts += 1
        self._full_sec = min(full_sec * policy.factor, policy.max_sec)
        return full_sec * (1 - policy.jitter * self._rng.random())

    def reset(self) -> None:
        """Start over from the first pause."""
        self.attempts = 0
        self._full_sec = min(self.policy.first_sec, self.policy.max_sec)

    def lasted(self, healthy_for_sec: float) -> None:
        """Tell how long the attempt was healthy; start over when that was long enough."""
        if healthy_for_sec >= self.policy.healthy_sec:
            self.reset()
