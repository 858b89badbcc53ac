"""The conformance suite of drivers: run it from a plugin's tests in a few lines.

::

    from ctcore.testing import conformance

    @pytest.mark.parametrize("fault", conformance.FAULTS)
    async def test_fault(fault, autojump_clock):
        await conformance.check_fault(PLUGIN, fault)

    async def test_random_faults(autojump_clock):
        await conformance.check_random_faults(PLUGIN, minutes=10)

Every check raises AssertionError that says what differs.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any

import trio

from ctcore.contracts.driver import DriverPlugin, SimulatorOptions
from ctcore.model.ids import Subscription
from ctcore.testing.rig import Rig, open_rig

FAULTS = (
    "gap", "duplicate", "reorder", "stall", "corrupt", "disconnect", "half_open", "venue_notice",
    "http_429", "http_418", "http_500", "slow_http",
)  # fmt: skip
"""Every kind of fault a simulated venue knows."""

LOSING = frozenset({"gap", "reorder", "disconnect", "half_open", "corrupt", "stall"})
"""Faults after which data is missing: a gap must say so."""

CONNECTING = frozenset({"http_429", "http_418", "http_500", "slow_http"})
"""Faults of REST calls; they strike when a snapshot or a catalogue is asked for."""

RECOVERY_SEC = 120.0
GROWTH = 1.1
_WARM_UP_SEC = 60.0


async def check_clean(plugin: DriverPlugin, *, seconds: float = 30.0, levels: int = 0, **rig: Any) -> None:
    """Without faults: every book equals the venue's, there is no gap, nothing is published out of order."""
    async with open_rig(plugin, **rig) as running:
        await running.wait_in_sync()
        await trio.sleep(seconds)
        await _end(running, levels)
        for instrument, book in running.witness.books.items():
            assert not book.gaps, f"{instrument}: gaps without a fault: {dict(book.gaps)}"


async def check_fault(plugin: DriverPlugin, kind: str, *, levels: int = 0, **rig: Any) -> None:
    """One fault of a kind: it is noticed, told as a gap where it lost data, and mended."""
    async with open_rig(plugin, **rig) as running:
        await running.wait_in_sync()
        await trio.sleep(5.0)
        if kind in CONNECTING:
            # A lost frame makes the feed ask for a snapshot; a lost connection makes it ask for several.
            await running.fault(kind, count=2)
            await running.fault("gap", topic=None)
            await running.fault("disconnect")
        else:
            await running.fault(kind)
        await trio.sleep(RECOVERY_SEC)
        await _end(running, levels)
        struck = {strike["kind"] for strike in await running.struck()}
        assert kind in struck or kind in CONNECTING, f"the fault {kind} never struck"
        books = running.witness.books.values()
        gaps = sum(book.gaps.total() for book in books) + running.witness.other_gaps.total()
        if kind in LOSING:
            assert gaps, f"{kind} lost data and no gap was declared"
        elif kind not in CONNECTING:
            assert not gaps, f"{kind} loses nothing, yet {gaps} gaps were declared"


async def check_random_faults(
    plugin: DriverPlugin,
    *,
    minutes: float = 10.0,
    faults_per_min: float = 6.0,
    seed: int = 1,
    levels: int = 0,
    wanted: Iterable[Subscription] | None = None,
    config: Any = None,
) -> None:
    """Minutes of market time under random faults: at the end every book equals the venue's, every gap was
    declared and closed, and neither tasks nor objects have grown.
    """
    options = SimulatorOptions(seed=seed, faults_per_min=faults_per_min)
    async with open_rig(plugin, wanted, config=config, options=options) as running:
        await running.wait_in_sync(RECOVERY_SEC)
        await trio.sleep(_WARM_UP_SEC)
        before = _population()
        await trio.sleep(minutes * 60 - _WARM_UP_SEC)
        await running.calm()
        await trio.sleep(RECOVERY_SEC)
        await _end(running, levels)
        struck = await running.struck()
        assert len(struck) >= minutes * faults_per_min / 4, f"only {len(struck)} faults struck"
        tasks, objects = _population()
        assert tasks <= before[0] + 5, f"tasks grew from {before[0]} to {tasks}"
        assert objects <= before[1] * GROWTH, f"objects grew from {before[1]} to {objects}"


async def _end(running: Rig, levels: int) -> None:
    await running.settle()
    await running.check_books(levels=levels)
    running.check_witness()
    for instrument, book in running.witness.books.items():
        assert book.gap is None, f"{instrument}: a gap is still open: {book.gap}"


def _population() -> tuple[int, int]:
    """Living tasks, and objects that are not the simulated market's own (its bounded rings fill for an
    hour)."""
    gc.collect()
    objects = sum(not str(type(thing).__module__).startswith("ctcore.sim") for thing in gc.get_objects())
    return trio.lowlevel.current_statistics().tasks_living, objects
