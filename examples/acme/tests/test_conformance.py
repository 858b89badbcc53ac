"""The conformance suite against ACME's simulated venue: `pip install -e examples/acme`, then pytest."""

import pytest
from ctdaemon_acme.plugin import ctcore_register_drivers

from ctcore.testing import conformance

(PLUGIN,) = ctcore_register_drivers()


async def test_clean(autojump_clock):
    await conformance.check_clean(PLUGIN)


@pytest.mark.parametrize("fault", conformance.FAULTS)
async def test_each_fault(fault, autojump_clock):
    await conformance.check_fault(PLUGIN, fault)


async def test_random_faults(autojump_clock):
    await conformance.check_random_faults(PLUGIN, minutes=10)
