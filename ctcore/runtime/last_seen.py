"""Up to when history is whole, stream by stream: what an unexpected end must not overstate. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import attrs

Seen: TypeAlias = Mapping[str, Mapping[str, int]]
"""Instrument -> channel -> exchange time in microseconds."""


@attrs.frozen
class Progress:
    """How far one sink is: ``left`` batches have left memory for the sink or the disk, ever. Once that is
    ``behind`` more, what is in memory now has left, too; 0 when memory is empty.
    """

    left: int
    behind: int


class LastSeen:
    """``durable`` is what a state says that is written in the middle of a run.

    It begins with what the run before left. A stream that was never seen enters with its first event, so that
    a crash right after that leaves a begin for its gap. From then on pictures of all streams replace it, each
    only when every sink has brought what it held at that moment to its store or its spool.
    """

    def __init__(self, before: Seen) -> None:
        self.durable: Seen = before
        self._candidate: Seen | None = None
        self._marks: Mapping[str, Progress] = {}

    def first(self, times: Seen) -> bool:
        """Take the streams that were not known yet; tells whether there are any."""
        merged = merge(times, self.durable)
        news = merged != self.durable
        self.durable = merged
        return news

    def advance(self, picture: Seen, progress: Mapping[str, Progress]) -> None:
        """Adopt the picture that was taken before if all of it is stored by now, and take the next one.

        ``picture`` and ``progress`` are of the same moment.
        """
        if self._candidate is not None:
            if not all(self._is_stored(name, now) for name, now in progress.items()):
                return
            self.durable = merge(self.durable, self._candidate)
        self._candidate, self._marks = picture, dict(progress)

    def _is_stored(self, name: str, now: Progress) -> bool:
        mark = self._marks.get(name)
        return mark is None or mark.behind == 0 or now.behind == 0 or now.left >= mark.left + mark.behind


def merge(old: Seen, new: Seen) -> Seen:
    """Both, stream by stream; the newer one where both know a stream."""
    return {name: {**old.get(name, {}), **new.get(name, {})} for name in {**old, **new}}
