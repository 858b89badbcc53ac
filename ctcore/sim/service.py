"""A simulated venue as a supervised service on loopback."""

from __future__ import annotations

import errno

import trio
from loguru import logger

from ctcore.contracts.driver import DriverPlugin, Endpoints, SimulatorOptions
from ctcore.errors import ConfigError
from ctcore.runtime.service import Service

LOOPBACK = "127.0.0.1"


class SimulatedVenue(Service):
    """Serves one venue's public wire on ``port`` of loopback; port 0 takes a free one and keeps it."""

    def __init__(self, plugin: DriverPlugin, options: SimulatorOptions, port: int = 0) -> None:
        if plugin.simulator is None:
            mend = "choose another environment than 'simulated'"
            raise ConfigError(f"{plugin.info.id} has no simulator; {mend}")
        self.name = f"simulator {plugin.info.id}"
        self.exchange = plugin.info.id
        self.port = port
        self._options = options
        self._plugin = plugin
        self._simulator = plugin.simulator(options)

    @property
    def address(self) -> str:
        """``host:port``, known once the service is ready."""
        return f"{LOOPBACK}:{self.port}"

    def endpoints(self) -> Endpoints:
        """The driver's endpoints on this venue, known once the service is ready."""
        return self._simulator.endpoints(self.address)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Bind and serve until cancelled; raises :class:`ConfigError` when the port is taken."""
        try:
            listeners = await trio.open_tcp_listeners(self.port, host=LOOPBACK)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            mend = "choose another port for this simulator, or 0 for any"
            raise ConfigError(f"{self.name}: port {self.port} is taken; {mend}") from None
        self.port = listeners[0].socket.getsockname()[1]
        logger.info("{} listens on {}", self.name, self.address)
        await self._simulator.run(listeners, task_status=task_status)
