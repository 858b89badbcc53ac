"""History in ClickHouse, embedded or a server.

**Exactly once.** A batch is finished when its row stands in ``batches``; writing it again then does nothing.
A batch that was cut off (a crash, a lost answer) has left rows in some tables and not in others. The next
attempt counts, a table at a time, the rows that carry the batch's number: all there, the table is left
alone; some there, they are taken back and written anew; none, written. The engine's own deduplication is not
relied upon: it forgets, and a crash between its log and the rename of a part loses rows. Counting costs some
queries, so it is only done where a cut-off attempt is possible: in the first new batch after opening, and
after any failure.

The one-minute candles are sums and cannot be counted this way: a second attempt at trades computes the
candles of the minutes concerned anew, from the trades. It looks for them where ``ts`` is within a day of
those minutes, as only ``ts`` is in the key. Where no trade had been left, the candles are only computed anew
when they count other than the trades do.
"""
# ruff: noqa: S608  the texts are made of our own names and of integers

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from enum import Enum, auto

import attrs
import msgspec
from loguru import logger

from ctcore.contracts.sink import Sink
from ctcore.errors import StorageError
from ctcore.model.ids import InstrumentId
from ctcore.model.instrument import Instrument
from ctcore.model.market import MarketEvent, Trade
from ctcore.sinks.client import EngineRefused, HistoryClient, blame, connect
from ctcore.sinks.config import ClickHouseConfig
from ctcore.sinks.encode import TABLES, Encoded, encode, without_repeats
from ctcore.sinks.migrate import migrate, set_fsync
from ctcore.sinks.scales import InstrumentRow, Scales, Written
from ctcore.sinks.schema import REPEATED_PRICE, SCALE_REFUSED, candle_select
from ctcore.sinks.views import unscale

_CACHE_LIMIT = 10_000
_MINUTE_SEC, _DAY_SEC = 60, 86_400
_INT64 = range(-2**63, 2**63)
_UTC = "'UTC'"


class _Found(Enum):
    """What a cut-off attempt has left of a batch in a table."""

    NOTHING = auto()
    PART = auto()
    ALL = auto()


@attrs.frozen
class ClickHouseStatistics:
    """Counts since the sink was made; ``rejected`` events held integers of more than 64 bits."""

    batches: int
    rows: int
    repeated: int
    repaired: int
    widened: int
    rejected: int
    instruments: int


