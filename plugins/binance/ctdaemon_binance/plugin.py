"""What this package registers: the Binance driver, its configuration and its simulated venue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ctcore.contracts.driver import DriverPlugin, Endpoints, SimulatorOptions, VenueSimulator
from ctcore.contracts.plugin import hookimpl
from ctdaemon_binance.config import BinanceConfig
from ctdaemon_binance.driver import INFO, BinanceDriver

CTCORE_API_VERSION = 1


def create(endpoints: Endpoints, config: Any) -> BinanceDriver:
    """Make the driver; ``config`` is the parsed :class:`BinanceConfig` section, or None for the defaults."""
    return BinanceDriver(endpoints, config)


def simulator(options: SimulatorOptions) -> VenueSimulator:
    """Make the simulated venue; imported only here."""
    from ctdaemon_binance.simulator import BinanceSimulator

    return BinanceSimulator(options)


@hookimpl
def ctcore_register_drivers() -> Iterable[DriverPlugin]:
    """Register Binance."""
    return [DriverPlugin(info=INFO, create=create, config_type=BinanceConfig, simulator=simulator)]
