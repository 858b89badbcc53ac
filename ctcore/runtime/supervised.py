"""One service under one policy: started, watched, restarted, parked, stopped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import assert_never

import trio
from loguru import logger

from ctcore.errors import ConfigError, ServiceFailed
from ctcore.model.time import US_PER_SEC
from ctcore.runtime.clock import Clock, SystemClock
from ctcore.runtime.contain import Failure, contain
from ctcore.runtime.redact import redact
from ctcore.runtime.service import (
    ENDED,
    Fatal,
    Policy,
    RestartForever,
    RestartUpTo,
    Service,
    ServiceState,
    ServiceStatus,
)
from ctcore.wire.backoff import BackoffPolicy


class Supervised:
    """The life of one service: :meth:`run` goes on until it has stopped, is parked, or (Fatal) failed.

    ``on_change`` is told every change of state; it must not raise.
    """

    def __init__(
        self,
        service: Service,
        policy: Policy,
        *,
        clock: Clock,
        rng: Random,
        on_change: Callable[[ServiceStatus], None] | None = None,
    ) -> None:
        self.service = service
        self.policy = policy
        self._clock = clock
        self._on_change = on_change
        backoff = BackoffPolicy() if isinstance(policy, Fatal) else policy.backoff
        self._backoff = backoff.start(rng)
        self._restarted_at: deque[float] = deque()
        self._restarts = 0
        self._failure: Failure | None = None
        self._last_error = ""
        self._error_us: int | None = None
        self._next_start_us: int | None = None
        self._state = ServiceState.STOPPED
        self._since_us = clock.now_us()
        self._changed = trio.Event()
        self.prepare()

    @property
    def ended(self) -> bool:
        """Nothing of the service runs."""
        return self._state in ENDED

    @property
    def stopping(self) -> bool:
        """It was asked to stop and has not yet."""
        return not self.ended and self._stop.is_set()

    def prepare(self) -> None:
        """Make ready for :meth:`run`; a parked service gets its whole allowance of restarts again."""
        self._stop = trio.Event()
        self._ended = trio.Event()
        self._scope = trio.CancelScope()
        self._ready_at: float | None = None
        self._restarted_at.clear()
        self._backoff.reset()
        self._enter(ServiceState.STARTING)

    async def run(self) -> None:
        """Keep the service going. Raises :class:`~ctcore.errors.ServiceFailed` under :class:`Fatal`."""
        try:
            with self._scope:
                await self._keep_going()
        finally:
            if not self.ended:
                self._enter(ServiceState.STOPPED)
            self._ended.set()

    async def stop(self, deadline_sec: float) -> bool:
        """End the service, by cancelling it when it has not finished in ``deadline_sec``.

        True when it finished in time, or had nothing to finish. A parked service stays parked.
        """
        if self.ended:
            return True
        self._stop.set()
        if self._state is not ServiceState.BACKING_OFF:
            self._enter(ServiceState.STOPPING)
        try:
            with trio.move_on_after(deadline_sec):
                await self._ended.wait()
                return True
        finally:
            self._scope.cancel()
        await self._ended.wait()
        if deadline_sec > 0:
            logger.warning("{}: did not finish in {:g} s and was cancelled", self.service.name, deadline_sec)
        return False

    async def wait_ready(self) -> None:
        """Wait until ready; raises :class:`~ctcore.errors.ServiceFailed` if it ends before that, and
        :class:`~ctcore.errors.ConfigError` where that was the operator's mistake.
        """
        await trio.lowlevel.checkpoint()
        while self._ready_at is None:
            if self.ended:
                for error in self._failure_errors():
                    if isinstance(error, ConfigError):
                        raise ConfigError(f"{self.service.name}: {redact(str(error))}") from error
                why = f": {self._last_error}" if self._last_error else " before it was ready"
                raise ServiceFailed(f"{self.service.name} is {self._state}{why}")
            await self._changed.wait()

    def status(self) -> ServiceStatus:
        """Where it stands now."""
        return ServiceStatus(
            name=self.service.name,
            state=self._state,
            since_us=self._since_us,
            restarts=self._restarts,
            last_error=self._last_error,
            error_us=self._error_us,
            next_start_us=self._next_start_us,
        )

    async def _keep_going(self) -> None:
        while not self._stop.is_set():
            self._failure = None
            finished = await contain(self._attempt, self._failed)
            if finished or self._stop.is_set():
                break
            pause_sec = self._pause_sec()
            if pause_sec is None:
                return
            self._enter(ServiceState.BACKING_OFF, pause_sec=pause_sec)
            with trio.move_on_after(pause_sec):
                await self._stop.wait()
                break
            self._restarts += 1
            self._enter(ServiceState.STARTING)
        self._enter(ServiceState.STOPPED)

    async def _attempt(self) -> None:
        self._ready_at = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass_on_stop, nursery.cancel_scope)
            await self.service.run(task_status=_Readiness(self._started))
            nursery.cancel_scope.cancel()

    async def _pass_on_stop(self, attempt: trio.CancelScope) -> None:
        await self._stop.wait()
        if not self.service.request_stop():
            attempt.cancel()

    def _started(self) -> None:
        if self._ready_at is None:
            self._ready_at = trio.current_time()
            if self._state is ServiceState.STARTING:
                self._enter(ServiceState.RUNNING)

    def _failed(self, failure: Failure) -> None:
        self._failure = failure
        self._last_error = failure.text
        self._error_us = self._clock.now_us()
        if failure.expected:
            logger.warning("{}: {}", self.service.name, failure.text)
        else:
            errors = failure.errors
            cause = errors[0] if len(errors) == 1 else failure.group
            logger.opt(exception=cause).error("{}: {}", self.service.name, failure.text)

    def _pause_sec(self) -> float | None:
        """How long to back off; None when this was the end. Under Fatal the end is an exception."""
        match self.policy:
            case Fatal():
                self._enter(ServiceState.FAILED)
                raise ServiceFailed(f"{self.service.name}: {self._last_error}") from self._failure_group()
            case RestartForever(park_on=park_on) | RestartUpTo(park_on=park_on):
                hopeless = any(isinstance(error, park_on) for error in self._failure_errors())
            case _:
                assert_never(self.policy)
        if hopeless or self._restarts_used_up():
            self._enter(ServiceState.PARKED)
            logger.error("{}: parked; it stays down until it is started again", self.service.name)
            return None
        if self._ready_at is not None:
            self._backoff.lasted(trio.current_time() - self._ready_at)
        return next(self._backoff)

    def _restarts_used_up(self) -> bool:
        if not isinstance(self.policy, RestartUpTo):
            return False
        now, restarted_at = trio.current_time(), self._restarted_at
        while restarted_at and restarted_at[0] <= now - self.policy.window_sec:
            restarted_at.popleft()
        if len(restarted_at) >= self.policy.times:
            return True
        restarted_at.append(now)
        return False

    def _failure_errors(self) -> tuple[Exception, ...]:
        return () if self._failure is None else self._failure.errors

    def _failure_group(self) -> ExceptionGroup[Exception] | None:
        return None if self._failure is None else self._failure.group

    def _enter(self, state: ServiceState, *, pause_sec: float | None = None) -> None:
        self._state = state
        self._since_us = self._clock.now_us()
        self._next_start_us = None if pause_sec is None else self._since_us + round(pause_sec * US_PER_SEC)
        self._changed.set()
        self._changed = trio.Event()
        if self._on_change is not None:
            self._on_change(self.status())


class _Readiness(trio.TaskStatus[None]):
    """The task_status a service is given."""

    def __init__(self, on_started: Callable[[], None]) -> None:
        self._on_started = on_started

    def started(self, value: None = None) -> None:  # noqa: ARG002  trio's signature
        """The service is ready."""
        self._on_started()


async def supervise(
    service: Service, policy: Policy, *, clock: Clock | None = None, rng: Random | None = None
) -> ServiceStatus:
    """Keep one service going until it stops or is parked, and say which; for one that needs no supervisor."""
    supervised = Supervised(service, policy, clock=clock or SystemClock(), rng=rng or Random())
    await supervised.run()
    return supervised.status()
