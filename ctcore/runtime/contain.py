"""The one place that catches ``Exception``: what a failure of a service is contained in. (The bus and
:mod:`ctcore.monitor.sink_door` have deliberate ones of their own, each a wall around somebody else's code.)

Exception groups are split: what is an Exception stops here, ``Cancelled``, ``KeyboardInterrupt`` and
``SystemExit`` always go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from traceback import TracebackException

import attrs

from ctcore.errors import CtcoreError
from ctcore.runtime.redact import redact

_SHOWN = 3
_LONGEST = 500


@attrs.frozen
class Failure:
    """What went wrong, as the group of errors that were raised together."""

    group: ExceptionGroup[Exception]

    @property
    def errors(self) -> tuple[Exception, ...]:
        """The errors themselves, groups undone."""
        return tuple(_leaves(self.group))

    @property
    def text(self) -> str:
        """One line for people: the first errors, secrets removed."""
        texts = list(dict.fromkeys(_describe(error) for error in self.errors))
        more = f" (and {len(texts) - _SHOWN} more)" if len(texts) > _SHOWN else ""
        line = redact(" ".join("; ".join(texts[:_SHOWN]).split()))
        return (line if len(line) <= _LONGEST else line[:_LONGEST] + "…") + more

    @property
    def expected(self) -> bool:
        """Every error is one that ctcore raises on purpose: its text tells enough, no traceback is needed."""
        return all(isinstance(error, CtcoreError) for error in self.errors)


async def contain(run: Callable[[], Awaitable[None]], on_failure: Callable[[Failure], None]) -> bool:
    """Await ``run()``; True when it returned, False when it raised and ``on_failure`` was told.

    ``on_failure`` is also told of the Exceptions in a group that goes on because of what else it holds.
    """
    failed = False
    try:
        await run()
    except* Exception as group:  # noqa: BLE001  the one place; see the module's text
        failed = True
        on_failure(Failure(group))
    return not failed


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _describe(error: Exception) -> str:
    # TracebackException survives an error whose own __str__ raises; it may be a plugin's.
    text = str(TracebackException.from_exception(error, limit=0, lookup_lines=False))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
