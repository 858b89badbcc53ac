"""Offline replay over a venue made up here: JSON frames, a snapshot by REST for each symbol's book."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, ClassVar

from ctcore.book.sequence import SNAPSHOT_THEN_RANGE
from ctcore.contracts.driver import (
    BookStatistics,
    BookStream,
    Capabilities,
    ConnectionPlan,
    Control,
    Driver,
    DriverInfo,
    Effect,
    Endpoints,
    Fetch,
    HttpRequest,
    HttpResponse,
    RateNotice,
    Send,
    StreamSession,
)
from ctcore.errors import CtcoreError, DecodeError, VenueUnavailable
from ctcore.feed.answers import HELD_ANSWERS
from ctcore.feed.replay import Outcome, Refused, Replay, Replayed
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.model.instrument import Catalogue, Instrument
from ctcore.model.market import BookDelta, BookSnapshot, GapReason, MarketEvent, Side, Trade
from ctcore.wire.codec import Codec
from ctcore.wire.recording import parse_lines

REST = "https://toy.example/api/depth"


class ToySession(StreamSession):
    def __init__(self) -> None:
        self._books: dict[str, BookStream] = {}

    def connected(self, now_us: int) -> Iterable[Effect]:
        return (Send("hello"),)

    def received(self, frame: bytes, now_us: int) -> Iterable[Effect]:
        try:
            told = json.loads(frame)
            symbol = told["s"]
        except (ValueError, LookupError, TypeError) as error:
            raise DecodeError(f"toy: {error}", kind="toy") from None
        if symbol == "pong":
            return (Control("pong", {"n": told["n"]}),)
        instrument = InstrumentId("toy", Market.SPOT, symbol)
        if "price" in told:
            return (Trade(instrument, 7, now_us, "1", told["price"], 2.0, Side.BUY),)
        if symbol not in self._books:
            ask = partial(self._ask, symbol, instrument)
            self._books[symbol] = BookStream(symbol, instrument, SNAPSHOT_THEN_RANGE, ask)
        first, last = told["range"]
        delta = BookDelta(instrument, last, now_us, first, first - 1, last, told.get("bids", []), [])
        return self._books[symbol].delta(delta, now_us)

    def tick(self, now_us: int) -> Iterable[Effect]:
        raise AssertionError("a replay has no ticks")

    def fetched(self, fetch: Fetch, response: HttpResponse, now_us: int) -> Iterable[Effect]:
        assert fetch.instrument is not None
        try:
            told = json.loads(response.body)
        except ValueError as error:
            raise DecodeError(f"toy snapshot: {error}", kind="snapshot") from None
        snapshot = BookSnapshot(fetch.instrument, told["id"], now_us, told["id"], told["bids"], [(9.0, 1.0)])
        return self._books[fetch.instrument.pair].snapshot(snapshot, now_us)

    def fetch_failed(self, fetch: Fetch, error: CtcoreError, now_us: int) -> Iterable[Effect]:
        assert fetch.instrument is not None
        return self._books[fetch.instrument.pair].snapshot_failed(now_us)

    def resync(self, instrument: InstrumentId, reason: GapReason, now_us: int) -> Iterable[Effect]:
        return ()

    @property
    def ready(self) -> bool:
        return True

    def books(self) -> Mapping[InstrumentId, BookStatistics]:
        return {book.instrument: book.statistics() for book in self._books.values()}

    @staticmethod
    def _ask(symbol: str, instrument: InstrumentId, delay_sec: float) -> Iterable[Effect]:
        request = HttpRequest("GET", f"{REST}?sym={symbol}&limit=1000", f"depth {symbol}")
        return (Fetch(request, "book", instrument, delay_sec),)


class ToyDriver(Driver):
    info: ClassVar[DriverInfo] = DriverInfo(
        "toy", "Toy", {}, {Market.SPOT: Capabilities(frozenset(Channel), ())}, ()
    )

    def __init__(self, codec: Codec = "plain") -> None:
        super().__init__(Endpoints({}, {}))
        self.codec = codec

    def instruments(self, market: Market) -> Sequence[HttpRequest]:
        return ()

    def parse_instruments(self, market: Market, responses: Sequence[HttpResponse]) -> list[Instrument]:
        return []

    def plan(
        self, wanted: AbstractSet[Subscription], catalogues: Mapping[Market, Catalogue]
    ) -> list[ConnectionPlan]:
        return []

    def recorded(self, market: Market) -> ConnectionPlan:
        return ConnectionPlan(
            name="recorded", exchange="toy", market=market, url="wss://toy", subscriptions=(),
            codec=self.codec, any_instrument=True,
        )  # fmt: skip

    def session(self, plan: ConnectionPlan, catalogue: Catalogue) -> StreamSession:
        return ToySession()

    def check(self, response: HttpResponse) -> None:
        if response.status >= 500:
            raise VenueUnavailable("toy is down", status=response.status)

    def rate_notice(self, response: HttpResponse) -> RateNotice:
        return RateNotice()


def delta(us: int, first: int, last: int, symbol: str = "A", **more: Any) -> dict[str, Any]:
    return {"us": us, "kind": "in", "text": json.dumps({"s": symbol, "range": [first, last], **more})}


def depth(us: int, at: int, symbol: str = "A", status: int = 200, url: str = REST) -> dict[str, Any]:
    text = json.dumps({"id": at, "bids": [[8.0, at]]})
    url = f"{url}?q=1&sym={symbol.lower()}"
    return {"us": us, "kind": "http", "status": status, "text": text, "url": url}


def replay(*lines: dict[str, Any] | bytes, codec: Codec = "plain") -> tuple[Replay, list[Outcome]]:
    machine = Replay(ToyDriver(codec), Market.SPOT)
    data = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return machine, list(machine.run(parse_lines(data, "toy.jsonl")))


def events(outcomes: list[Outcome]) -> list[MarketEvent]:
    found = [outcome.effect for outcome in outcomes if isinstance(outcome, Replayed)]
    return [effect for effect in found if isinstance(effect, MarketEvent)]


def test_an_answer_after_the_asking_is_given_with_the_line_s_time() -> None:
    machine, outcomes = replay(delta(10, 5, 6), delta(20, 7, 7, bids=[[8.5, 1.0]]), depth(30, 5))
    snapshot, *deltas = events(outcomes)
    assert isinstance(snapshot, BookSnapshot)
    assert snapshot.received_us == 30
    assert [event.seq for event in deltas if isinstance(event, BookDelta)] == [6, 7]
    assert machine.summaries(1) == [{
        "type": "book", "exchange": "toy", "market": "spot", "pair": "A", "symbol": "A",
        "bids": [(8.5, 1.0)], "asks": [(9.0, 1.0)], "levels": [2, 1],
        "snapshots": 1, "deltas_applied": 2, "deltas_dropped": 0, "gaps": 0, "in_sync": True,
    }]  # fmt: skip


def test_an_answer_before_the_asking_is_held_the_oldest_first() -> None:
    machine, outcomes = replay(depth(1, 3), depth(2, 5), delta(10, 5, 6))
    snapshots = [event for event in events(outcomes) if isinstance(event, BookSnapshot)]
    assert [(event.seq, event.received_us) for event in snapshots] == [(5, 10)]  # 3 is too old: asked again
    assert machine.statistics().unasked == 0


def test_answers_are_matched_by_path_and_symbol_not_by_host_or_limit() -> None:
    machine, outcomes = replay(
        delta(1, 5, 6),
        depth(2, 5, symbol="B"),
        depth(3, 5, url="https://toy.example/api/trades"),
        depth(4, 5, url="http://elsewhere:81/api/depth"),
    )
    assert [event.received_us for event in events(outcomes)] == [4, 4]
    assert machine.statistics().unasked == 2


def test_an_answer_without_url_is_the_book_of_the_only_symbol() -> None:
    nameless = {"us": 1, "kind": "http", "status": 200, "text": '{"id":5,"bids":[]}'}
    machine, _ = replay(nameless, delta(2, 6, 6))
    assert machine.summaries(5)[0]["in_sync"]


def test_a_failed_answer_makes_the_session_ask_again() -> None:
    machine, _ = replay(delta(1, 5, 6), depth(2, 5, status=503))
    assert machine.statistics().unanswered == 1
    assert not machine.summaries(5)[0]["in_sync"]
    machine, _ = replay(delta(1, 5, 6), depth(2, 5, status=503), depth(3, 5))
    assert machine.summaries(5)[0]["in_sync"]


def test_an_answer_that_cannot_be_read_is_refused_and_asked_for_again() -> None:
    broken = {"us": 2, "kind": "http", "status": 200, "text": "{", "url": f"{REST}?s=A"}
    machine, outcomes = replay(delta(1, 5, 6), broken, depth(3, 5))
    assert [outcome.line for outcome in outcomes if isinstance(outcome, Refused)] == [2]
    assert machine.summaries(5)[0]["in_sync"]


def test_held_answers_are_bounded() -> None:
    machine, _ = replay(*(depth(us, us) for us in range(HELD_ANSWERS + 3)))
    assert (machine.statistics().unasked, machine.statistics().unasked_dropped) == (HELD_ANSWERS, 3)


def test_bad_lines_and_bad_frames_are_refused_with_their_numbers_and_the_rest_goes_on() -> None:
    machine, outcomes = replay(
        b"junk",
        {"us": 1, "kind": "in", "text": "[]"},
        {"us": 2, "kind": "in", "text": '{"s":"A","price":3.0}'},
    )
    assert [outcome.line for outcome in outcomes if isinstance(outcome, Refused)] == [1, 2]
    assert [event.received_us for event in events(outcomes)] == [2]
    assert machine.statistics().refused == 2
    assert machine.statistics().lines == 3


def test_a_url_that_is_none_is_refused() -> None:
    _, outcomes = replay({"us": 1, "kind": "http", "status": 200, "text": "", "url": "http://["})
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, Replayed)] == [Refused]


def test_after_a_gap_the_book_has_no_levels() -> None:
    machine, _ = replay(delta(1, 5, 6), depth(2, 5), delta(3, 9, 9), delta(4, 10, 10))
    summary = machine.summaries(5)[0]
    assert (summary["bids"], summary["asks"], summary["levels"]) == ([], [], [0, 0])
    assert (summary["deltas_applied"], summary["deltas_dropped"], summary["gaps"]) == (1, 2, 1)
    assert not summary["in_sync"]


def test_a_new_connection_gets_a_fresh_session_and_the_counts_are_added() -> None:
    opened, closed = {"us": 1, "kind": "open", "url": "wss://toy"}, {"us": 1, "kind": "close"}
    machine, outcomes = replay(
        opened, delta(1, 5, 6), depth(2, 5), closed, opened, delta(3, 50, 50), depth(4, 50), delta(5, 51, 51)
    )
    sends = [o for o in outcomes if isinstance(o, Replayed) and isinstance(o.effect, Send)]
    assert len(sends) == 2
    (counts,) = machine.books().values()
    assert (counts.snapshots, counts.deltas_applied, counts.gaps, counts.in_sync) == (2, 2, 0, True)


def test_binary_frames_are_inflated_and_one_message_either_way() -> None:
    frame = b'{"s":"A","price":3.0}'
    machine = Replay(ToyDriver("gzip"), Market.SPOT)
    assert len(events(machine.message(gzip.compress(frame)))) == 1
    assert len(events(machine.message(frame))) == 1
    assert isinstance(machine.message(b"\x1f\x8bjunk")[0], Refused)


def test_json_lines_are_unified_messages_and_control() -> None:
    machine, outcomes = replay(
        {"us": 1, "kind": "in", "text": '{"s":"A","price":3.0}'},
        {"us": 2, "kind": "in", "text": '{"s":"pong","n":4}'},
    )
    lines = [machine.to_json(outcome) for outcome in outcomes if isinstance(outcome, Replayed)]
    assert [json.loads(line) for line in lines if line is not None] == [
        {
            "type": "trade", "exchange": "toy", "market": "spot", "pair": "A", "timestamp": 7, "received": 1,
            "seq": 0, "data": {"trade_id": "1", "price": 3.0, "quantity": 2.0, "side": "buy"},
        },
        {
            "type": "control", "exchange": "toy", "market": "spot", "received": 2,
            "kind": "pong", "data": {"n": 4},
        },
    ]  # fmt: skip
