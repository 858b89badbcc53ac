"""What a supervised service is: its contract, its state, and the policies for its failures."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

import attrs
import trio
from attrs.validators import ge, gt

from ctcore.errors import ConfigError, PluginError
from ctcore.wire.backoff import BackoffPolicy


class Service(ABC):
    """One failure domain with a ``name`` of its own.

    :meth:`run` may be called again after it has ended, by error or otherwise; each call starts afresh.
    """

    name: str

    @abstractmethod
    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do the work. Call ``task_status.started()`` once ready; return when done, raise when broken."""

    def request_stop(self) -> bool:
        """Ask :meth:`run` to finish what it has begun and return.

        Returns False (as here) when there is nothing to finish: it may be cancelled at once.
        """
        return False


@attrs.frozen
class FunctionService(Service):
    """A service made of functions: ``main(task_status=...)`` and, if it can end by itself, ``stop()``."""

    name: str
    main: Callable[..., Awaitable[None]]
    stop: Callable[[], None] | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run ``main``."""
        await self.main(task_status=task_status)

    def request_stop(self) -> bool:
        """Call ``stop`` where there is one."""
        if self.stop is None:
            return False
        self.stop()
        return True


class ServiceState(enum.StrEnum):
    """Of one service.

    ::

        starting ──▶ running ──▶ stopped        it returned, or was asked to stop
            │           │
            └─────┬─────┘  an Exception
                  ▼
            backing_off ──▶ starting            the policy allows another try
            parked                              it does not; somebody may start it again
            failed                              it does not, and the daemon goes down with it

    ``stopping``: asked to stop, not there yet.
    """

    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    STOPPING = "stopping"
    STOPPED = "stopped"
    PARKED = "parked"
    FAILED = "failed"


ENDED = frozenset({ServiceState.STOPPED, ServiceState.PARKED, ServiceState.FAILED})
"""States in which nothing of the service runs."""


@attrs.frozen
class ServiceStatus:
    """One row of ``/services``.

    ``since_us``: when ``state`` began. ``restarts``: since it was added. ``last_error``: secrets removed,
    empty when there was none; ``error_us`` its time. ``next_start_us``: while backing off.
    """

    name: str
    state: ServiceState
    since_us: int
    restarts: int
    last_error: str
    error_us: int | None
    next_start_us: int | None


HOPELESS = (ConfigError, PluginError)
"""Errors that no restart can mend: the operator has to."""


@attrs.frozen
class RestartForever:
    """Try again and again, pausing as ``backoff`` says. Errors of ``park_on`` park it at once."""

    backoff: BackoffPolicy = attrs.field(factory=BackoffPolicy)
    park_on: tuple[type[Exception], ...] = HOPELESS


@attrs.frozen
class RestartUpTo:
    """As :class:`RestartForever`, but a failure after ``times`` restarts within ``window_sec`` parks it."""

    times: int = attrs.field(validator=ge(0))
    window_sec: float = attrs.field(validator=gt(0))
    backoff: BackoffPolicy = attrs.field(factory=BackoffPolicy)
    park_on: tuple[type[Exception], ...] = HOPELESS


@attrs.frozen
class Fatal:
    """Never restarted: a failure raises :class:`~ctcore.errors.ServiceFailed` through the supervisor."""


Policy = RestartForever | RestartUpTo | Fatal