class ClickHouseSink(Sink):
    """Writes batches into the tables of :mod:`ctcore.sinks.schema`."""

    def __init__(self, config: ClickHouseConfig) -> None:
        self._config = config
        self._client: HistoryClient | None = None
        self._scales = Scales()
        self._cache: dict[int, Written] = {}
        self._pins: list[InstrumentId] = []
        self._batch: Sequence[MarketEvent] = ()
        self._odd: set[InstrumentId] = set()
        self._doubtful = True
        self._batches = self._rows = self._repeated = self._repaired = self._rejected = 0

    def open(self) -> None:
        """Connect, migrate and read the known instruments."""
        self.close()
        client = connect(self._config)
        try:
            migrate(client, self._config.database)
            set_fsync(client, self._config.database, self._config.fsync)
            names = ", ".join(field.name for field in attrs.fields(InstrumentRow))
            rows = client.rows(f"SELECT {names} FROM instruments ORDER BY valid_from, id")
        except BaseException:
            client.close()
            raise
        self._scales = Scales(InstrumentRow(*row) for row in rows)
        self._forget()
        self._doubtful = True
        self._client = client

    def describe(self, instruments: Iterable[Instrument]) -> None:
        """Store what is new or changed."""
        for instrument in instruments:
            self._scales.describe(instrument)
        self._forget()
        self._store_instruments()

    def write_batch(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
        """Insert the events into their tables, once; see the module's text.

        Raises :class:`~ctcore.sinks.client.BatchRefused` when the engine works, but not with this batch.
        """
        client = self._opened()
        try:
            self._write_once(client, batch_id, events)
        except EngineRefused as refused:
            raise blame(client, refused) from refused

    def _write_once(self, client: HistoryClient, batch_id: str, events: Sequence[MarketEvent]) -> None:
        number = batch_number(batch_id)
        known = "SELECT 1 FROM batches WHERE batch = {batch:UInt64} AND id = {id:String} LIMIT 1"
        if client.rows(known, {"batch": number, "id": batch_id}):
            self._repeated += 1
            return
        doubtful, self._doubtful = self._doubtful, True
        self._batch = events
        rows = 0
        for group in _groups(events):
            for start in range(0, len(group), self._config.max_batch_size):
                rows += self._write(group[start:start + self._config.max_batch_size], number, doubtful, start)
        line = json.dumps({"batch": number, "id": batch_id, "events": len(events), "rows": rows})
        client.insert("batches (batch, id, events, rows)", line.encode(), form="JSONEachRow")
        self._doubtful = False
        self._batch = ()
        self._batches += 1
        self._rows += rows

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def statistics(self) -> ClickHouseStatistics:
        """Counts so far."""
        return ClickHouseStatistics(self._batches, self._rows, self._repeated, self._repaired,
                                    self._scales.widened, self._rejected, len(self._scales))

    def _opened(self) -> HistoryClient:
        if self._client is None:
            raise StorageError(f"history {self._config.url} is not open")
        return self._client

    def _write(self, events: Sequence[MarketEvent], number: int, doubtful: bool, part: int) -> int:
        """Write events of one kind; returns the rows they make."""
        # A batch in several inserts has a number for each, so that each can be counted.
        number = (number + part) % 2**64
        encoded, events = self._encoded(events, number)
        if not events:
            return 0
        table = encoded.table
        found = _Found.NOTHING
        if doubtful and not table.replaces:
            found = self._take_back(encoded, events, number)
        struggled = False
        if found is not _Found.ALL:
            encoded, struggled = self._insert(encoded, events, number)
        if table is TABLES[Trade] and (doubtful or struggled):
            self._repair_candles(events, certain=struggled or found is not _Found.NOTHING)
        return encoded.rows

    def _insert(self, encoded: Encoded, events: Sequence[MarketEvent], number: int) -> tuple[Encoded, bool]:
        """Insert, mending what the engine refuses; tells whether it was refused at first."""
        client = self._opened()
        tried: list[str] = []
        while True:
            try:
                client.insert(encoded.table.into, encoded.block)
            except EngineRefused as refused:
                events = self._mended(refused, events, tried)
                self._take_back(encoded, events, number)
                encoded, events = self._encoded(events, number)
            else:
                return encoded, bool(tried)

    def _mended(
        self, refused: EngineRefused, events: Sequence[MarketEvent], tried: list[str]
    ) -> Sequence[MarketEvent]:
        """The events as the engine will take them; each remedy is tried once."""
        text = str(refused)
        if REPEATED_PRICE in text and "repeats" not in tried:
            tried.append("repeats")
            return [without_repeats(event) for event in events]
        if SCALE_REFUSED not in text or "odd" in tried:
            raise refused
        if "wider" in tried:
            tried.append("odd")
            self._odd |= self._scales.misfits(events)
        else:
            tried.append("wider")
            self._scales.widen(events)
            logger.warning("history: numbers finer than the known tick or lot; {} instrument(s) got other "
                           "scales", len(self._scales.pending))
        self._forget()
        self._store_instruments()
        return events

    def _take_back(self, encoded: Encoded, events: Sequence[MarketEvent], number: int) -> _Found:
        """Remove what a cut-off attempt left of this batch, unless all of it is there."""
        client, table = self._opened(), encoded.table.table
        first, last = min(e.received_us for e in events), max(e.received_us for e in events)
        where = (f"batch = {number} AND ts >= fromUnixTimestamp64Micro({first}) "
                 f"AND ts <= fromUnixTimestamp64Micro({last})")
        there = client.rows(f"SELECT count() FROM {table} WHERE {where}")[0][0]
        if there == encoded.rows:
            return _Found.ALL
        if there:
            client.execute(f"DELETE FROM {table} WHERE {where}")
            self._repaired += 1
        return _Found.PART if there else _Found.NOTHING

    def _repair_candles(self, events: Sequence[MarketEvent], *, certain: bool) -> None:
        client = self._opened()
        ids = ", ".join(map(str, self._scales.ids_of({event.instrument for event in events})))
        minutes = {e.exchange_us // 60_000_000 * 60 for e in events}
        of_bars = f"instrument IN ({ids}) AND ({_within('minute', minutes, 0, 0, 'toDateTime({}, {})')})"
        of_trades = (f"t.instrument IN ({ids}) AND ({_within('t.ts', minutes, -_DAY_SEC, _DAY_SEC)}) "
                     f"AND ({_within('t.exchange_us', minutes, 0, 0)})")
        if not certain:
            ((bars,),) = client.rows(f"SELECT sum(trades) FROM candle_1m WHERE {of_bars}")
            ((trades,),) = client.rows(f"SELECT count() FROM trade AS t WHERE {of_trades}")
            if bars == trades:
                return
        client.execute(f"DELETE FROM candle_1m WHERE {of_bars}")
        price, quantity = unscale("t.price", "i.price_scale"), unscale("t.quantity", "i.quantity_scale")
        source = (f"(SELECT t.instrument AS instrument, t.ts AS ts, t.exchange_us AS exchange_us, t.n AS n, "
                  f"{price} AS p, {quantity} AS q "
                  f"FROM trade AS t ANY LEFT JOIN v_instrument AS i USING (instrument) WHERE {of_trades})")
        client.execute(f"INSERT INTO candle_1m {candle_select(source)}")

    def _encoded(self, events: Sequence[MarketEvent], number: int) -> tuple[Encoded, Sequence[MarketEvent]]:
        try:
            return encode(events, self._written(events), number), events
        except OverflowError:
            kept = [event for event in events if _in_range(event)]
        self._rejected += len(events) - len(kept)
        logger.error("history: {} {} event(s) left out, their integers have more than 64 bits",
                     len(events) - len(kept), type(events[0]).__name__)
        if not kept:
            return Encoded(TABLES[type(events[0])], b"", 0), kept
        return encode(kept, self._written(kept), number), kept

    def _written(self, events: Sequence[MarketEvent]) -> list[Written]:
        """How each event's instrument is written.

        Looked up by the identity of the InstrumentId object, four times as fast as by its hash; ``_pins``
        keeps the objects alive, so that an identity cannot be given to another.
        """
        cache = self._cache
        try:
            written = [cache[id(e.instrument)] for e in events]
        except KeyError:
            self._learn(events)
            written = [cache[id(e.instrument)] for e in events]
        if self._odd:
            written = [self._scales.exact(event) if event.instrument in self._odd else plain
                       for event, plain in zip(events, written, strict=True)]
            self._store_instruments()
        return written

    def _learn(self, events: Sequence[MarketEvent]) -> None:
        # What is known of nobody yet is learnt from the whole batch, not from its first kind of event alone.
        unknown = [event for event in self._batch if self._scales.written(event.instrument) is None]
        if unknown:
            self._scales.widen(unknown)
            self._store_instruments()
        if len(self._cache) > _CACHE_LIMIT:
            self._forget()
        for event in events:
            written = self._scales.written(event.instrument)
            if id(event.instrument) not in self._cache and written is not None:
                self._cache[id(event.instrument)] = written
                self._pins.append(event.instrument)

    def _forget(self) -> None:
        self._cache.clear()
        self._pins.clear()

    def _store_instruments(self) -> None:
        pending = self._scales.pending
        if not pending or self._client is None:
            return
        lines = b"\n".join(msgspec.json.encode(attrs.asdict(row)) for row in pending)
        self._client.insert("instruments", lines, form="JSONEachRow")
        pending.clear()


def batch_number(batch_id: str) -> int:
    """The 64 bits by which rows know their batch."""
    return int.from_bytes(hashlib.blake2b(batch_id.encode(), digest_size=8).digest(), "little")


def _groups(events: Sequence[MarketEvent]) -> list[list[MarketEvent]]:
    groups: dict[type[MarketEvent], list[MarketEvent]] = {}
    for event in events:
        group = groups.get(type(event))
        if group is None:
            groups[type(event)] = [event]
        else:
            group.append(event)
    return list(groups.values())


def _in_range(event: MarketEvent) -> bool:
    return all(getattr(event, name) in _INT64 for name in event.__struct_fields__
               if isinstance(getattr(event, name), int))


def _within(
    column: str, minutes: Iterable[int], before_sec: int, after_sec: int,
    time: str = "toDateTime64({}, 6, {})",
) -> str:
    """SQL: the column lies in one of these minutes, or so many seconds around it; minutes that touch are one
    range."""
    ranges: list[tuple[int, int]] = []
    for minute in sorted(minutes):
        begin, end = minute + before_sec, minute + _MINUTE_SEC + after_sec
        if ranges and begin <= ranges[-1][1]:
            begin = ranges.pop()[0]
        ranges.append((begin, end))
    return " OR ".join(f"{column} >= {time.format(begin, _UTC)} AND {column} < {time.format(end, _UTC)}"
                       for begin, end in ranges)
