"""OKX's JSON as typed structs, and the decoders made of them. No logic beyond reading one message.

Every value is a string, ``""`` where there is none: ``strict=False`` turns quoted numbers into numbers in
C, and fields that may be empty stay text. Bounds in the types refuse what no market can mean (negative,
NaN, infinite, beyond 1e15) while decoding, at a twentieth of its cost.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from ctcore.errors import DecodeError
from ctcore.model.market import Side

ABSURD = 1e15

Price = Annotated[float, Meta(gt=0, le=ABSURD)]
Quantity = Annotated[float, Meta(ge=0, le=ABSURD)]
Signed = Annotated[float, Meta(ge=-ABSURD, le=ABSURD)]
TimeMs = Annotated[int, Meta(gt=0, lt=100_000_000_000_000)]
SequenceId = Annotated[int, Meta(ge=-1, le=1 << 62)]


class Arg(Struct, frozen=True, omit_defaults=True, rename={"symbol": "instId", "inst_type": "instType"}):
    """What a subscription is for: ``{"channel":"books","instId":"BTC-USDT"}``."""

    channel: str
    symbol: str = ""
    inst_type: str = ""


class Request(Struct):
    """``{"id":"s1","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}``."""

    id: str
    op: Literal["subscribe", "unsubscribe"]
    args: list[Arg]


class Head(Struct, rename={"conn_id": "connId"}):
    """What tells a frame's kind: data frames have ``arg`` and ``data``, all others ``event``."""

    event: str = ""
    arg: Arg | None = None
    id: str = ""
    code: str = ""
    msg: str = ""
    data: Raw = Raw(b"")


class Level(Struct, array_like=True, gc=False):
    """``["41006.8","0.60038921","0","1"]``: price, size; a dead field and the number of orders are not read.

    An array-like struct is the quickest way to two floats of four fields: 20 levels cost 2.3 us, as tuples
    of four 2.8 us.
    """

    price: Price
    quantity: Quantity


class BookRow(Struct, gc=False, rename={"seq": "seqId", "previous": "prevSeqId"}):
    """``{"asks":[],"bids":[],"ts":"1597026383085","checksum":0,"seqId":123457,"prevSeqId":123456}``.

    ``books5`` and ``bbo-tbt`` have neither checksum nor ``prevSeqId``; the form of 2022 had no ids at all.
    """

    bids: list[Level]
    asks: list[Level]
    ts: TimeMs
    seq: SequenceId | None = None
    previous: SequenceId | None = None
    checksum: int = 0


class BookFrame(Struct, gc=False):
    """``{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[BookRow]}``."""

    data: list[BookRow]
    action: Literal["snapshot", "update"] | None = None


class TextLevel(Struct, array_like=True, gc=False):
    """The same level with its strings as sent; whatever follows them is not read."""

    price: str
    size: str


class TextRow(Struct):
    """The same row with its strings as sent, for checksums."""

    bids: list[TextLevel]
    asks: list[TextLevel]


class TextFrame(Struct):
    """The same frame, for checksums."""

    data: list[TextRow]


class QuoteRow(Struct, rename={"seq": "seqId"}):
    """A quote of ``bbo-tbt``.

    ``{"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]],"ts","seqId"}``
    """

    bids: list[Level]
    asks: list[Level]
    ts: TimeMs
    seq: SequenceId = 0


class TradeRow(Struct, rename={"trade_id": "tradeId"}):
    """``{"instId":"BTC-USDT","tradeId":"674510827","px":"95635.3","sz":"0.00011194","side":"sell","ts":...}``."""

    trade_id: str
    px: Price
    sz: Quantity
    side: Side
    ts: TimeMs


class TickerRow(
    Struct,
    rename={"bid": "bidPx", "bid_size": "bidSz", "ask": "askPx", "ask_size": "askSz", "volume": "vol24h",
            "volume_currency": "volCcy24h"},
):  # fmt: skip
    """``{"instId","last":"9999.99","askPx":"","askSz":"","bidPx","bidSz","vol24h","volCcy24h","ts":...}``."""

    ts: TimeMs
    last: str = ""
    bid: str = ""
    bid_size: str = ""
    ask: str = ""
    ask_size: str = ""
    volume: str = ""
    volume_currency: str = ""


class CandleRow(Struct, array_like=True):
    """``["1597026383085","8533.02","8553.74","8527.17","8548.26","45247","529.58","5529.58","0"]``.

    ``ts, open, high, low, close, vol, volCcy, volCcyQuote, confirm``; the form of 2022 ended at ``volCcy``.
    """

    ts: TimeMs
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Quantity
    volume_currency: Quantity
    volume_quote: Quantity | None = None
    confirm: Literal["0", "1"] | None = None


class MarkRow(Struct, rename={"mark": "markPx"}):
    """``{"instType":"SWAP","instId":"BTC-USDT-SWAP","markPx":"84660.1","ts":"1744590349506"}``."""

    mark: Price
    ts: TimeMs


class FundingRow(Struct, rename={"rate": "fundingRate", "due": "fundingTime"}):
    """``{"fundingRate":"0.0001875","fundingTime":"1700726400000","instId":"BTC-USD-SWAP","ts":...}``."""

    rate: Signed
    due: TimeMs
    ts: TimeMs | None = None


class InterestRow(Struct):
    """``{"instType":"SWAP","instId":"LTC-USD-SWAP","oi":"5000","oiCcy":"555.55","ts":"1597026383085"}``."""

    oi: Quantity
    ts: TimeMs


class LiquidationDetail(Struct, rename={"price": "bkPx"}):
    """``{"bkLoss":"0","bkPx":"0.55205","ccy":"","posSide":"short","side":"buy","sz":"39","ts":...}``."""

    side: Side
    price: Price
    sz: Quantity
    ts: TimeMs


class LiquidationRow(Struct, rename={"symbol": "instId"}):
    """``{"details":[LiquidationDetail],"instFamily":"XRP-USD","instId":"XRP-USD-230929","instType":"FUTURES"}``."""

    symbol: str
    details: list[LiquidationDetail]


class InstrumentRow(
    Struct,
    rename={"symbol": "instId", "inst_type": "instType", "settle": "settleCcy", "tick_size": "tickSz",
            "lot_size": "lotSz", "min_quantity": "minSz", "max_quantity": "maxLmtSz",
            "contract_value": "ctVal", "contract_multiplier": "ctMult",
            "contract_type": "ctType", "expiry": "expTime"},
):  # fmt: skip
    """A row of ``public/instruments``; derivatives count contracts of ``ctVal * ctMult``."""

    symbol: str
    inst_type: str
    state: str
    tick_size: str = ""
    lot_size: str = ""
    min_quantity: str = ""
    max_quantity: str = ""
    settle: str = ""
    contract_value: str = ""
    contract_multiplier: str = ""
    contract_type: str = ""
    expiry: str = ""


class _Quotes(Struct):
    data: list[QuoteRow]


class _Trades(Struct):
    data: list[TradeRow]


class _Tickers(Struct):
    data: list[TickerRow]


class _Candles(Struct):
    data: list[CandleRow]


class _Marks(Struct):
    data: list[MarkRow]


class _Fundings(Struct):
    data: list[FundingRow]


class _Interests(Struct):
    data: list[InterestRow]


class _Liquidations(Struct):
    data: list[LiquidationRow]


class _Instruments(Struct):
    data: list[Raw]


class _Named(Struct, rename={"symbol": "instId"}):
    symbol: str


class _Event(Struct):
    event: str
    id: Any = ""
    code: Any = ""
    msg: Any = ""


class _Envelope(Struct):
    code: str | int = ""
    msg: str = ""


HEAD = msgspec.json.Decoder(Head, strict=False)
BOOK = msgspec.json.Decoder(BookFrame, strict=False)
BOOK_TEXT = msgspec.json.Decoder(TextFrame)
QUOTES = msgspec.json.Decoder(_Quotes, strict=False)
TRADES = msgspec.json.Decoder(_Trades, strict=False)
TICKERS = msgspec.json.Decoder(_Tickers, strict=False)
CANDLES = msgspec.json.Decoder(_Candles, strict=False)
MARKS = msgspec.json.Decoder(_Marks, strict=False)
FUNDINGS = msgspec.json.Decoder(_Fundings, strict=False)
INTERESTS = msgspec.json.Decoder(_Interests, strict=False)
LIQUIDATIONS = msgspec.json.Decoder(_Liquidations, strict=False)
INSTRUMENTS = msgspec.json.Decoder(_Instruments)
INSTRUMENT = msgspec.json.Decoder(InstrumentRow)
REQUEST = msgspec.json.Encoder()
_NAMED = msgspec.json.Decoder(_Named)
_EVENT = msgspec.json.Decoder(_Event)
_ENVELOPE = msgspec.json.Decoder(_Envelope, strict=False)
_ANYTHING = msgspec.json.Decoder(dict[str, Any])

NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding bytes from outside may raise; callers turn it into :class:`DecodeError`."""


def head_of(frame: bytes) -> Head:
    """What a frame is. An event whose other fields are of unexpected types is still that event."""
    try:
        return HEAD.decode(frame)
    except msgspec.ValidationError:
        try:
            event = _EVENT.decode(frame)
        except msgspec.ValidationError:
            event = _Event("")
        if not event.event:
            raise
        return Head(event.event, id=_text(event.id), code=_text(event.code), msg=_text(event.msg))


def _text(field: Any) -> str:
    return "" if field is None else str(field)


def name_of(row: Raw) -> str:
    """The ``instId`` of a catalogue row that may be odd otherwise."""
    try:
        return _NAMED.decode(row).symbol
    except NOT_JSON:
        return "without instId"


def envelope(body: bytes) -> tuple[str, str]:
    """``code`` and ``msg`` of a REST answer; empty when it has none, as an HTML page of a proxy."""
    try:
        head = _ENVELOPE.decode(body)
    except NOT_JSON:
        return "", body[:80].decode("utf-8", "replace")
    return str(head.code), head.msg


def anything(frame: bytes) -> dict[str, Any]:
    """A frame as a plain dict, for showing; raises :class:`DecodeError`."""
    try:
        return _ANYTHING.decode(frame)
    except NOT_JSON as error:
        raise DecodeError(f"not a JSON object: {error}", kind="json") from error
