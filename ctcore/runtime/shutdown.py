"""The orderly end: named phases with deadlines inside one budget, and the report of what became of what."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from signal import SIGINT, SIGTERM, Signals
from typing import Any

import attrs
import trio
from attrs.validators import ge, gt
from loguru import logger

from ctcore.runtime.contain import Failure, contain

TOTAL_SEC = 30.0  # the original's promise: the daemon is gone 30 s after it was asked to go
_ITEM_LIMIT = 10_000


class PhaseOutcome(enum.StrEnum):
    """How a phase ended. CUT_SHORT: by the operator's second signal; SKIPPED: not begun because of it."""

    DONE = "done"
    FAILED = "failed"
    OVERRUN = "overrun"
    CUT_SHORT = "cut short"
    SKIPPED = "skipped"


@attrs.frozen
class PhaseResult:
    """One phase in the report."""

    name: str
    outcome: PhaseOutcome
    duration_sec: float
    detail: str = ""


@attrs.frozen
class ItemResult:
    """What became of one thing: ``order``, its name; ``canceled``, ``flattened``, ``kept`` or ``failed``."""

    kind: str
    name: str
    outcome: str
    detail: str = ""


@attrs.define
class ShutdownReport:
    """What happened during the shutdown. Phases add the things they dealt with by :meth:`add`."""

    reason: str = ""
    budget_sec: float = TOTAL_SEC
    duration_sec: float = 0.0
    phases: list[PhaseResult] = attrs.field(factory=list)
    items: list[ItemResult] = attrs.field(factory=list)
    items_left_out: int = 0

    @property
    def clean(self) -> bool:
        """Every phase ended as it should, and nothing failed."""
        phases_done = all(phase.outcome is PhaseOutcome.DONE for phase in self.phases)
        return phases_done and not any(item.outcome == "failed" for item in self.items)

    def add(self, kind: str, name: str, outcome: str, detail: str = "") -> None:
        """Note what became of one thing; beyond ten thousand they are only counted."""
        if len(self.items) >= _ITEM_LIMIT:
            self.items_left_out += 1
        else:
            self.items.append(ItemResult(kind, name, outcome, detail))

    def lines(self) -> list[str]:
        """The report for people."""
        verdict = "clean" if self.clean else "NOT clean"
        because = f", {self.reason}" if self.reason else ""
        lines = [f"shutdown {verdict} in {self.duration_sec:.1f} s of {self.budget_sec:g} s{because}"]
        width = max((len(phase.name) for phase in self.phases), default=0)
        lines += [
            f"  {phase.name:<{width}}  {phase.outcome:<9}  {phase.duration_sec:4.1f} s  {phase.detail}"
            for phase in self.phases
        ]
        counts = Counter((item.kind, item.outcome) for item in self.items)
        lines += [f"  {kind}: {count} {outcome}" for (kind, outcome), count in sorted(counts.items())]
        lines += [f"    {item.kind} {item.name}: {item.outcome}  {item.detail}" for item in self.items]
        if self.items_left_out:
            lines.append(f"    and {self.items_left_out} more")
        return [line.rstrip() for line in lines]

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {"clean": self.clean, **attrs.asdict(self)}


@attrs.frozen
class Phase:
    """One step. ``run(report)`` gets at most ``deadline_sec``, less when the budget runs out.

    ``reserve_sec`` of the budget are kept for it whatever comes before overruns. An ``essential`` phase
    (saving the state) is carried out even when the operator asks for an immediate end.
    """

    name: str
    deadline_sec: float = attrs.field(validator=gt(0))
    run: Callable[[ShutdownReport], Awaitable[None]]
    reserve_sec: float = attrs.field(default=0.0, validator=ge(0), kw_only=True)
    essential: bool = attrs.field(default=False, kw_only=True)


def fitted(phases: Sequence[Phase], total_sec: float) -> Sequence[Phase]:
    """The phases with at most half of the budget reserved, so that the first ones get something, too."""
    reserved_sec = sum(phase.reserve_sec for phase in phases)
    most_sec = total_sec / 2
    if reserved_sec <= most_sec:
        return phases
    share = most_sec / reserved_sec
    return [attrs.evolve(phase, reserve_sec=phase.reserve_sec * share) for phase in phases]


