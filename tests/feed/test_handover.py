"""A handover misses nothing and repeats nothing, in whatever order two connections' events interleave."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.book.sequence import SNAPSHOT_IN_STREAM
from ctcore.model.market import BookSnapshot, GapReason

from .scene import BTC, RULES, STEPS, Scene, play, settle


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
    """The old one goes on; even with a book that had changed hands."""
    scene = Scene(rule, 25, old_has)
    scene.new.next = new_from
    scene.begin()
    play(scene, steps, stale)
    scene.handover.abandon(scene.stamp())
    settle(scene, [scene.old])
    gaps, seqs = scene.check()
    assert gaps == []
    assert seqs == [delta.seq for delta in scene.venue.chain]
    assert scene.old.accept == scene.keeper.accept, "nothing stands between them for ever"
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
