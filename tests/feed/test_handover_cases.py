"""Single cases of a handover: other streams, falling ids, bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ctcore.book.sequence import PREVIOUS_ID, SNAPSHOT_THEN_RANGE
from ctcore.feed.handover import Handover
from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason, Liquidation, Side, Ticker, Trade

from .scene import BTC, ETH, SUBSCRIPTIONS, Scene, Wire


def trade(number: int, now_us: int) -> Trade:
    return Trade(BTC, number, now_us, str(number), 1.0, 1.0, Side.BUY)


@given(st.permutations([("old", n) for n in range(6)] + [("new", n) for n in range(2, 8)]))
def test_trades_pass_once_from_whoever_is_first(order):
    scene = Scene(SNAPSHOT_THEN_RANGE, 1, 0)
    scene.begin()
    for which, number in order:
        (scene.old if which == "old" else scene.new).accept(trade(number, scene.stamp()))
    scene.handover.finish(scene.stamp())
    scene.old.accept(trade(7, scene.stamp()))
    scene.old.accept(trade(8, scene.stamp()))
    ids = [event.trade_id for event in scene.published if isinstance(event, Trade)]
    assert sorted(ids) == [str(number) for number in range(9)]


def test_everything_else_comes_from_the_old_one_until_the_end():
    scene = Scene(SNAPSHOT_THEN_RANGE, 5, 2)
    scene.begin()

    def told() -> list[float | None]:
        return [event.last for event in scene.published if isinstance(event, Ticker)]

    def ticker(last: float) -> Ticker:
        return Ticker(BTC, 1, scene.stamp(), last=last)

    scene.old.accept(ticker(1.0))
    scene.new.accept(ticker(2.0))
    scene.new.snapshot(2)
    assert scene.handover.done
    scene.new.accept(ticker(3.0))
    scene.old.accept(ticker(4.0))
    scene.handover.finish(scene.stamp())
    scene.new.accept(ticker(5.0))
    scene.old.accept(ticker(6.0))
    assert told() == [1.0, 4.0, 5.0]


def test_gaps_of_other_streams_are_not_taken_for_gaps_of_the_book():
    scene = Scene(SNAPSHOT_THEN_RANGE, 5, 2)
    scene.begin()

    def gap(instrument: InstrumentId, channel: Channel) -> Gap:
        return Gap(instrument, 1, scene.stamp(), channel, GapReason.REFUSED, 1)

    scene.keeper.watch(ETH)
    scene.new.deliver()  # the queue waits for a snapshot
    scene.old.accept(gap(ETH, Channel.TRADE))
    (told,) = [event for event in scene.published if isinstance(event, Gap)]
    assert (told.instrument, told.channel) == (ETH, Channel.TRADE)
    scene.new.snapshot(2)
    assert scene.new.accept(gap(BTC, Channel.TRADE))
    assert len([g for g in scene.published if isinstance(g, Gap)]) == 1, "the old one still has the trades"
    scene.handover.finish(scene.stamp())
    assert [g.channel for g in scene.published if isinstance(g, Gap)] == [Channel.TRADE, Channel.TRADE]
    assert scene.keeper.open_gap(BTC, Channel.TRADE) is not None
    book = scene.keeper.book(BTC)
    assert book is not None
    assert book.valid


def test_a_book_the_old_one_never_had_is_taken_without_a_gap():
    scene = Scene(SNAPSHOT_THEN_RANGE, 5, 0)
    scene.keeper.unwatch(BTC)
    scene.keeper.watch(BTC)
    scene.published.clear()
    scene.begin()
    scene.new.deliver()
    scene.new.snapshot(1)
    assert scene.handover.done
    assert [type(event) for event in scene.published] == [BookSnapshot]


def test_ids_that_fall_while_the_new_one_is_ahead():
    """Maintenance in the middle of a handover: the old one passes 1000 -> 3 after the new one did."""
    scene = Scene(PREVIOUS_ID, 1, 0)

    def delta(wire: Wire, prev: int, seq: int) -> None:
        now_us = scene.stamp()
        wire.feed(wire.stream.delta(BookDelta(BTC, now_us, now_us, seq, prev, seq, [(1.0, seq)], []), now_us))

    def snapshot(wire: Wire, seq: int) -> None:
        now_us = scene.stamp()
        wire.feed(wire.stream.snapshot(BookSnapshot(BTC, now_us, now_us, seq, [(1.0, seq)], []), now_us))

    snapshot(scene.old, 990)
    scene.published.clear()
    scene.begin()
    snapshot(scene.new, 3)
    delta(scene.new, 3, 7)
    for prev, seq in ((990, 1_000), (1_000, 3), (3, 7), (7, 9)):
        delta(scene.old, prev, seq)
    delta(scene.new, 7, 9)
    scene.handover.finish(scene.stamp())
    delta(scene.new, 9, 12)
    assert [event.seq for event in scene.published] == [1_000, 3, 7, 9, 12]


def test_a_chain_that_passes_the_published_id_is_asked_for_again():
    """The new connection was behind, and then turns out not to hold what was published."""
    scene = Scene(PREVIOUS_ID, 10, 6)
    scene.new.next = 1
    scene.begin()
    scene.new.snapshot(1)
    assert not scene.handover.done, "held"
    scene.handover.finish(scene.stamp())
    at = scene.venue.seq_after(6)
    now_us = scene.stamp()
    scene.new.accept(BookDelta(BTC, 1, now_us, at + 9, at + 5, at + 9, [], []))
    gap = scene.published[-1]
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.HANDOVER
    assert scene.new.asks


def test_an_old_event_waits_no_longer_than_the_queue_has_room(monkeypatch):
    monkeypatch.setattr("ctcore.feed.handover.QUEUED_EVENTS", 5)
    scene = Scene(SNAPSHOT_THEN_RANGE, 40, 10)
    scene.begin()
    scene.new.snapshot(0)
    for _ in range(6):
        scene.old.deliver()
    assert scene.handover.done
    while scene.new.next < 40:
        scene.new.deliver()
    scene.handover.finish(scene.stamp())
    gaps, seqs = scene.check()
    assert gaps == []
    assert seqs == [delta.seq for delta in scene.venue.chain]


def test_a_queue_that_never_meets_is_bounded(monkeypatch):
    monkeypatch.setattr("ctcore.feed.handover.QUEUED_EVENTS", 5)
    scene = Scene(SNAPSHOT_THEN_RANGE, 40, 1)
    scene.new.next = 20
    scene.begin()
    scene.new.snapshot(20)
    for _ in range(4):
        scene.new.deliver()
    assert not scene.handover.done
    scene.new.deliver()
    assert scene.handover.done
    gaps, _ = scene.check()
    assert [gap.reason for gap in gaps] == [GapReason.HANDOVER]


def test_a_crossed_queue_is_resynced_by_the_new_connection():
    scene = Scene(SNAPSHOT_THEN_RANGE, 3, 1)
    scene.begin()
    seq = scene.venue.seq_after(1)
    now_us = scene.stamp()
    scene.new.feed(scene.new.stream.snapshot(scene.venue.snapshot_after(1, now_us), now_us))
    assert scene.handover.done
    now_us = scene.stamp()
    crossing = BookDelta(BTC, 5, now_us, seq + 1, seq, seq + 1, [(8.0, 1.0)], [(7.0, 1.0)])
    scene.new.feed(scene.new.stream.delta(crossing, now_us))
    assert isinstance(scene.published[-1], Gap)
    assert scene.published[-1].reason is GapReason.CROSSED
    assert scene.new.asks
    book = scene.keeper.book(BTC)
    assert book is not None
    assert not book.valid


SEC = 1_000_000


def numbered(wire: Wire, at_us: int, seq: int, prev: int | None = None) -> None:
    """A delta at a time of the venue; without ``prev`` a snapshot."""
    scene_us = wire.stamp()
    if prev is None:
        wire.feed(wire.stream.snapshot(BookSnapshot(BTC, at_us, scene_us, seq, [(1.0, seq)], []), scene_us))
    else:
        delta = BookDelta(BTC, at_us, scene_us, seq, prev, seq, [(1.0, seq)], [])
        wire.feed(wire.stream.delta(delta, scene_us))


def reasons(scene: Scene) -> list[tuple[GapReason, bool]]:
    return [(e.reason, e.end_us is None) for e in scene.published if isinstance(e, Gap)]


def test_ids_that_count_anew_are_found_out_by_their_times():
    """The new connection counts from 1 on: it will never reach the old one's ids."""
    scene = Scene(PREVIOUS_ID, 1, 0)
    numbered(scene.old, 10 * SEC, 50_000)
    scene.keeper.book(BTC)
    scene.begin()
    numbered(scene.old, 10 * SEC, 50_001, 50_000)
    numbered(scene.new, 10 * SEC, 1)
    numbered(scene.new, 11 * SEC, 2, 1)
    assert not scene.handover.done, "it may be behind"
    numbered(scene.new, 11 * SEC + 2, 3, 2)
    assert scene.handover.done
    assert reasons(scene) == [(GapReason.HANDOVER, True), (GapReason.HANDOVER, False)]
    numbered(scene.new, 12 * SEC, 4, 3)
    assert scene.published[-1].seq == 4


