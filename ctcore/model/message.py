"""The unified message: one JSON form for every event of every exchange, on every way out of ctcore.

``{"type", "exchange", "market", "pair", "timestamp", "received", "seq", "data"}`` with times in microseconds.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ctcore.model.market import (
    CHANNEL_OF,
    BookDelta,
    BookSnapshot,
    FeedStatus,
    Gap,
    MarketEvent,
    Ticker,
)

_HEAD = frozenset({"instrument", "exchange_us", "received_us", "seq"})


class Message(msgspec.Struct, frozen=True):
    """The unified message; ``data`` holds what is peculiar to the type."""

    type: str
    exchange: str
    market: str
    pair: str
    timestamp: int
    received: int
    seq: int
    data: dict[str, Any]


def message_of(event: MarketEvent | FeedStatus) -> Message:
    """The unified form of an event; order books tell ``"kind": "snapshot" | "delta"`` in their data."""
    if isinstance(event, FeedStatus):
        return Message("status", event.exchange, event.market, "", event.received_us, event.received_us, 0,
                       {"connection": event.connection, "state": event.state, "detail": event.detail})
    kind = "gap" if isinstance(event, Gap) else str(CHANNEL_OF[type(event)])
    seq = event.seq if isinstance(event, BookSnapshot | BookDelta | Ticker) else 0
    data = {name: getattr(event, name) for name in event.__struct_fields__ if name not in _HEAD}
    if kind == "orderbook":
        data = {"kind": "snapshot" if isinstance(event, BookSnapshot) else "delta", **data}
    instrument = event.instrument
    return Message(kind, instrument.exchange, instrument.market, instrument.pair,
                   event.exchange_us, event.received_us, seq, data)


_ENCODER = msgspec.json.Encoder()


def to_json(event: MarketEvent | FeedStatus) -> bytes:
    """The unified message as one line of JSON, without the newline."""
    return _ENCODER.encode(message_of(event))
