"""Registers the OKX driver with ctcore."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ctcore.contracts.driver import Driver, DriverPlugin, Endpoints, SimulatorOptions, VenueSimulator
from ctcore.contracts.plugin import API_VERSION, hookimpl
from ctdaemon_okx.config import OkxConfig
from ctdaemon_okx.driver import INFO, OkxDriver

CTCORE_API_VERSION = API_VERSION


def _create(endpoints: Endpoints, section: Any) -> Driver:
    return OkxDriver(endpoints, section)


def _simulator(options: SimulatorOptions) -> VenueSimulator:
    from ctdaemon_okx.simulator import OkxSimulator

    return OkxSimulator(options)


@hookimpl
def ctcore_register_drivers() -> Iterable[DriverPlugin]:
    """Offer the exchange ``okx``."""
    return [DriverPlugin(info=INFO, create=_create, config_type=OkxConfig, simulator=_simulator)]
