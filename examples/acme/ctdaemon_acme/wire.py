"""What ACME sends and wants, as typed frames. Knows nothing of connections.

::

    -> {"subscribe":["book:BTCUSDT","trade:BTCUSDT"]}
    <- {"t":"ok","topics":["book:BTCUSDT","trade:BTCUSDT"]}
    <- {"t":"refused","topic":"book:NOPE","why":"not listed"}
    <- {"t":"book","s":"BTCUSDT","us":1769860800000000,"first":41,"last":43,
        "bids":[["64250.10","0.5"]],"asks":[["64251.00","0"]]}
    <- {"t":"trade","s":"BTCUSDT","us":1769860800000000,"id":7,"p":"64250.10","q":"0.02","side":"buy"}
    <- {"t":"bye","why":"maintenance"}                              ten seconds before the socket ends
    GET /instruments     [{"symbol":"BTCUSDT","base":"BTC","quote":"USDT","tick":"0.01","lot":"0.00001"}]
    GET /book?symbol=X   {"us":1769860800000000,"last":42,"bids":[...],"asks":[...]}
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias

import msgspec

Levels: TypeAlias = list[tuple[float, float]]


class BookFrame(msgspec.Struct, frozen=True, tag_field="t", tag="book"):
    """Changes of a book, update ids ``first`` to ``last``; quantity 0 deletes a price."""

    s: str
    us: int
    first: int
    last: int
    bids: Levels
    asks: Levels


class TradeFrame(msgspec.Struct, frozen=True, tag_field="t", tag="trade"):
    """One trade."""

    s: str
    us: int
    id: int
    p: float
    q: float
    side: str


class OkFrame(msgspec.Struct, frozen=True, tag_field="t", tag="ok"):
    """These topics are subscribed."""

    topics: list[str]


class RefusedFrame(msgspec.Struct, frozen=True, tag_field="t", tag="refused"):
    """This topic is not to be had."""

    topic: str
    why: str


class ByeFrame(msgspec.Struct, frozen=True, tag_field="t", tag="bye"):
    """The connection will end soon."""

    why: str


class BookPicture(msgspec.Struct, frozen=True):
    """Answer of ``/book``: the whole book as of update ``last``."""

    us: int
    last: int
    bids: Levels
    asks: Levels


class InstrumentRow(msgspec.Struct, frozen=True):
    """One row of ``/instruments``."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal


Frame: TypeAlias = BookFrame | TradeFrame | OkFrame | RefusedFrame | ByeFrame

# strict=False reads the numbers that ACME puts in quotes, in C.
FRAME: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame, strict=False)
PICTURE = msgspec.json.Decoder(BookPicture, strict=False)
INSTRUMENTS = msgspec.json.Decoder(list[InstrumentRow], strict=False)
