"""A handover misses nothing and repeats nothing, in whatever order two connections' events interleave."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.book import OrderBook, SequenceRule
from ctcore.book.sequence import PREVIOUS_ID, PREVIOUS_ID_RANGE, SNAPSHOT_IN_STREAM, SNAPSHOT_THEN_RANGE
from ctcore.contracts.driver import BookStream, Control, Effect
from ctcore.feed.handover import Handover
from ctcore.feed.keeper import BookKeeper
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason, MarketEvent, Side, Ticker, Trade

BTC = InstrumentId("venue", Market.SPOT, "BTC/USDT")
ETH = InstrumentId("venue", Market.SPOT, "ETH/USDT")
SUBSCRIPTIONS = [
    Subscription(BTC, Channel.ORDERBOOK), Subscription(BTC, Channel.TRADE), Subscription(BTC, Channel.TICKER),
]  # fmt: skip


class Venue:
    """A chain of deltas, ids as the rule has them; delta i sets one level of a small book."""

    def __init__(self, rule: SequenceRule, length: int) -> None:
        self.rule = rule
        self.chain: list[BookDelta] = []
        last = 100
        for number in range(length):
            jump = number % 3 if rule in (PREVIOUS_ID, PREVIOUS_ID_RANGE) else 0
            span = number % 4 if rule in (SNAPSHOT_THEN_RANGE, PREVIOUS_ID_RANGE) else 0
            first = last + 1 + jump
            level = (float(1 + number % 7), float(number % 5))
            self.chain.append(BookDelta(BTC, number + 1, 0, first, last, first + span, [level], []))
            last = first + span

    def seq_after(self, count: int) -> int:
        return self.chain[count - 1].seq if count else 100

    def book_after(self, count: int) -> OrderBook:
        book = OrderBook()
        book.snapshot([(0.5, 9.0)], [])
        for delta in self.chain[:count]:
            book.delta(delta.bids, delta.asks)
        return book

    def snapshot_after(self, count: int, now_us: int) -> BookSnapshot:
        return BookSnapshot(BTC, count or 1, now_us, self.seq_after(count), self.book_after(count).bids(), [])


class Wire:
    """Stands in for a connection: a real :class:`BookStream`, fed by hand."""

    def __init__(self, venue: Venue, stamp: Callable[[], int]) -> None:
        self.accept: Callable[[MarketEvent], bool] = lambda _: True
        self.venue = venue
        self.stamp = stamp
        self.in_stream = venue.rule in (PREVIOUS_ID, SNAPSHOT_IN_STREAM)
        self.stream = BookStream("BTC", BTC, venue.rule, self._ask, snapshot_in_stream=self.in_stream)
        self.asks = not self.in_stream
        self.begun = False
        self.next = 0  # index of the delta it will see next

    def _ask(self, delay_sec: float) -> Iterable[Effect]:
        self.asks = True
        return (Control("asked", {}),)

    def feed(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, MarketEvent) and not self.accept(effect):
                self.feed(self.stream.resync(GapReason.CROSSED, "", self.stamp()))

    def resync(self, instrument: InstrumentId, reason: GapReason) -> None:
        assert instrument == BTC
        self.feed(self.stream.resync(reason, "", self.stamp()))

    def deliver(self, *, lost: bool = False) -> None:
        delta, now_us = self.venue.chain[self.next], self.stamp()
        self.next += 1
        if not lost:
            delta = BookDelta(BTC, delta.exchange_us, now_us, delta.first_seq, delta.prev_seq, delta.seq,
                              delta.bids, delta.asks)
            self.feed(self.stream.delta(delta, now_us))

    def snapshot(self, count: int) -> None:
        self.asks, self.begun = False, True
        now_us = self.stamp()
        self.feed(self.stream.snapshot(self.venue.snapshot_after(count, now_us), now_us))


class Scene:
    """Old and new connection of one venue, the keeper, and what it published."""

    def __init__(self, rule: SequenceRule, length: int, old_has: int) -> None:
        self.now_us = 0
        self.published: list[Any] = []
        self.venue = Venue(rule, length)
        self.keeper = BookKeeper(self.published.append)
        self.keeper.watch(BTC)
        self.old = Wire(self.venue, self.stamp)
        self.new = Wire(self.venue, self.stamp)
        self.old.accept = self.keeper.accept
        self.old.snapshot(0)
        for _ in range(old_has):
            self.old.deliver()
        self.handover: Any = None

    def stamp(self) -> int:
        self.now_us += 1
        return self.now_us

    def begin(self) -> None:
        self.handover = Handover(self.keeper, self.old, self.new, SUBSCRIPTIONS)  # type: ignore[arg-type]

    def check(self) -> tuple[list[Gap], list[int]]:
        """Replay what was published: a chain with its holes marked, each id once, in the order of receipt."""
        at: int | None = None
        gap_open = False
        gaps: list[Gap] = []
        seqs: list[int] = []
        whole: list[int] = []
        for event in self.published:
            match event:
                case Gap(end_us=None):
                    assert not gap_open
                    gap_open = True
                    gaps.append(event)
                case Gap():
                    assert gap_open
                    gap_open = False
                case BookSnapshot():
                    assert at is None or gap_open
                    at, whole = event.seq, []
                case BookDelta():
                    assert at is not None
                    assert not gap_open
                    joined_from_inside = event.prev_seq < at <= event.seq and event.first_seq <= at + 1
                    assert event.prev_seq == at or joined_from_inside
                    at = event.seq
                    assert at not in whole, "one delta twice"
                    whole.append(at)
                    seqs.append(at)
        times = [event.received_us for event in self.published]
        assert times == sorted(times)
        assert not gap_open
        return gaps, seqs


RULES = {"range": SNAPSHOT_THEN_RANGE, "previous": PREVIOUS_ID, "previous range": PREVIOUS_ID_RANGE,
         "consecutive": SNAPSHOT_IN_STREAM}
STEPS = st.lists(st.sampled_from(["old", "old", "new", "new", "snapshot", "both"]), max_size=50)


def play(scene: Scene, steps: list[str], stale: int) -> None:
    """Deliver as told; a snapshot in the stream comes first, one by REST is of any recent moment."""
    venue, old, new = scene.venue, scene.old, scene.new
    for step in steps:
        if step in ("old", "both") and old.next < len(venue.chain) - 1:
            old.deliver()
        if step in ("new", "both") and new.next < len(venue.chain) and (new.begun or not new.in_stream):
            new.deliver()
        if step == "snapshot" and new.asks | (not new.begun):
            newest = max(old.next, new.next)
            covered = 0 if new.stream.sequence.waiting else new.next
            new.snapshot(new.next if new.in_stream else max(newest - stale, covered))


def settle(scene: Scene, wires: list[Wire]) -> None:
    """Everything still under way arrives."""
    end = len(scene.venue.chain)
    for wire in wires:
        while wire.next < end:
            if wire.in_stream and not wire.begun:
                wire.snapshot(wire.next)
            wire.deliver()
        for _ in range(3):
            if not wire.stream.in_sync:
                wire.snapshot(end)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=200, deadline=None)
@given(old_has=st.integers(0, 12), new_from=st.integers(0, 12), steps=STEPS, stale=st.integers(0, 3))
def test_two_whole_streams_are_published_as_one(rule, old_has, new_from, steps, stale):
    scene = Scene(rule, 25, old_has)
    scene.new.next = new_from
    scene.begin()
    play(scene, steps, stale)
    settle(scene, [scene.new, scene.old] if stale % 2 else [scene.old, scene.new])
    assert scene.handover.done
    scene.handover.finish(scene.stamp())
    gaps, seqs = scene.check()
    assert gaps == []
    assert seqs == [delta.seq for delta in scene.venue.chain]
    book = scene.keeper.book(BTC)
    assert book is not None
    assert book.bids() == scene.venue.book_after(25).bids()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=200, deadline=None)
@given(old_has=st.integers(0, 12), new_from=st.integers(0, 12), steps=STEPS, stale=st.integers(0, 3))
def test_the_old_connection_dies_in_the_middle(rule, old_has, new_from, steps, stale):
    """What the new one has, or will still get, is not missing; only what neither saw is a gap."""
    scene = Scene(rule, 25, old_has)
    scene.new.next = new_from
    scene.begin()
    play(scene, steps, stale)
    book = scene.keeper.book(BTC)
    assert book is not None
    in_sync = scene.new.stream.in_sync
    continues = scene.handover.done or (
        in_sync and scene.handover._left[BTC].queue[0].seq <= book.seq
    )
    scene.handover.finish(scene.stamp())
    settle(scene, [scene.new])
    gaps, seqs = scene.check()
    assert [gap.reason for gap in gaps] == ([] if continues else [GapReason.HANDOVER])
    if continues:
        assert seqs == [delta.seq for delta in scene.venue.chain]
    assert scene.new.accept == scene.keeper.accept, "nothing stands between them for ever"
    assert book.valid
    assert book.bids() == scene.venue.book_after(25).bids()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=200, deadline=None)
@given(old_has=st.integers(0, 12), new_from=st.integers(0, 12), steps=STEPS, stale=st.integers(0, 3))
def test_the_new_connection_dies_in_the_middle(rule, old_has, new_from, steps, stale):
    """The old one goes on; only a book that had changed hands has to be asked for again."""
    scene = Scene(rule, 25, old_has)
    scene.new.next = new_from
    scene.begin()
    play(scene, steps, stale)
    changed = scene.handover.done
    scene.handover.abandon(scene.stamp())
    assert scene.old.accept == scene.keeper.accept
    settle(scene, [scene.old])
    gaps, seqs = scene.check()
    assert [gap.reason for gap in gaps] == ([GapReason.HANDOVER] if changed else [])
    if not changed:
        assert seqs == [delta.seq for delta in scene.venue.chain]
    book = scene.keeper.book(BTC)
    assert book is not None
    assert book.bids() == scene.venue.book_after(25).bids()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=200, deadline=None)
@given(
    new_from=st.integers(0, 5),
    fates=st.lists(st.sampled_from(["old", "new", "snapshot", "lost on old", "lost on new"]), max_size=60),
    ends=st.sampled_from(["finish", "abandon"]),
)
def test_losses_on_either_side_are_marked_and_heal(rule, new_from, fates, ends):
    scene = Scene(rule, 25, 0)
    scene.new.next = new_from
    scene.begin()
    for fate in fates:
        wire = scene.old if "old" in fate else scene.new
        if fate == "snapshot":
            play(scene, ["snapshot"], 1)
            if scene.old.asks and not scene.old.stream.in_sync:
                scene.old.snapshot(scene.old.next)
        elif wire.next < 25 and (wire.begun or not wire.in_stream):
            wire.deliver(lost=fate.startswith("lost"))
    getattr(scene.handover, ends)(scene.stamp())
    settle(scene, [scene.new if ends == "finish" else scene.old])
    survivor = scene.new if ends == "finish" else scene.old
    if survivor.stream.sequence.at != scene.venue.seq_after(25):
        survivor.resync(BTC, GapReason.STALL)  # the last delta was lost: silence, found by the quiet check
        survivor.snapshot(25)
    scene.check()
    book = scene.keeper.book(BTC)
    assert book is not None
    assert book.valid
    assert book.bids() == scene.venue.book_after(25).bids()


@given(
    order=st.lists(st.sampled_from(["old", "new"]), max_size=40),
    ahead=st.integers(0, 5),
    old_has=st.integers(1, 5),
)
def test_full_pictures(order, ahead, old_has):
    """Streams of whole pictures chain by being newer: none is left out, none comes twice."""
    scene = Scene(SNAPSHOT_IN_STREAM, 30, 0)
    published = scene.published

    def picture(which: str, number: int) -> None:
        now_us = scene.stamp()
        event = BookSnapshot(BTC, number, now_us, 100 + number, [(1.0, 1.0 + number)], [])
        assert (scene.old if which == "old" else scene.new).accept(event)

    at = {"old": 0, "new": ahead}
    for _ in range(old_has):
        at["old"] += 1
        picture("old", at["old"])
    scene.begin()
    for which in order + ["new"] * 25 + ["old"] * 25:
        if at[which] < 20:
            at[which] += 1
            picture(which, at[which])
    assert scene.handover.done
    scene.handover.finish(scene.stamp())
    picture("new", 21)
    picture("old", 21)
    assert [event.seq - 100 for event in published] == list(range(22))
    times = [event.received_us for event in published]
    assert times == sorted(times)


# --- single cases -----------------------------------------------------------------------------------------


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
