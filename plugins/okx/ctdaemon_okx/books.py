"""One order book of OKX on one connection: the venue's procedure around the shared :class:`BookStream`.

1. Subscribe. The first message is a snapshot (``action`` snapshot, ``prevSeqId`` -1).
2. An update with ``prevSeqId`` equal to the last ``seqId`` is applied; ``seqId`` steps are irregular.
3. ``seqId == prevSeqId`` and no levels is a keepalive after 60 s without change; it chains like any other.
4. ``seqId < prevSeqId`` is a reset after maintenance; it chains by ``prevSeqId`` too.
5. Any other ``prevSeqId`` is a hole: unsubscribe and subscribe, for a duplicate subscribe brings no new
   snapshot. What is still under way of the old subscription, until the new one is acknowledged, is of no use.
   Patience with the new snapshot begins with the acknowledgement: the request may wait its turn before it.
6. The venue announced (2026-02) snapshots by REST alone. So: when the first message after the
   acknowledgement is an update, or none comes in a few seconds, updates wait, ``GET /market/books`` seeds
   the book, and holes are mended by asking it again, until a snapshot is seen in the stream.
7. ``books5`` sends the whole picture each time, and is never seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ctcore.book.sequence import PREVIOUS_ID, PREVIOUS_ID_SEEDED
from ctcore.contracts.driver import BookStatistics, BookStream, Effect
from ctcore.errors import OutdatedFormat
from ctcore.model.ids import InstrumentId
from ctcore.model.market import BookDelta, BookSnapshot, GapReason
from ctcore.model.time import US_PER_SEC
from ctdaemon_okx.channels import FULL_BOOK
from ctdaemon_okx.checksum import TextBook
from ctdaemon_okx.wire import BOOK, BOOK_TEXT, Arg, BookRow, TextRow

Resubscribe = Callable[[Arg], Iterable[Effect]]
Seed = Callable[[InstrumentId, str, float], Iterable[Effect]]

QUIET_SEC = 75.0  # a keepalive comes after about 60 s without change
QUIET_FULL_SEC = 600.0  # books5 has none

_decode = BOOK.decode  # bound once: this is the hot path


class OkxBook:
    """See the module's text. ``resubscribe`` and ``seed`` make the effects of steps 5 and 6.

    Of a ``recorded`` stream every subscription counts as acknowledged: the frame that says so may be missing.
    """

    def __init__(
        self,
        arg: Arg,
        instrument: InstrumentId,
        resubscribe: Resubscribe,
        seed: Seed,
        *,
        patience_sec: float,
        quiet_sec: float,
        validate_checksum: bool = False,
        recorded: bool = False,
    ) -> None:
        self.arg = arg
        self.instrument = instrument
        self.refused = False
        self._full = arg.channel == FULL_BOOK
        self._resubscribe = resubscribe
        self._seed = seed
        self._recorded = recorded
        self._acknowledged = recorded
        self._awaiting = True
        self._late = False
        self._delay_sec = 0.0
        self._due_us: int | None = None
        self._text = TextBook() if validate_checksum else None
        self._stream = BookStream(arg.symbol, instrument, PREVIOUS_ID, self._ask, snapshot_in_stream=True,
                                  patience_sec=patience_sec,
                                  quiet_sec=max(quiet_sec, QUIET_FULL_SEC) if self._full else quiet_sec)

    @property
    def awaiting(self) -> bool:
        """A snapshot is needed and not here."""
        return self._awaiting

    @property
    def settled(self) -> bool:
        """Nothing more is waited for: the book is in sync, or will never come."""
        return self.refused or self._stream.in_sync

    def statistics(self) -> BookStatistics:
        """Counts so far."""
        return self._stream.statistics()

    def acknowledged(self, now_us: int) -> None:
        """The subscription stands; a snapshot is due."""
        self._acknowledged = True
        if self._awaiting:
            self._stream.subscribed(now_us)

    def received(self, frame: bytes, now_us: int) -> Iterable[Effect]:
        """One frame of this book's channel. The first branch is the common case, written for speed."""
        message = _decode(frame)
        rows = message.data
        if message.action == "update" and not self._awaiting and self._text is None and len(rows) == 1:
            row = rows[0]
            seq, previous = row.seq, row.previous
            if seq is not None and previous is not None:
                bids = [(level.price, level.quantity) for level in row.bids]
                asks = [(level.price, level.quantity) for level in row.asks]
                delta = BookDelta(self.instrument, row.ts * 1_000, now_us, seq, previous, seq, bids, asks)
                return self._stream.delta(delta, now_us)
        # Texts are read before any row counts: a row that cannot be read must not pass for applied.
        texts = [None] * len(rows) if self._text is None else BOOK_TEXT.decode(frame).data
        return [
            effect
            for row, text in zip(rows, texts, strict=True)
            for effect in self._row(message.action, row, text, now_us)
        ]

    def fetched(self, snapshot: BookSnapshot, now_us: int) -> Iterable[Effect]:
        """The answer to ``seed``; of no use when a snapshot came in the stream meanwhile."""
        if self._stream.snapshot_in_stream or self._stream.in_sync:
            return ()
        effects = self._stream.snapshot(snapshot, now_us)
        self._awaiting = not self._stream.in_sync
        return effects

    def fetch_failed(self, now_us: int) -> Iterable[Effect]:
        """``seed`` came to nothing: once more, later."""
        if self._stream.snapshot_in_stream or self._stream.in_sync:
            return ()
        return self._stream.snapshot_failed(now_us)

    def resync(self, reason: GapReason, detail: str, now_us: int) -> Iterable[Effect]:
        """The book is wrong: declare a gap and get a new snapshot."""
        return self._stream.resync(reason, detail, now_us)

    def tick(self, now_us: int) -> Iterable[Effect]:
        """Step 6: a snapshot in the stream that is late. And step 5, when it had to be put off."""
        if self.refused or (self._awaiting and not self._stream.snapshot_in_stream):
            return ()
        if self._delay_sec:
            self._due_us, self._delay_sec = now_us + int(self._delay_sec * US_PER_SEC), 0.0
        if self._due_us is not None:
            return self._overdue() if now_us >= self._due_us else ()
        if self._awaiting and not self._acknowledged:
            return ()
        self._late = self._awaiting
        effects = self._stream.tick(now_us)
        self._late = False
        return effects

    def _overdue(self) -> Iterable[Effect]:
        self._due_us = None
        return self._resubscribe(self.arg)

    def _row(
        self, action: str | None, row: BookRow, text: TextRow | None, now_us: int
    ) -> Iterable[Effect]:
        seq, previous = row.seq, row.previous
        if seq is None or (previous is None and not self._full):
            raise OutdatedFormat(f"{self.arg.channel} {self.arg.symbol}: the form without sequence ids")
        bids = [(level.price, level.quantity) for level in row.bids]
        asks = [(level.price, level.quantity) for level in row.asks]
        if previous is None or action == "snapshot" or (action is None and previous == -1):
            snapshot = BookSnapshot(self.instrument, row.ts * 1_000, now_us, seq, bids, asks)
            return self._verified(row, text, self._snapshot(snapshot, now_us), now_us)
        delta = BookDelta(self.instrument, row.ts * 1_000, now_us, seq, previous, seq, bids, asks)
        if self._awaiting:
            self._early_update()
        return self._verified(row, text, self._stream.delta(delta, now_us), now_us)

    def _snapshot(self, snapshot: BookSnapshot, now_us: int) -> Iterable[Effect]:
        """Steps 1 and 7: a snapshot in the stream makes whatever waited useless, and ends seeding."""
        stream = self._stream
        stream.sequence.forget_waiting()
        stream.sequence.rule = PREVIOUS_ID
        stream.snapshot_in_stream = True
        self._awaiting, self._acknowledged = False, True
        self._delay_sec, self._due_us = 0.0, None
        return stream.snapshot(snapshot, now_us)

    def _early_update(self) -> None:
        """Step 6, first case: an update where the snapshot was due."""
        if self._acknowledged and self._stream.snapshot_in_stream:
            self._seed_by_rest()

    def _seed_by_rest(self) -> None:
        self._stream.snapshot_in_stream = False
        self._stream.sequence.rule = PREVIOUS_ID_SEEDED
        if self._text is not None:
            self._text.known = False  # the strings of a REST book are not read

    def _ask(self, delay_sec: float) -> Iterable[Effect]:
        """Get a snapshot, in the way that works on this venue now."""
        self._awaiting = True
        if self._late and not self._full:
            self._seed_by_rest()
        if not self._stream.snapshot_in_stream:
            return self._seed(self.instrument, self.arg.symbol, delay_sec)
        self._acknowledged = self._recorded
        if delay_sec:
            self._delay_sec = delay_sec  # counted from the next tick: an update brings no means to wait
            return ()
        return self._resubscribe(self.arg)

    def _verified(
        self, row: BookRow, told: TextRow | None, effects: Iterable[Effect], now_us: int
    ) -> Iterable[Effect]:
        """Compare checksums where that is wanted; a row that was not applied says nothing."""
        text = self._text
        if text is None or told is None or not effects or not self._stream.in_sync:
            return effects
        if row.previous in (None, -1):
            text.replace(told)
        else:
            text.update(told)
        if not (row.checksum and text.known):
            return effects
        computed = text.checksum()
        if computed == row.checksum:
            return effects
        detail = f"{self.arg.symbol}: checksum {computed}, the venue's is {row.checksum}"
        return [*effects, *self._stream.resync(GapReason.CHECKSUM, detail, now_us)]