def allowance_sec(phases: Sequence[Phase], index: int, left_sec: float) -> float:
    """How long phase ``index`` may take when ``left_sec`` of the budget are left."""
    reserved_sec = sum(phase.reserve_sec for phase in phases[index + 1 :])
    return max(0.0, min(phases[index].deadline_sec, left_sec - reserved_sec))


async def run_shutdown(
    phases: Sequence[Phase],
    *,
    total_sec: float = TOTAL_SEC,
    began: float | None = None,
    hurry: trio.Event | None = None,
    reason: str = "",
) -> ShutdownReport:
    """Carry out the phases in order and report. A phase that fails or overruns does not keep the next from
    running.

    ``began`` is the moment of trio's clock from which the budget counts: when the end was asked for, now if
    absent. ``hurry``: once set, what is not essential is cut short or skipped. A budget that is too short for
    what the phases reserve shrinks their reserves in proportion.
    """
    hurry = trio.Event() if hurry is None else hurry
    report = ShutdownReport(reason=reason, budget_sec=total_sec)
    began = trio.current_time() if began is None else began
    phases = fitted(phases, total_sec)
    for index, phase in enumerate(phases):
        left_sec = total_sec - (trio.current_time() - began)
        result = await _perform(phase, allowance_sec(phases, index, left_sec), report, hurry)
        report.phases.append(result)
        log = logger.info if result.outcome is PhaseOutcome.DONE else logger.warning
        log("shutdown: {} {} {}", result.name, result.outcome, result.detail)
    report.duration_sec = trio.current_time() - began
    return report


async def _perform(phase: Phase, seconds: float, report: ShutdownReport, hurry: trio.Event) -> PhaseResult:
    if hurry.is_set() and not phase.essential:
        return PhaseResult(phase.name, PhaseOutcome.SKIPPED, 0.0)
    failures: list[Failure] = []
    began = trio.current_time()
    with trio.move_on_after(seconds) as scope:
        async with trio.open_nursery() as nursery:
            if not phase.essential:
                nursery.start_soon(_cancel_upon, hurry, scope)
            await contain(partial(phase.run, report), failures.append)
            nursery.cancel_scope.cancel()
    took_sec = trio.current_time() - began
    detail = "; ".join(failure.text for failure in failures)
    if scope.cancelled_caught and hurry.is_set() and not phase.essential:
        return PhaseResult(phase.name, PhaseOutcome.CUT_SHORT, took_sec, detail)
    if scope.cancelled_caught:
        detail = detail or f"cancelled after {seconds:.1f} s"
        return PhaseResult(phase.name, PhaseOutcome.OVERRUN, took_sec, detail)
    return PhaseResult(phase.name, PhaseOutcome.FAILED if failures else PhaseOutcome.DONE, took_sec, detail)


async def _cancel_upon(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


@attrs.define
class StopSignals:
    """What the operator asked for: ``graceful`` after a first SIGINT or SIGTERM, ``immediate`` after a
    second.

    Either may also be set by hand (tests do). ``name`` is the first signal's, ``asked_at`` its moment on
    trio's clock: the shutdown's budget counts from there.
    """

    graceful: trio.Event = attrs.field(factory=trio.Event)
    immediate: trio.Event = attrs.field(factory=trio.Event)
    name: str = ""
    asked_at: float | None = None

    def ask(self, name: str) -> None:
        """The first signal came."""
        self.name, self.asked_at = name, trio.current_time()
        self.graceful.set()


@asynccontextmanager
async def open_signals() -> AsyncIterator[StopSignals]:
    """Listen for SIGINT and SIGTERM while the block runs; main thread only.

    After the second, the signals have their usual effect again: a third kills a process that hangs.
    """
    signals = StopSignals()
    async with trio.open_nursery() as nursery:
        await nursery.start(_listen, signals)
        yield signals
        nursery.cancel_scope.cancel()


async def _listen(signals: StopSignals, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(SIGINT, SIGTERM) as received:
        task_status.started()
        async for number in received:
            if not signals.graceful.is_set():
                signals.ask(Signals(number).name)
                logger.info("{}: shutting down (once more for an immediate end)", signals.name)
            else:
                logger.warning("{}: ending at once", Signals(number).name)
                signals.immediate.set()
                return
