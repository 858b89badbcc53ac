"""Two connections of one venue, fed by hand through a handover."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import strategies as st

from ctcore.book import OrderBook, SequenceRule
from ctcore.book.sequence import PREVIOUS_ID, PREVIOUS_ID_RANGE, SNAPSHOT_IN_STREAM, SNAPSHOT_THEN_RANGE
from ctcore.contracts.driver import BookStream, Control, Effect
from ctcore.feed.handover import Handover
from ctcore.feed.keeper import BookKeeper
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason, MarketEvent

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
