"""What this package registers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ctcore.contracts.driver import DriverPlugin, Endpoints, SimulatorOptions, VenueSimulator
from ctcore.contracts.plugin import hookimpl
from ctdaemon_acme.driver import INFO, AcmeDriver

CTCORE_API_VERSION = 1


def create(endpoints: Endpoints, _config: Any) -> AcmeDriver:
    """Make the driver; it has no settings of its own."""
    return AcmeDriver(endpoints)


def simulator(options: SimulatorOptions) -> VenueSimulator:
    """Make the simulated venue; imported only here."""
    from ctdaemon_acme.simulator import AcmeSimulator

    return AcmeSimulator(options)


@hookimpl
def ctcore_register_drivers() -> Iterable[DriverPlugin]:
    """Register ACME."""
    return [DriverPlugin(info=INFO, create=create, simulator=simulator)]
