"""The conformance suite against Binance's simulated venue, spot and futures."""

import pytest
from ctdaemon_binance.plugin import ctcore_register_drivers

from ctcore.testing import conformance

(PLUGIN,) = ctcore_register_drivers()


async def test_clean(autojump_clock):
    await conformance.check_clean(PLUGIN)


@pytest.mark.parametrize("fault", conformance.FAULTS)
async def test_each_fault(fault, autojump_clock):
    await conformance.check_fault(PLUGIN, fault)


@pytest.mark.slow
async def test_ten_minutes_of_random_faults(autojump_clock):
    await conformance.check_random_faults(PLUGIN, minutes=10)
