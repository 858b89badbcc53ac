"""The conformance suite against OKX's simulated venue; its books hold the best 400 levels."""

import pytest
from ctdaemon_okx.plugin import ctcore_register_drivers

from ctcore.testing import conformance

(PLUGIN,) = ctcore_register_drivers()
LEVELS = 400


async def test_clean(autojump_clock):
    await conformance.check_clean(PLUGIN, levels=LEVELS)


@pytest.mark.parametrize("fault", conformance.FAULTS)
async def test_each_fault(fault, autojump_clock):
    await conformance.check_fault(PLUGIN, fault, levels=LEVELS)


@pytest.mark.slow
async def test_ten_minutes_of_random_faults(autojump_clock):
    await conformance.check_random_faults(PLUGIN, minutes=10, levels=LEVELS)
