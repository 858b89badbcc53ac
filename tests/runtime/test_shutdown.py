import json
import os
import signal

import trio
from hypothesis import given
from hypothesis import strategies as st

from ctcore.runtime import Phase, PhaseOutcome, ShutdownReport, open_signals, run_shutdown
from ctcore.runtime.shutdown import allowance_sec


def phase(name, seconds, deadline=10.0, **kwargs):
    async def run(report):
        await trio.sleep(seconds)
        report.add("phase", name, "kept")

    return Phase(name, deadline, run, **kwargs)


def outcomes(report):
    return [(result.name, str(result.outcome), round(result.duration_sec, 3)) for result in report.phases]


async def test_phases_run_in_order_and_are_reported(autojump_clock):
    report = await run_shutdown([phase("stop api", 1), phase("save state", 2)], reason="SIGTERM")
    assert outcomes(report) == [("stop api", "done", 1), ("save state", "done", 2)]
    assert [item.name for item in report.items] == ["stop api", "save state"]
    assert report.clean
    assert report.duration_sec == 3


async def test_an_overrun_is_cancelled_and_the_next_phase_runs(autojump_clock):
    report = await run_shutdown([phase("orders", 100, 4), phase("save", 1)])
    assert outcomes(report) == [("orders", "overrun", 4), ("save", "done", 1)]
    assert report.phases[0].detail == "cancelled after 4.0 s"
    assert not report.clean


async def test_the_budget_bounds_the_whole(autojump_clock):
    report = await run_shutdown([phase(str(n), 100, 20) for n in range(3)], total_sec=30)
    assert outcomes(report) == [("0", "overrun", 20), ("1", "overrun", 10), ("2", "overrun", 0)]
    assert trio.current_time() == 30


async def test_what_is_reserved_for_the_last_phase_cannot_be_used_up(autojump_clock):
    phases = [phase("greedy", 100, 100), phase("save", 4, 5, reserve_sec=5)]
    report = await run_shutdown(phases, total_sec=30)
    assert outcomes(report) == [("greedy", "overrun", 25), ("save", "done", 4)]


async def test_a_failing_phase_does_not_stop_the_others(autojump_clock):
    async def broken(report):
        report.add("order", "A-1", "failed", "venue said no")
        raise ZeroDivisionError("half way")

    report = await run_shutdown([Phase("orders", 5, broken), phase("save", 1)])
    assert outcomes(report) == [("orders", "failed", 0), ("save", "done", 1)]
    assert report.phases[0].detail == "ZeroDivisionError: half way"


async def test_in_a_hurry_only_the_essential_is_done(autojump_clock):
    hurry = trio.Event()
    phases = [phase("drain", 9), phase("orders", 9), phase("save", 2, essential=True)]
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def second_signal():
            await trio.sleep(3)
            hurry.set()

        report = await run_shutdown(phases, hurry=hurry)
    assert outcomes(report) == [("drain", "cut short", 3), ("orders", "skipped", 0), ("save", "done", 2)]


async def test_an_essential_phase_is_not_cut_short(autojump_clock):
    hurry = trio.Event()
    hurry.set()
    report = await run_shutdown([phase("save", 2, essential=True)], hurry=hurry)
    assert report.clean


async def test_reserves_shrink_with_a_budget_that_is_too_short_for_them(autojump_clock):
    phases = [phase("feeds", 9), phase("history", 0.2, reserve_sec=5), phase("save", 0.1, reserve_sec=1)]
    report = await run_shutdown(phases, total_sec=1)
    assert outcomes(report) == [("feeds", "overrun", 0.5), ("history", "done", 0.2), ("save", "done", 0.1)]
    assert trio.current_time() <= 1


async def test_the_budget_counts_from_when_the_end_was_asked_for(autojump_clock):
    began = trio.current_time()
    await trio.sleep(8)
    report = await run_shutdown([phase("feeds", 9)], total_sec=10, began=began)
    assert outcomes(report) == [("feeds", "overrun", 2)]
    assert report.duration_sec == 10


@given(
    st.lists(st.tuples(st.floats(0.1, 50), st.floats(0, 5), st.floats(0, 60)), max_size=6),
    st.floats(30, 60),
)
def test_every_phase_gets_its_reserve_and_the_total_is_kept(shapes, total):
    phases = [phase("one", 0, deadline, reserve_sec=reserve) for deadline, reserve, _ in shapes]
    left = total
    for index, (deadline, reserve, wants) in enumerate(shapes):
        allowed = allowance_sec(phases, index, left)
        assert 0 <= allowed <= deadline
        assert allowed >= min(deadline, reserve) - 1e-9
        left -= min(allowed, wants)
    assert left >= -1e-9


def test_the_report_reads_well_and_goes_into_json():
    report = ShutdownReport(reason="SIGINT", duration_sec=2.5)
    report.add("order", "A-1", "canceled")
    report.add("order", "A-2", "failed", "timeout")
    assert report.lines() == [
        "shutdown NOT clean in 2.5 s of 30 s, SIGINT",
        "  order: 1 canceled",
        "  order: 1 failed",
        "    order A-1: canceled",
        "    order A-2: failed  timeout",
    ]
    assert json.loads(json.dumps(report.to_dict()))["items"][1]["outcome"] == "failed"


def test_a_flood_of_items_is_counted():
    report = ShutdownReport()
    for number in range(10_005):
        report.add("order", str(number), "kept")
    assert len(report.items) == 10_000
    assert report.lines()[-1] == "    and 5 more"


async def test_the_first_signal_is_graceful_and_the_second_immediate():
    before = signal.getsignal(signal.SIGTERM)
    async with open_signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        with trio.fail_after(5):
            await signals.graceful.wait()
        assert signals.name == "SIGTERM"
        assert not signals.immediate.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        with trio.fail_after(5):
            await signals.immediate.wait()
    assert signal.getsignal(signal.SIGTERM) is before


async def test_after_a_stop_by_hand_the_first_signal_is_immediate():
    async with open_signals() as signals:
        signals.graceful.set()
        os.kill(os.getpid(), signal.SIGTERM)
        with trio.fail_after(5):
            await signals.immediate.wait()


def test_outcomes_are_the_words_of_the_report():
    assert {str(outcome) for outcome in PhaseOutcome} == {"done", "failed", "overrun", "cut short", "skipped"}
