"""One order book on one connection: gaps opened and closed, snapshots asked for, silences judged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.book import RULES, BookEdge
from ctcore.book.sequence import PREVIOUS_ID_SEEDED, SNAPSHOT_IN_STREAM, SNAPSHOT_THEN_RANGE
from ctcore.contracts.driver import BookStream, Control, Effect
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason
from ctcore.model.time import US_PER_SEC

BTC = InstrumentId("venue", Market.SPOT, "BTC/USDT")
NOW = 1_700_000_000 * US_PER_SEC


class Rig:
    """A stream whose questions are written down; times are seconds after NOW."""

    def __init__(self, rule: Any = SNAPSHOT_THEN_RANGE, **options: Any) -> None:
        self.asked: list[float] = []
        self.out: list[Any] = []
        self.stream = BookStream("BTCUSDT", BTC, rule, self._ask, **options)

    def delta(self, seq: int, sec: float, *, prev: int | None = None) -> list[Any]:
        us = NOW + int(sec * US_PER_SEC)
        prev = seq - 1 if prev is None else prev
        event = BookDelta(BTC, us - 1_000, us, prev + 1, prev, seq, [(1.0, float(seq))], [])
        return self._keep(self.stream.delta(event, us))

    def snapshot(self, seq: int, sec: float, *, exchange_us: int | None = None) -> list[Any]:
        us = NOW + int(sec * US_PER_SEC)
        exchange_us = us - 1_000 if exchange_us is None else exchange_us
        return self._keep(self.stream.snapshot(BookSnapshot(BTC, exchange_us, us, seq, [], []), us))

    def failed(self, sec: float) -> list[Any]:
        return self._keep(self.stream.snapshot_failed(NOW + int(sec * US_PER_SEC)))

    def tick(self, sec: float) -> list[Any]:
        return self._keep(self.stream.tick(NOW + int(sec * US_PER_SEC)))

    def resync(self, reason: GapReason, sec: float) -> list[Any]:
        return self._keep(self.stream.resync(reason, "told so", NOW + int(sec * US_PER_SEC)))

    @property
    def gaps(self) -> list[Gap]:
        return [e for e in self.out if isinstance(e, Gap)]

    @property
    def seqs(self) -> list[int]:
        return [e.seq for e in self.out if isinstance(e, BookDelta | BookSnapshot)]

    def _ask(self, delay_sec: float) -> list[Effect]:
        self.asked.append(delay_sec)
        return [Control("asked", {})]

    def _keep(self, effects: Any) -> list[Any]:
        got = [e for e in effects if not isinstance(e, Control)]
        self.out += got
        return got


def us(sec: float) -> int:
    return NOW + int(sec * US_PER_SEC)


def test_the_first_delta_asks_once_and_the_snapshot_brings_those_that_waited():
    rig = Rig()
    assert [rig.delta(seq, seq / 10) for seq in (5, 6, 7, 8)] == [[]] * 4
    assert rig.asked == [0.0]
    assert rig.stream.sequence.waiting == 4
    got = rig.snapshot(6, 2.0, exchange_us=0)
    assert [type(e).__name__ for e in got] == ["BookSnapshot", "BookDelta", "BookDelta"]
    assert rig.seqs == [6, 7, 8]
    assert [e.received_us for e in got] == [us(2.0)] * 3, "history is in the order of receipt"
    assert got[0].exchange_us == us(0.8) - 1_000, "a snapshot without a time is as new as the newest delta"
    assert [e.exchange_us for e in got[1:]] == [us(0.7) - 1_000, us(0.8) - 1_000]
    assert rig.stream.in_sync
    assert rig.delta(9, 2.1)[0].received_us == us(2.1)
    assert rig.gaps == []
    counts = rig.stream.statistics()
    assert (counts.snapshots, counts.deltas_applied, counts.deltas_dropped, counts.gaps) == (1, 3, 2, 0)


def test_a_snapshot_without_a_time_when_nothing_waits_has_that_of_its_receipt():
    rig = Rig()
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.tick(100)
    assert rig.snapshot(1, 101, exchange_us=0)[-1].exchange_us == us(101), "not that of the delta long ago"


def test_a_hole_opens_one_gap_and_the_snapshot_closes_it():
    rig = Rig()
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.delta(2, 2)
    (opened,) = rig.delta(4, 3)
    assert opened == Gap(BTC, us(2) - 1_000, us(3), opened.channel, GapReason.SEQUENCE, us(2) - 1_000, None,
                         opened.detail)
    assert opened.detail == "BTCUSDT: at 2, got 4..4 after 3"
    assert rig.delta(5, 4) == []
    assert rig.delta(9, 5) == []
    assert rig.snapshot(4, 6)[-1].end_us is None, "9 does not follow 5: another gap, at once"
    assert [(g.reason, g.end_us is None) for g in rig.gaps] == [
        (GapReason.SEQUENCE, True), (GapReason.SEQUENCE, False), (GapReason.SEQUENCE, True),
    ]  # fmt: skip
    assert (rig.gaps[1].begin_us, rig.gaps[1].end_us) == (us(2) - 1_000, us(6) - 1_000)
    assert rig.gaps[2].begin_us == us(4) - 1_000
    rig.snapshot(9, 8)
    assert rig.gaps[3].begin_us == rig.gaps[2].begin_us
    assert rig.stream.statistics().gaps == 2
    assert rig.asked == [0.0, 1.0, 2.0]


def test_a_gap_never_ends_before_it_begins():
    rig = Rig()
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.delta(2, 10)
    rig.delta(4, 11)
    rig.snapshot(4, 12, exchange_us=us(3))
    opened, closed = rig.gaps
    assert (closed.begin_us, closed.end_us) == (opened.begin_us, opened.begin_us)


def test_too_old_snapshots_and_failures_are_asked_again_later_each_time():
    rig = Rig()
    rig.delta(50, 0)
    for attempt in range(1, 9):
        if attempt % 2:
            assert rig.snapshot(10, attempt) == []
        else:
            rig.failed(attempt)
    assert rig.asked == [0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0]
    assert rig.stream.statistics().snapshots == 0
    rig.snapshot(49, 300)
    assert rig.seqs == [49, 50]


def test_a_slow_failure_does_not_start_over_from_no_delay():
    """An answer that takes minutes, as under a 418, is no minute of health."""
    rig = Rig()
    rig.delta(50, 0)
    for attempt in range(1, 5):
        rig.failed(attempt * 120)
    assert rig.asked == [0.0, 1.0, 2.0, 4.0, 8.0]


def test_after_a_minute_in_sync_the_delay_starts_over():
    rig = Rig()
    rig.delta(1, 0)
    rig.failed(1)
    rig.snapshot(1, 2)
    rig.delta(2, 30)
    rig.delta(4, 61.9)  # not yet a minute
    rig.snapshot(4, 62)
    rig.delta(6, 122.1)
    assert rig.asked == [0.0, 1.0, 2.0, 0.0]


def test_a_failure_nobody_waits_for_asks_nothing():
    rig = Rig()
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.failed(2)
    assert rig.asked == [0.0]


def test_waiting_is_bounded_and_the_counts_add_up():
    rig = Rig()
    for seq in range(6_000):
        rig.delta(seq, seq / 1_000)
    counts = rig.stream.statistics()
    assert rig.stream.sequence.waiting == 5_000
    assert counts.deltas_dropped == 6_000
    assert rig.asked == [0.0]


def test_a_snapshot_in_the_stream_that_is_late_is_asked_for():
    rig = Rig(SNAPSHOT_IN_STREAM, snapshot_in_stream=True, patience_sec=10.0)
    rig.stream.subscribed(NOW)
    rig.delta(7, 1)
    assert rig.asked == [], "it is due, and what comes before it is of no use"
    assert rig.stream.sequence.waiting == 0
    rig.tick(9.9)
    assert rig.asked == []
    for sec in (10, 11, 19.9, 20, 30.9, 31, 42, 44):
        rig.tick(sec)
    assert rig.asked == [0.0, 1.0, 2.0, 4.0]
    rig.snapshot(9, 45)
    rig.tick(80)
    rig.delta(10, 81)
    assert rig.asked == [0.0, 1.0, 2.0, 4.0]
    assert rig.seqs == [9, 10]
    assert rig.gaps == [], "what never began has no gap"


def test_a_hole_in_a_stream_with_snapshots_keeps_nothing():
    rig = Rig(SNAPSHOT_IN_STREAM, snapshot_in_stream=True)
    rig.stream.subscribed(NOW)
    rig.snapshot(1, 0)
    for seq in (2, 4, 5, 6):
        rig.delta(seq, seq)
    assert rig.asked == [0.0]
    assert rig.stream.sequence.waiting == 0
    rig.snapshot(7, 8)
    rig.delta(8, 9)
    assert rig.seqs == [1, 2, 7, 8]
    assert [g.end_us for g in rig.gaps] == [None, us(8) - 1_000]
    counts = rig.stream.statistics()
    assert (counts.deltas_applied, counts.deltas_dropped) == (2, 3)


@pytest.mark.parametrize("in_stream", [False, True])
@pytest.mark.parametrize(("answer", "reasons"), [(2, []), (5, [GapReason.STALL, GapReason.STALL])])
def test_silence_is_judged_by_where_the_book_stands(in_stream, answer, reasons):
    rig = Rig(snapshot_in_stream=in_stream, quiet_sec=60.0)
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.delta(2, 2)
    rig.tick(61.9)
    asked = len(rig.asked)
    rig.tick(62)
    rig.tick(63)
    assert len(rig.asked) == asked + 1
    assert not rig.stream.statistics().in_sync
    rig.snapshot(answer, 64)
    assert [g.reason for g in rig.gaps] == reasons
    ends = [(us(2) - 1_000, None), (us(2) - 1_000, us(64) - 1_000)]
    assert [(g.begin_us, g.end_us) for g in rig.gaps] == ends[: len(reasons)]
    assert rig.stream.in_sync
    rig.delta(answer + 1, 65)
    assert rig.seqs[-2:] == [answer, answer + 1]
    rig.tick(120)
    assert len(rig.asked) == asked + 1, "heard of at 65"


def test_a_delta_that_follows_ends_the_suspicion():
    """A quiet book that moves while its snapshot is being fetched has missed nothing."""
    rig = Rig()
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.tick(61)
    assert [e.seq for e in rig.delta(2, 61.1)] == [2]
    assert rig.stream.in_sync
    assert rig.snapshot(2, 61.2) == [], "the answer is not needed any more"
    rig.delta(3, 61.3)
    assert rig.gaps == []
    assert rig.seqs == [1, 2, 3]
    rig.delta(5, 62)
    assert rig.asked == [0.0, 0.0, 1.0], "a later hole asks as ever"


def test_a_hole_right_after_a_suspicion_does_not_wait_for_the_old_answer():
    rig = Rig()
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.tick(61)
    rig.delta(2, 61.1)
    rig.delta(4, 61.2)
    assert rig.asked == [0.0, 0.0, 1.0]
    rig.snapshot(4, 62)
    assert rig.seqs == [1, 2, 4]


def test_a_delta_that_does_not_follow_confirms_the_suspicion():
    rig = Rig()
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.tick(61)
    assert rig.delta(4, 61.1) == []
    rig.delta(5, 61.2)
    rig.snapshot(4, 62)
    assert [g.reason for g in rig.gaps] == [GapReason.STALL] * 2
    assert rig.seqs == [1, 4, 5]


def test_a_snapshot_from_before_the_silence_tells_nothing():
    rig = Rig()
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.delta(2, 2)
    rig.tick(62)
    assert rig.snapshot(1, 63) == []
    assert rig.asked == [0.0, 0.0, 1.0]
    assert [e.seq for e in rig.snapshot(2, 64)] == [2]
    assert rig.gaps == []


@pytest.mark.parametrize("suspected", [False, True])
def test_a_book_found_wrong_is_forgotten(suspected):
    rig = Rig()
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.delta(2, 2)
    if suspected:
        rig.tick(62)
    (opened,) = rig.resync(GapReason.CROSSED, 63)
    assert (opened.reason, opened.begin_us) == (GapReason.CROSSED, us(2) - 1_000)
    assert rig.resync(GapReason.CROSSED, 63.1) == []
    assert rig.delta(3, 64) == [], "what follows a wrong book is of no use"
    assert not rig.stream.in_sync
    rig.snapshot(3, 65)
    assert [(g.reason, g.end_us) for g in rig.gaps] == [
        (GapReason.CROSSED, None), (GapReason.CROSSED, us(65) - 1_000)
    ]
    assert rig.stream.statistics().gaps == 1
    assert rig.asked == [0.0, 0.0] if suspected else [0.0, 1.0]


def test_a_quiet_book_can_be_asked_for_before_its_first_delta():
    rig = Rig()
    list(rig.stream.request_snapshot(NOW))
    list(rig.stream.request_snapshot(NOW + 1))
    assert rig.asked == [0.0]
    rig.snapshot(1, 1)
    list(rig.stream.request_snapshot(NOW + 2 * US_PER_SEC))
    assert rig.asked == [0.0]
    assert [e.seq for e in rig.delta(2, 2)] == [2]


def test_a_probe_leaves_the_book_in_sync_and_asks_only_if_the_ids_differ():
    probes: list[float] = []

    def probe(delay_sec: float) -> list[Effect]:
        probes.append(delay_sec)
        return []

    rig = Rig(probe=probe)
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.tick(61)
    rig.tick(62)
    assert (probes, rig.stream.in_sync) == ([0.0], True)
    list(rig.stream.probed(1, us(63)))
    rig.tick(122)
    assert len(probes) == 1
    rig.tick(123)
    rig.stream.probe_failed(us(124))
    rig.tick(184)
    rig.delta(2, 185)
    assert not list(rig.stream.probed(5, us(186))), "it was heard of meanwhile"
    assert (len(probes), rig.asked, rig.stream.in_sync) == (3, [0.0], True)
    rig.tick(246)
    list(rig.stream.probed(5, us(247)))
    assert rig.asked == [0.0, 0.0]
    assert not rig.stream.in_sync


@pytest.mark.parametrize(("between", "restarts"), [(False, 1), (True, 0)])
def test_two_silences_in_a_row_that_lost_data_open_the_stream_anew(between, restarts):
    opened: list[int] = []

    def restart(now_us: int) -> list[Effect]:
        opened.append(now_us)
        return []

    rig = Rig(restart=restart)
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.tick(61)
    rig.snapshot(5, 62)
    if between:
        rig.delta(6, 63)
    rig.tick(200)
    rig.snapshot(9, 201)
    assert len(opened) == restarts
    rig.tick(300)
    rig.snapshot(12, 301)
    assert len(opened) == 1
    assert [g.reason for g in rig.gaps] == [GapReason.STALL] * 6


def test_a_silence_that_ended_while_it_was_checked_is_no_dead_stream():
    opened: list[int] = []
    rig = Rig(restart=lambda now_us: opened.append(now_us) or [])
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    for sec, seq in ((100, 5), (200, 9), (300, 15)):
        rig.tick(sec)
        rig.delta(seq, sec + 1)
        rig.snapshot(seq, sec + 2)
    assert (len(rig.gaps), opened) == (6, [])


def test_the_answer_for_the_edge_serves_a_book_that_was_lost_meanwhile():
    rig = Rig(edge=BookEdge(100), extend=lambda _: [])
    rig.delta(1, 0)
    rig.snapshot(1, 1)
    rig.delta(3, 2)
    us_now = us(3)
    got = list(rig.stream.extended(BookSnapshot(BTC, us_now, us_now, 3, [], []), us_now))
    assert [type(e).__name__ for e in got] == ["BookSnapshot", "Gap"]
    assert rig.snapshot(4, 4) == [], "nobody waits for it any more"


FATES = ["lost", "answer", "late answer", "failed", "quiet", "crossed", "old"]


@settings(deadline=None)
@given(
    rule=st.sampled_from([SNAPSHOT_THEN_RANGE, PREVIOUS_ID_SEEDED, RULES["previous_id_range"]]),
    fates=st.lists(
        st.sampled_from(["whole"] * 5 + FATES),
        max_size=60,
    ),
    lag=st.integers(0, 3),
)
def test_whatever_happens_gaps_and_questions_stay_paired(rule, fates, lag):
    """What is published is a chain with its holes marked; asked at most once at a time; and it heals."""
    rig = Rig(rule)
    venue_at, sec, outstanding = 10, 0.0, 0

    def step(fate: str) -> None:
        nonlocal venue_at, sec, outstanding
        sec += 0.5
        before = len(rig.asked)
        if fate in ("whole", "lost"):
            venue_at += 1
            if fate == "whole":
                rig.delta(venue_at, sec)
        elif fate in ("answer", "late answer") and outstanding:
            outstanding -= 1
            rig.snapshot(venue_at - (lag if fate == "late answer" else 0), sec)
        elif fate == "failed" and outstanding:
            outstanding -= 1
            rig.failed(sec)
        elif fate == "quiet":
            sec += 61
            rig.tick(sec)
        elif fate == "crossed" and rig.stream.in_sync:
            rig.resync(GapReason.CROSSED, sec)
        elif fate == "old":
            rig.delta(venue_at, sec)
        outstanding += len(rig.asked) - before

    for fate in fates:
        step(fate)
    for _ in range(4):
        step("answer")
        step("whole")
    assert rig.stream.in_sync
    assert rig.seqs[-1] == venue_at

    gap_open = False
    at: int | None = None
    for event in rig.out:
        match event:
            case Gap(end_us=None):
                assert not gap_open
                gap_open = True
            case Gap():
                assert gap_open
                assert event.end_us is not None
                assert event.end_us >= event.begin_us
                gap_open = False
            case BookSnapshot():
                assert at in (None, event.seq) or gap_open, "a snapshot elsewhere stands inside a gap"
                at = event.seq
            case BookDelta():
                assert event.prev_seq == at or (rule is RULES["previous_id_range"] and event.seq == at)
                at = event.seq
    assert not gap_open
    received = [event.received_us for event in rig.out]
    assert received == sorted(received)
