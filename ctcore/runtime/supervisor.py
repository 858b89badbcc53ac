"""Many services side by side: one rung of the daemon's tree.

Every rung opens one :class:`Supervisor` with ``async with open_supervisor(...)``. Leaving the block stops the
services of the rung gracefully, so the nesting of the blocks is the order of the shutdown. A body that
raises, or is cancelled, cancels them at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from random import Random

import trio

from ctcore.runtime.clock import Clock, SystemClock
from ctcore.runtime.service import Policy, Service, ServiceState, ServiceStatus
from ctcore.runtime.supervised import Supervised


class Supervisor:
    """The services of one rung; made by :func:`open_supervisor`.

    Services come and go while it runs. ``limit`` bounds how many there may be.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        clock: Clock,
        rng: Random,
        on_change: Callable[[ServiceStatus], None] | None,
        stop_sec: float,
        limit: int,
    ) -> None:
        self._nursery = nursery
        self._clock = clock
        self._rng = rng
        self._on_change = on_change
        self._stop_sec = stop_sec
        self._limit = limit
        self._services: dict[str, Supervised] = {}
        self._stopping = False

    def __contains__(self, name: str) -> bool:
        return name in self._services

    def add(self, service: Service, policy: Policy) -> None:
        """Take a service on and start it. Raises ValueError when its name is taken or there are too many."""
        self._refuse_when_stopping()
        if service.name in self._services:
            raise ValueError(f"there is a service {service.name!r} already")
        if len(self._services) >= self._limit:
            raise ValueError(f"no room for service {service.name!r}: the limit is {self._limit}")
        supervised = Supervised(service, policy, clock=self._clock, rng=self._rng, on_change=self._on_change)
        self._services[service.name] = supervised
        self._nursery.start_soon(supervised.run, name=f"service {service.name}")

    def start(self, name: str) -> None:
        """Start a stopped or parked service again; nothing happens while it runs.

        Raises KeyError for an unknown name, ValueError while it is stopping.
        """
        self._refuse_when_stopping()
        supervised = self._services[name]
        if supervised.ended:
            supervised.prepare()
            self._nursery.start_soon(supervised.run, name=f"service {name}")
        elif supervised.stopping:
            raise ValueError(f"{name!r} is still stopping")

    async def stop(self, name: str, *, deadline_sec: float | None = None) -> bool:
        """End one service gracefully, by force after ``deadline_sec``; True when no force was needed."""
        return await self._services[name].stop(self._stop_sec if deadline_sec is None else deadline_sec)

    async def remove(self, name: str, *, deadline_sec: float | None = None) -> bool:
        """Stop a service and forget it; as :meth:`stop`."""
        supervised = self._services[name]
        graceful = await self.stop(name, deadline_sec=deadline_sec)
        if self._services.get(name) is supervised and supervised.ended:
            del self._services[name]
        return graceful

    async def stop_all(self, *, deadline_sec: float | None = None) -> dict[str, bool]:
        """Stop every service at once and take no new ones; tells by name which finished without force."""
        self._stopping = True
        graceful: dict[str, bool] = {}

        async def stop_one(name: str) -> None:
            graceful[name] = await self.stop(name, deadline_sec=deadline_sec)

        async with trio.open_nursery() as nursery:
            for name in self._services:
                nursery.start_soon(stop_one, name)
        return graceful

    async def wait_ready(self, names: Iterable[str] | None = None) -> None:
        """Wait until the named services (all, if none are named) are ready.

        Raises :class:`~ctcore.errors.ServiceFailed` as soon as one has ended without having been ready,
        :class:`~ctcore.errors.ConfigError` where the operator has to mend something. A service that backs off
        is waited for: put a deadline around this.
        """
        for name in tuple(self._services) if names is None else tuple(names):
            await self._services[name].wait_ready()

    def statistics(self) -> tuple[ServiceStatus, ...]:
        """Every service's status, in the order they were added."""
        return tuple(supervised.status() for supervised in self._services.values())

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise ValueError("this supervisor is stopping and takes no services")


@asynccontextmanager
async def open_supervisor(
    *,
    clock: Clock | None = None,
    rng: Random | None = None,
    on_change: Callable[[ServiceStatus], None] | None = None,
    stop_sec: float = 5.0,
    limit: int = 1_000,
) -> AsyncIterator[Supervisor]:
    """Open one rung. ``rng`` is the source of the restarts' jitter; ``stop_sec`` how long a graceful end may
    take.

    A failed :class:`~ctcore.runtime.service.Fatal` service cancels the block and raises
    :class:`~ctcore.errors.ServiceFailed` out of it, in an ExceptionGroup as nurseries do.
    """
    async with trio.open_nursery() as nursery:
        supervisor = Supervisor(
            nursery,
            clock=clock or SystemClock(),
            rng=rng or Random(),
            on_change=on_change,
            stop_sec=stop_sec,
            limit=limit,
        )
        yield supervisor
        await supervisor.stop_all()


def waiting(rungs: Mapping[str, Supervisor]) -> str:
    """The services of some rungs that are not up, each with its last error, in a line."""
    late = [status for rung in rungs.values() for status in rung.statistics()
            if status.state is not ServiceState.RUNNING]
    told = (f"{row.name} is {row.state}{f' ({row.last_error})' if row.last_error else ''}" for row in late)
    return "; ".join(told) or "no service says why"
