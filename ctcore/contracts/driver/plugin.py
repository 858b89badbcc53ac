"""What a driver package registers: its facts, its configuration and how to make the driver and its simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
import trio

from ctcore.contracts.driver.driver import Driver
from ctcore.contracts.driver.facts import DriverInfo, Endpoints


@attrs.frozen(kw_only=True)
class SimulatorOptions:
    """How a simulated venue runs.

    ``speed`` is seconds of market time a second; ``seed`` makes it repeatable. ``faults_per_min`` random
    faults strike in a minute of market time, of ``fault_kinds`` (empty = every kind the simulator knows).
    """

    seed: int = 1
    speed: float = 1.0
    faults_per_min: float = 0.0
    fault_kinds: tuple[str, ...] = ()


class VenueSimulator(Protocol):
    """A simulated venue that speaks the real wire on loopback."""

    async def run(
        self,
        listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; ``started`` means that connections are accepted."""

    def now_us(self) -> int:
        """The venue's time, microseconds UTC."""

    def endpoints(self, base: str) -> Endpoints:
        """The driver's endpoints on this server, ``base`` being its ``host:port``."""


@attrs.frozen(kw_only=True)
class DriverPlugin:
    """A driver as registered by ``ctcore_register_drivers``.

    ``config_type`` is an attrs class of the ``[exchanges.<id>]`` section beyond the common keys, or None.
    ``create`` makes the driver from its endpoints and its parsed section. ``simulator`` makes the simulated
    venue, importing it only when called; None where there is none.
    """

    info: DriverInfo
    create: Callable[[Endpoints, Any], Driver]
    config_type: type | None = None
    simulator: Callable[[SimulatorOptions], VenueSimulator] | None = None
