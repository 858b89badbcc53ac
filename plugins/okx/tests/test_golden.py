"""A small session written for this project, and exactly what it must give."""

from __future__ import annotations

from ctdaemon_okx.driver import OkxDriver

from ctcore.contracts.driver import Control, Fetch, Retire
from ctcore.feed.replay import Replay, Replayed
from ctcore.model.ids import Market
from ctcore.model.market import MarketEvent
from ctcore.model.message import to_json
from ctcore.wire.recording import RecordedMessage, read_recording

from .frames import FIXTURES

SESSION = FIXTURES / "ws_swap_session.jsonl"
EVENTS = FIXTURES / "ws_swap_session.events.jsonl"


def test_a_session_gives_its_golden_events(driver: OkxDriver) -> None:
    run = Replay(driver, Market.FUTURES)
    lines = read_recording(SESSION)
    assert not isinstance(lines, RecordedMessage)
    outcomes = list(run.run(lines))
    assert all(isinstance(outcome, Replayed) for outcome in outcomes)
    effects = [outcome.effect for outcome in outcomes if isinstance(outcome, Replayed)]
    events = [to_json(effect).decode() for effect in effects if isinstance(effect, MarketEvent)]
    assert events == EVENTS.read_text().splitlines()
    kinds = [effect.kind for effect in effects if isinstance(effect, Control)]
    assert kinds == [*["subscribe"] * 3, "unsubscribe", "subscribe", "pong", "notice"]
    assert sum(isinstance(effect, Retire) for effect in effects) == 1
    assert not any(isinstance(effect, Fetch) for effect in effects)
    (summary,) = run.summaries(1)
    assert (summary["bids"], summary["asks"]) == ([(64250.0, 2.5)], [(64250.5, 6.25)])
    counts = [summary[name] for name in ("snapshots", "deltas_applied", "deltas_dropped", "gaps", "in_sync")]
    assert counts == [2, 5, 1, 1, True]
