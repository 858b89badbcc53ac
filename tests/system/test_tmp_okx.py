import pytest
from ctcore.testing import conformance
from ctcore.contracts.plugin.manager import PluginManager
P=PluginManager().drivers["okx"]
async def test_clean(autojump_clock): await conformance.check_clean(P,levels=400)
@pytest.mark.parametrize("fault", conformance.FAULTS)
async def test_fault(fault, autojump_clock): await conformance.check_fault(P,fault,levels=400)
async def test_random(autojump_clock): await conformance.check_random_faults(P, minutes=3,levels=400)
