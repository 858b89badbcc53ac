"""One order book on one connection: what drivers share between their frames and :class:`BookSequence`.

A driver's session keeps one :class:`BookStream` a symbol, feeds it parsed snapshots and deltas and passes on
the effects. Here a gap is opened and closed, a snapshot is asked for, and asked for again when it fails or is
late; how to ask is the driver's: a REST call, or unsubscribe and subscribe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import structs

from ctcore.book.edge import BookEdge
from ctcore.book.sequence import BookSequence, SequenceRule, SyncState, Verdict
from ctcore.contracts.driver.driver import BookStatistics
from ctcore.contracts.driver.requests import Effect
from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason
from ctcore.model.time import US_PER_SEC

Ask = Callable[[float], Iterable[Effect]]
"""Make the effects that get a new snapshot after a delay in seconds."""

Restart = Callable[[int], Iterable[Effect]]
"""Make the effects that open the book's stream anew on the same socket, at this time in microseconds."""

_APPLY = Verdict.APPLY
"""For the hot path: looking a member up in its enum costs 0.1 us in Python 3.11."""

_RETRY_SEC = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_HEALTHY_US = 60 * US_PER_SEC

_DEAF_CHECKS = 2
"""Silences in a row during which the book changed, after which the stream counts as dead."""