def test_ids_that_count_higher_are_found_out_by_their_times():
    scene = Scene(PREVIOUS_ID, 1, 0)
    scene.begin()
    numbered(scene.new, 10 * SEC, 900)
    numbered(scene.new, 10 * SEC, 901, 900)
    assert not scene.handover.done
    now_us = scene.stamp()
    scene.old.accept(BookDelta(BTC, 11 * SEC + 1, now_us, 101, 100, 101, [], []))
    assert scene.handover.done
    assert reasons(scene) == [(GapReason.HANDOVER, True), (GapReason.HANDOVER, False)]


def test_ids_that_fell_are_found_out_after_the_old_connection_has_gone():
    scene = Scene(PREVIOUS_ID, 1, 0)
    now_us = scene.stamp()
    scene.old.accept(BookDelta(BTC, 10 * SEC, now_us, 101, 100, 101, [], []))
    scene.begin()
    numbered(scene.new, 10 * SEC, 1)
    scene.handover.finish(scene.stamp())
    numbered(scene.new, 10 * SEC, 2, 1)
    assert reasons(scene) == []
    numbered(scene.new, 12 * SEC, 3, 2)
    assert reasons(scene) == [(GapReason.HANDOVER, True)]
    assert scene.new.asks


def test_ids_of_one_connection_alone_are_never_compared():
    scene = Scene(PREVIOUS_ID, 1, 0)
    scene.handover = Handover(scene.keeper, scene.old, scene.new, SUBSCRIPTIONS, comparable=False)  # type: ignore[arg-type]
    numbered(scene.new, 1, 100)
    assert scene.handover.done
    assert reasons(scene) == [(GapReason.HANDOVER, True), (GapReason.HANDOVER, False)]
    scene.handover.abandon(scene.stamp())
    assert reasons(scene)[2:] == [(GapReason.HANDOVER, True)]
    assert scene.old.asks


