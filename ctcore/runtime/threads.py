"""Blocking clients under trio: a client's calls run in a worker thread, never two at once."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

import attrs
import trio

from ctcore.errors import StorageError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class OnDeadline(enum.StrEnum):
    """What becomes of a call that is late.

    WAIT: it is waited for all the same, and counted as late; for writes whose outcome must be known.
    ABANDON: the caller goes on at once with an error; the thread ends in its own time, and until it does no
    other call starts, since a blocking client is rarely safe to use twice at once.
    """

    WAIT = "wait"
    ABANDON = "abandon"


@attrs.frozen
class WorkerStatistics:
    """``late`` calls overran their deadline and ``abandoned`` ones were left running, since the start.

    ``orphaned``: the call that runs now has nobody waiting for it.
    """

    name: str
    calls: int
    waiting: int
    running: bool
    orphaned: bool
    late: int
    abandoned: int
    longest_sec: float


class _Call:
    """One call's way through the thread; each flag has one writer."""

    __slots__ = ("began", "ended", "left")

    def __init__(self) -> None:
        self.began = False
        self.ended = False
        self.left = False


class BlockingWorker:
    """Runs the calls of one blocking client one after another, each in some thread of trio's pool.

    Consecutive calls may come from different threads (sqlite3 wants ``check_same_thread=False``).
    ``max_waiting`` bounds the callers in the queue.
    """

    def __init__(self, name: str, *, deadline_sec: float = 30.0, max_waiting: int = 100) -> None:
        self.name = name
        self._deadline_sec = deadline_sec
        self._max_waiting = max_waiting
        self._limiter = trio.CapacityLimiter(1)  # its token is held until the thread ends, abandoned or not
        self._current: _Call | None = None
        self._calls = 0
        self._late = 0
        self._abandoned = 0
        self._longest_sec = 0.0

    async def run(
        self,
        function: Callable[[Unpack[Ts]], T],
        *args: *Ts,
        deadline_sec: float | None = None,
        on_deadline: OnDeadline = OnDeadline.ABANDON,
    ) -> T:
        """Call ``function(*args)`` in the worker thread; return what it returns, raise what it raises.

        The deadline counts from now, waiting for earlier calls included. Raises
        :class:`~ctcore.errors.StorageError` when it passes, when too many callers wait already, and in place
        of SystemExit: what a client calls may not end the daemon.
        """
        waiting = self._limiter.statistics().tasks_waiting
        if waiting >= self._max_waiting:
            raise StorageError(f"{self.name}: {waiting} calls wait already for one that does not end")
        limit_sec = self._deadline_sec if deadline_sec is None else deadline_sec
        call = _Call()
        self._calls += 1
        with trio.move_on_after(limit_sec) as scope:
            try:
                return await trio.to_thread.run_sync(
                    self._perform,
                    call,
                    function,
                    *args,
                    abandon_on_cancel=on_deadline is OnDeadline.ABANDON,
                    limiter=self._limiter,
                )
            finally:
                self._leave(call, late=trio.current_time() >= scope.deadline)
        where = "it still runs" if call.began else "it never began, as an earlier call does not end"
        raise StorageError(f"{self.name}: no answer within {limit_sec:g} s; {where}")

    def statistics(self) -> WorkerStatistics:
        """Counts so far, and what runs now."""
        current = self._current
        running = current is not None and not current.ended
        return WorkerStatistics(
            name=self.name,
            calls=self._calls,
            waiting=self._limiter.statistics().tasks_waiting,
            running=running,
            orphaned=running and current is not None and current.left,
            late=self._late,
            abandoned=self._abandoned,
            longest_sec=self._longest_sec,
        )

    def _perform(self, call: _Call, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        # In the thread. The limiter lets in one at a time, so nothing here is written by two.
        self._current = call
        call.began = True
        began = time.monotonic()
        try:
            return function(*args)
        except SystemExit as error:
            # It would end the daemon from inside a plugin's client; a wish to exit is a failure like others.
            raise StorageError(f"{self.name}: the call wanted to exit: SystemExit({error})") from error
        finally:
            self._longest_sec = max(self._longest_sec, time.monotonic() - began)
            call.ended = True

    def _leave(self, call: _Call, *, late: bool) -> None:
        call.left = True
        self._late += late
        self._abandoned += call.began and not call.ended
