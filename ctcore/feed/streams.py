"""What is known of each stream: counts, lag, rates, and the ledger of its open gaps."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import Gap, GapReason

RATE_WINDOW_SEC = 10


class StreamRecord:
    """Mutable counts of one stream, written on the hot path."""

    __slots__ = (
        "_history", "channel", "duplicates", "exchange_us", "gaps", "instrument", "messages", "received_us",
    )  # fmt: skip

    def __init__(self, instrument: InstrumentId, channel: Channel) -> None:
        self.instrument = instrument
        self.channel = channel
        self.messages = 0
        self.duplicates = 0
        self.gaps = 0
        self.exchange_us = 0
        self.received_us = 0
        self._history = [0] * (RATE_WINDOW_SEC + 1)

    def count(self, exchange_us: int, received_us: int) -> None:
        """One message arrived."""
        self.messages += 1
        self.exchange_us = exchange_us
        self.received_us = received_us

    def second_passed(self) -> None:
        """Called once a second, so that rates can be told."""
        self._history.pop(0)
        self._history.append(self.messages)

    def statistics(self, open_gap: Gap | None) -> StreamStatistics:
        """A frozen picture."""
        return StreamStatistics(
            instrument=self.instrument,
            channel=self.channel,
            messages=self.messages,
            messages_per_sec=(self._history[-1] - self._history[0]) / RATE_WINDOW_SEC,
            duplicates=self.duplicates,
            gaps=self.gaps,
            last_exchange_us=self.exchange_us or None,
            last_received_us=self.received_us or None,
            lag_us=self.received_us - self.exchange_us if self.exchange_us else None,
            open_gap=open_gap.reason if open_gap else None,
        )


@attrs.frozen(kw_only=True)
class StreamStatistics:
    """Of one stream. ``lag_us`` is our clock minus the venue's at the last message; it may be negative."""

    instrument: InstrumentId
    channel: Channel
    messages: int
    messages_per_sec: float
    duplicates: int
    gaps: int
    last_exchange_us: int | None
    last_received_us: int | None
    lag_us: int | None
    open_gap: GapReason | None


class GapLedger:
    """Which streams have a hole right now. A stream has at most one; it keeps the reason it began with.

    When a stream was last refused is kept beside it: each connection is refused anew.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[InstrumentId, Channel], Gap] = {}
        self._refused_us: dict[tuple[InstrumentId, Channel], int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def get(self, instrument: InstrumentId, channel: Channel) -> Gap | None:
        """The open gap of a stream, or None."""
        return self._open.get((instrument, channel))

    def refused_us(self, instrument: InstrumentId, channel: Channel) -> int:
        """When the stream was last refused while its gap was open; 0 if it was not."""
        return self._refused_us.get((instrument, channel), 0)

    def opened(self, gap: Gap) -> bool:
        """Note a gap that begins; False when the stream already has one."""
        key = (gap.instrument, gap.channel)
        if gap.reason is GapReason.REFUSED:
            self._refused_us[key] = gap.received_us
        if key in self._open:
            return False
        self._open[key] = gap
        return True

    def closed(self, instrument: InstrumentId, channel: Channel, end_us: int, received_us: int) -> Gap | None:
        """The closed form of the stream's gap, or None when it had none."""
        gap = self._open.pop((instrument, channel), None)
        if gap is None:
            return None
        self._refused_us.pop((instrument, channel), None)
        end_us = max(end_us, gap.begin_us)
        return Gap(instrument, end_us, received_us, channel, gap.reason, gap.begin_us, end_us, gap.detail)

    def forget(self, keys: Iterable[tuple[InstrumentId, Channel]]) -> None:
        """Streams that nobody wants any more have no gaps."""
        for key in keys:
            self._open.pop(key, None)
            self._refused_us.pop(key, None)