def test_a_book_stands_still_for_two_seconds_at_most():
    scene = Scene(PREVIOUS_ID, 10, 3)
    scene.begin()
    scene.new.snapshot(1)
    scene.new.next = 1
    scene.old.deliver()
    assert scene.published[-1].seq == scene.venue.seq_after(3), "held"
    scene.now_us += 2 * SEC
    scene.handover.tick(scene.stamp())
    assert scene.published[-1].seq == scene.venue.seq_after(4)
    scene.old.deliver()
    assert scene.published[-1].seq == scene.venue.seq_after(5), "and not held again at once"
    scene.handover.finish(scene.stamp())
    while scene.new.next < 10:
        scene.new.deliver()
    gaps, seqs = scene.check()
    assert gaps == []
    assert seqs == [delta.seq for delta in scene.venue.chain]


def test_what_only_the_faster_connection_said_is_not_lost():
    scene = Scene(SNAPSHOT_THEN_RANGE, 1, 0)
    scene.begin()

    def order(at_us: int) -> Liquidation:
        return Liquidation(BTC, at_us, scene.stamp(), Side.SELL, 1.0, float(at_us))

    scene.old.accept(order(1))
    for at_us in (1, 2, 3):
        scene.new.accept(order(at_us))
    scene.old.accept(order(2))
    scene.handover.finish(scene.stamp())
    scene.old.accept(order(3))
    assert [e.exchange_us for e in scene.published if isinstance(e, Liquidation)] == [1, 2, 3]
    times = [event.received_us for event in scene.published]
    assert times == sorted(times)
