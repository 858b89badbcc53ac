"""A batch of events as bytes and back: MessagePack of plain lists. Pure.

``[version, batch id, [[exchange, market, pair], ...], [[kind, instrument, the event's other fields ...],
...]]``, where ``instrument`` counts in the list before. A field that a later version of an event gains at
its end is missing in what was written earlier and takes its default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from loguru import logger

from ctcore.errors import DecodeError
from ctcore.model.ids import Channel, InstrumentId, Market
from ctcore.model.market import (
    BookDelta,
    BookSnapshot,
    Candle,
    FundingRate,
    Gap,
    GapReason,
    Level,
    Liquidation,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    Side,
    Ticker,
    Trade,
)

_VERSION = 1

# A kind's number is its place: append only.
_KINDS: tuple[type[MarketEvent], ...] = (
    BookSnapshot, BookDelta, Trade, Ticker, Candle, MarkPrice, FundingRate, OpenInterest, Liquidation, Gap,
)
_NUMBER_OF = {kind: number for number, kind in enumerate(_KINDS)}


def _levels(value: list[list[float]]) -> list[Level]:
    return [(price, quantity) for price, quantity in value]


_BACK: dict[str, Callable[[Any], Any]] = {
    "bids": _levels, "asks": _levels, "side": Side, "channel": Channel, "reason": GapReason,
}
_FIELDS = [
    [(place, _BACK[name]) for place, name in enumerate(kind.__struct_fields__[1:]) if name in _BACK]
    for kind in _KINDS
]


def pack(batch_id: str, events: Sequence[MarketEvent]) -> bytes:
    """Encode a batch without events whose integers have more than 64 bits: no sink could keep them."""
    try:
        return _pack(batch_id, events)
    except OverflowError:
        kept = [event for event in events if _packs(event)]
    logger.error("spool: {} event(s) of batch {} left out, their integers have more than 64 bits",
                 len(events) - len(kept), batch_id)
    return _pack(batch_id, kept)


def _packs(event: MarketEvent) -> bool:
    try:
        _pack("", [event])
    except OverflowError:
        return False
    return True


def _pack(batch_id: str, events: Sequence[MarketEvent]) -> bytes:
    places: dict[InstrumentId, int] = {}
    rows: list[tuple[Any, ...]] = []
    for event in events:
        place = places.setdefault(event.instrument, len(places))
        rows.append((_NUMBER_OF[type(event)], place, *msgspec.structs.astuple(event)[1:]))
    names = [(i.exchange, i.market, i.pair) for i in places]
    return msgspec.msgpack.encode((_VERSION, batch_id, names, rows))


def unpack(data: bytes) -> tuple[str, list[MarketEvent]]:
    """Decode a batch into its id and events; raises :class:`DecodeError` for anything else."""
    try:
        version, batch_id, names, rows = msgspec.msgpack.decode(data)
        if version != _VERSION:
            raise DecodeError(f"a spooled batch of version {version!r}, not {_VERSION}", kind="spool")
        instruments = [InstrumentId(exchange, Market(market), pair) for exchange, market, pair in names]
        return str(batch_id), [_event(row, instruments) for row in rows]
    except (msgspec.DecodeError, ValueError, TypeError, IndexError) as error:
        raise DecodeError(f"a spooled batch cannot be read: {error}", kind="spool") from error


def _event(row: list[Any], instruments: list[InstrumentId]) -> MarketEvent:
    kind, place, *fields = row
    for index, back in _FIELDS[kind]:
        fields[index] = back(fields[index])
    made: MarketEvent = _KINDS[kind](instruments[place], *fields)
    return made
