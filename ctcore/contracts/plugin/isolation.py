"""Calls into strangers' code that cannot take the process down with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs
import trio

T = TypeVar("T")

_LONGEST_TEXT = 200


@attrs.frozen
class Failure:
    """A stranger's code raised ``error``."""

    error: BaseException

    def __str__(self) -> str:
        """One bounded line: the kind of the error and the first line of its text."""
        return f"{type(self.error).__name__}: {self.text}".rstrip(": ")

    @property
    def text(self) -> str:
        """First line of the error's own text, empty when it has none (or fails to tell it)."""
        if isinstance(self.error, SystemExit):
            return "it tried to end the process"
        said = attempt(lambda: str(self.error))
        lines = [] if isinstance(said, Failure) else said.strip().splitlines()
        first = lines[0] if lines else ""
        return first if len(first) <= _LONGEST_TEXT else first[:_LONGEST_TEXT] + "…"


def attempt(call: Callable[[], T]) -> T | Failure:
    """Return what ``call`` returns, or the :class:`Failure` it ended in.

    ``SystemExit`` and other oddities count as failures too; only the operator's Ctrl+C and trio's
    cancellation go through, also from within an exception group.
    """
    try:
        return call()
    except BaseExceptionGroup as group:
        if group.subgroup((KeyboardInterrupt, trio.Cancelled)) is not None:
            raise
        return Failure(group)
    except (KeyboardInterrupt, trio.Cancelled):
        raise
    except BaseException as error:  # noqa: BLE001  # this is the wall between us and a plugin
        return Failure(error)