class BookStream:
    """Order book of one instrument on one connection.

    ``ask`` gets a snapshot. With ``snapshot_in_stream`` the venue sends one after each subscribe, deltas
    before it are useless, and it is asked for again after ``patience_sec``; otherwise deltas wait for it and
    the first of them triggers the asking.

    A book that hears nothing for ``quiet_sec`` may be quiet or its stream may be dead: a new snapshot tells.
    If it stands at the same id nothing was missed; else the silence was a gap (reason ``stall``). A delta
    that follows the book before the answer is there tells as well: the stream lives. After two such gaps in
    a row without any delta the stream is dead, though its socket lives: ``restart`` opens it anew.

    ``probe`` asks for a cheap snapshot whose id alone is read (:meth:`probed`): with it a quiet book stays in
    sync while it is checked, and a whole snapshot is asked for only if the ids differ. ``edge`` watches how
    far the book is known, and ``extend`` asks for the snapshot that it wants (:meth:`extended`).
    """

    def __init__(
        self,
        symbol: str,
        instrument: InstrumentId,
        rule: SequenceRule,
        ask: Ask,
        *,
        snapshot_in_stream: bool = False,
        patience_sec: float = 10.0,
        quiet_sec: float = 60.0,
        probe: Ask | None = None,
        restart: Restart | None = None,
        edge: BookEdge | None = None,
        extend: Ask | None = None,
    ) -> None:
        self.symbol = symbol
        self.instrument = instrument
        self.sequence = BookSequence(rule)
        self.snapshot_in_stream = snapshot_in_stream
        self.gaps = 0
        self._ask = ask
        self._patience_us = int(patience_sec * US_PER_SEC)
        self._quiet_us = int(quiet_sec * US_PER_SEC)
        self._probe = probe
        self._restart = restart
        self._edge = edge
        self._extend = extend
        self._probing = False
        self._deaf_checks = 0
        self._heard_at_check = 0
        self._heard_us: int | None = None
        self._suspect_at: int | None = None
        self._asked = False
        self._deadline_us: int | None = None
        self._asked_times = 0
        self._whole_us: int | None = None
        self._last_us: int | None = None
        self._waiting_us = 0
        self._gap: Gap | None = None

    @property
    def in_sync(self) -> bool:
        """There is a book, and nothing is missing from it."""
        return self.sequence.state is not SyncState.EMPTY

    def subscribed(self, now_us: int) -> None:
        """The subscription was sent; a snapshot in the stream is due."""
        if self.snapshot_in_stream:
            self._deadline_us = now_us + self._patience_us

    def delta(self, delta: BookDelta, now_us: int) -> Iterable[Effect]:
        """Judge one delta: it comes back when it is to be applied."""
        verdict = self.sequence.delta(delta)
        if verdict is _APPLY:
            self._last_us = delta.exchange_us
            self._heard_us = now_us
            if self._edge is not None:
                self._edge.recent.append(delta)
            return (delta,)
        if verdict is Verdict.DROP:
            return ()
        if self._suspect_at is not None and not self.snapshot_in_stream and self.sequence.resume():
            return self._resumed(delta, now_us)
        self._waiting_us = delta.exchange_us
        if self.snapshot_in_stream:
            self.sequence.forget_waiting()
        if verdict is Verdict.WAIT:
            return () if self.snapshot_in_stream else self._request(now_us)
        got = f"{delta.first_seq}..{delta.seq} after {delta.prev_seq}"
        detail = f"{self.symbol}: at {self.sequence.at}, got {got}"
        return [*self._open_gap(GapReason.SEQUENCE, detail, now_us), *self._request(now_us)]

    def snapshot(self, snapshot: BookSnapshot, now_us: int) -> Iterable[Effect]:
        """Take a snapshot: it and the deltas that waited for it come back, or it is asked for again.

        A snapshot without a time of its own (``exchange_us`` 0) gets that of the newest delta that waits, or
        of its receipt. The deltas that waited come back as received together with the snapshot, so that
        history is in the order of receipt.
        """
        self._asked = False
        self._deadline_us = None
        if self.in_sync and not self.snapshot_in_stream:
            return ()  # nobody waits for it any more
        if self._is_behind(snapshot):
            return self._request(now_us)
        if not snapshot.exchange_us:
            time_us = self._waiting_us if self.sequence.waiting else snapshot.received_us
            snapshot = structs.replace(snapshot, exchange_us=time_us)
        heard = self.sequence.waiting > 0
        deltas = self.sequence.snapshot(snapshot)
        if deltas is None:
            return self._request(now_us)
        deltas = [structs.replace(delta, received_us=snapshot.received_us) for delta in deltas]
        if self._edge is not None:
            self._edge.seeded(snapshot, deltas)
        effects: list[Effect] = [*self._judge_silence(snapshot, heard=heard), snapshot, *deltas]
        effects += self._close_gap(snapshot)
        self._last_us = deltas[-1].exchange_us if deltas else snapshot.exchange_us
        self._heard_us = self._whole_us = now_us
        if not self.in_sync:
            detail = f"{self.symbol}: hole among the deltas that waited for a snapshot, at {self.sequence.at}"
            effects += [*self._open_gap(GapReason.SEQUENCE, detail, now_us), *self._request(now_us)]
        if self._deaf_checks >= _DEAF_CHECKS and self._restart is not None:
            self._deaf_checks = 0
            effects += self._restart(now_us)
        return effects

    def snapshot_failed(self, now_us: int) -> Iterable[Effect]:
        """The asking itself failed: ask again, later each time."""
        self._asked = False
        return () if self.in_sync else self._request(now_us)

    def request_snapshot(self, now_us: int) -> Iterable[Effect]:
        """Ask for a snapshot before any delta wants it (a quiet stream), unless there is one or it is due."""
        return () if self.in_sync else self._request(now_us)

    def resync(self, reason: GapReason, detail: str, now_us: int) -> Iterable[Effect]:
        """The book is wrong: forget it, tell so, get a new one. With reason ``stall`` it is only suspected.
        """
        if reason is GapReason.STALL and self.in_sync:
            self._suspect_at = self.sequence.at
            self.sequence.broken()
            return self._request(now_us)
        if not self.in_sync and self._suspect_at is None:
            return self._request(now_us)  # it is known to be missing
        self._suspect_at = None
        self.sequence.broken()
        return [*self._open_gap(reason, detail, now_us), *self._request(now_us)]

    def heard(self) -> None:
        """The stream lives: a snapshot came out of it."""
        self._deaf_checks = 0

    def probed(self, seq: int, now_us: int) -> Iterable[Effect]:
        """The answer to ``probe``: a later id than the book's is the suspicion of a silence that lost data.
        """
        if not self._probing:
            return ()
        self._probing = False
        if not self.in_sync or now_us - (self._heard_us or 0) < self._quiet_us:
            return ()  # it was heard of meanwhile, or is known to be missing
        if seq > self.sequence.at:
            return self.resync(GapReason.STALL, f"{self.symbol}: silent", now_us)
        self._heard_us = now_us
        return ()

    def probe_failed(self, now_us: int) -> None:
        """Nothing is known: the next check is a whole silence away."""
        if self._probing:
            self._probing = False
            self._heard_us = now_us

    def extended(self, snapshot: BookSnapshot, now_us: int) -> Iterable[Effect]:
        """The answer to ``extend``: what it adds, once the book stands at its id. A book that was lost
        meanwhile stands on it anew.
        """
        if self._edge is None:
            return ()
        if not self.in_sync:
            self._edge.failed()
            return self.snapshot(snapshot, now_us) if self._asked else ()
        self._edge.answered(snapshot)
        return self._splice(self._edge, now_us)

    def extend_failed(self) -> None:
        """There was no answer to ``extend``; it is asked for again."""
        if self._edge is not None:
            self._edge.failed()

    def tick(self, now_us: int) -> Iterable[Effect]:
        """Ask again for a snapshot in the stream that is late; suspect a book that has been quiet for long;
        ask for more levels of one that comes near the edge of what is known of it.
        """
        if self._deadline_us is not None and now_us >= self._deadline_us:
            self._asked = False
            return self._request(now_us)
        if not self.in_sync or self._heard_us is None:
            return ()
        if now_us - self._heard_us >= self._quiet_us and not self._probing:
            return self._check_silence(now_us)
        if self._edge is not None and self._extend is not None:
            if self._edge.wants(self.sequence.at, now_us):
                return self._extend(0.0)
            return self._splice(self._edge, now_us)
        return ()

    def statistics(self) -> BookStatistics:
        """Counts so far."""
        sequence = self.sequence
        return BookStatistics(
            symbol=self.symbol,
            snapshots=sequence.snapshots,
            deltas_applied=sequence.applied,
            deltas_dropped=sequence.dropped + sequence.waiting,
            gaps=self.gaps,
            in_sync=self.in_sync,
        )

    def _request(self, now_us: int) -> Iterable[Effect]:
        """Ask unless asked already: at once the first time, later each time while the book does not stay
        whole.
        """
        if self._asked:
            return ()
        self._asked = True
        if self._whole_us is not None and now_us - self._whole_us >= _HEALTHY_US:
            self._asked_times = 0
        self._whole_us = None
        delay_sec = _RETRY_SEC[min(self._asked_times, len(_RETRY_SEC) - 1)]
        self._asked_times += 1
        if self.snapshot_in_stream:
            self._deadline_us = now_us + int(delay_sec * US_PER_SEC) + self._patience_us
        return self._ask(delay_sec)

    def _check_silence(self, now_us: int) -> Iterable[Effect]:
        if self._probe is None:
            return self.resync(GapReason.STALL, f"{self.symbol}: silent", now_us)
        self._probing = True
        return self._probe(0.0)

    def _splice(self, edge: BookEdge, now_us: int) -> Iterable[Effect]:
        delta = edge.splice(self.sequence.at, self._last_us or now_us, now_us)
        return () if delta is None else (delta,)

    def _resumed(self, delta: BookDelta, now_us: int) -> Iterable[Effect]:
        """The suspected book goes on where it stood; the answer that was asked for is not needed any more."""
        self._suspect_at = self._deadline_us = None
        self._asked = False
        self._last_us = delta.exchange_us
        self._heard_us = self._whole_us = now_us
        if self._edge is not None:
            self._edge.recent.append(delta)
        return (delta,)

    def _is_behind(self, snapshot: BookSnapshot) -> bool:
        """A snapshot from before the silence, out of a cache of the venue's, tells nothing about it."""
        if self._suspect_at is None or self.snapshot_in_stream or self.sequence.waiting:
            return False
        return snapshot.seq < self._suspect_at

    def _judge_silence(self, snapshot: BookSnapshot, *, heard: bool) -> Iterable[Effect]:
        """``heard``: deltas came while the snapshot was under way."""
        suspect, self._suspect_at = self._suspect_at, None
        if suspect is None or suspect == snapshot.seq:
            return ()
        count = self.sequence.applied + self.sequence.dropped
        if heard or count != self._heard_at_check:
            self._deaf_checks = 0
        self._deaf_checks += not heard
        self._heard_at_check = count
        return self._open_gap(GapReason.STALL, f"{self.symbol}: silent at {suspect}", snapshot.received_us)

    def _open_gap(self, reason: GapReason, detail: str, now_us: int) -> Iterable[Effect]:
        self.gaps += 1
        if self._gap is not None or self._last_us is None:
            return ()
        begin_us = self._last_us
        self._gap = Gap(self.instrument, begin_us, now_us, Channel.ORDERBOOK, reason, begin_us, None, detail)
        return (self._gap,)

    def _close_gap(self, snapshot: BookSnapshot) -> Iterable[Effect]:
        gap, self._gap = self._gap, None
        if gap is None:
            return ()
        end_us = max(snapshot.exchange_us, gap.begin_us)
        return (structs.replace(gap, exchange_us=end_us, received_us=snapshot.received_us, end_us=end_us),)
