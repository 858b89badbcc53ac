"""Binance's wire as msgspec structs and decoders, with only the fields that are read. Knows no event of
ctcore.

Sources: ``web-socket-streams.md`` and ``rest-api.md`` of binance/binance-spot-api-docs for spot, the official
``binance-connector-python`` for USD-M futures. Prices and quantities are quoted decimals on the wire and
become floats in the decoder; its constraints refuse NaN, infinities, negative and absurd numbers there, at no
cost here.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that are not what it reads; brackets nested too deep are the last."""

Price = Annotated[float, Meta(gt=0, le=1e15)]
Quantity = Annotated[float, Meta(ge=0, le=1e18)]
Volume = Annotated[float, Meta(ge=0, le=1e24)]
Levels = list[tuple[Price, Quantity]]
Ms = Annotated[int, Meta(ge=0, lt=10**14)]
"""Milliseconds since 1970; the optional microseconds of ``timeUnit=MICROSECOND`` are not asked for."""
UpdateId = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]


class Head(Struct):
    """What tells the kind of a frame that carries no stream name, and of the answers to our own requests.

    ``{"result":null,"id":1}`` · ``{"error":{"code":2,"msg":"Invalid request: ..."},"id":1}`` ·
    ``{"code":2,"msg":"Invalid request: ...","id":1}`` · ``{"e":"serverShutdown","E":1770123456789}``
    """

    e: str = ""
    id: int | str | None = None
    result: Any = msgspec.UNSET
    error: Any = msgspec.UNSET
    code: int | None = None
    msg: str = ""
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    lastUpdateId: Any = msgspec.UNSET  # noqa: N815  the wire's name
    u: Any = msgspec.UNSET


class Depth(Struct):
    """Changes of a book, absolute quantities, 0 deletes. Spot::

        {"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":50093239189,"u":50093239202,
         "b":[["61737.63","0.00"]],"a":[["61837.64","1.54"]]}

    Futures add ``T`` (time of the matching engine) and ``pu`` (``u`` of the event before). The partial
    streams of futures (``@depth5|10|20``) have the same shape with the whole window in it.
    """

    s: Name
    E: Ms
    U: UpdateId
    u: UpdateId
    b: Levels
    a: Levels
    T: Ms = 0
    pu: Annotated[int, Meta(ge=-1, le=2**63 - 1)] = -1


class PartialDepth(Struct):
    """``{"lastUpdateId":160,"bids":[[..]],"asks":[[..]]}``: spot's ``@depth5|10|20``, no symbol, no time.

    The answer of ``/depth`` is the same; that of futures adds ``E`` and ``T``.
    """

    lastUpdateId: UpdateId  # noqa: N815  the wire's name
    bids: Levels
    asks: Levels
    E: Ms = 0
    T: Ms = 0


class BookTicker(Struct):
    """``{"u":400900217,"s":"BNBUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66"}``.

    Futures add ``e``, ``E`` and ``T``. A side that is empty has price and quantity 0.
    """

    s: Name
    u: UpdateId
    b: Quantity
    B: Quantity
    a: Quantity
    A: Quantity
    E: Ms = 0
    T: Ms = 0


class Trade(Struct):
    """``{"e":"trade","E":..,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":..,"m":true}``.

    ``m``: the buyer is the maker, so the taker sold. Futures add ``X``: MARKET, or INSURANCE_FUND or ADL for
    what is no trade of the market.
    """

    s: Name
    t: UpdateId
    p: Quantity
    q: Quantity
    T: Ms
    m: bool
    X: str = ""


class AggTrade(Struct):
    """Trades of one taker order at one price; ``a`` is the aggregate's own id.

    ``{"e":"aggTrade","E":..,"s":"BTCUSDT","a":5933014,"p":"0.001","q":"100","f":100,"l":105,"T":..,"m":true}``
    """

    s: Name
    a: UpdateId
    p: Price
    q: Quantity
    T: Ms
    m: bool


class DayTicker(Struct):
    """Rolling 24 hours: ``{"e":"24hrTicker","E":..,"s":"BNBBTC","c":"0.0025","v":"10000","q":"18",...}``.

    Spot adds the best bid and ask ``b B a A``, which are not read. ``24hrMiniTicker`` has no more than c, v,
    q; ``1hTicker`` and its like are of another window.
    """

    s: Name
    E: Ms
    c: Quantity
    v: Volume
    q: Volume
    st: int = 1


class Bar(Struct):
    """The ``k`` of a :class:`Kline`."""

    t: Ms
    i: Name
    o: Price
    h: Price
    l: Price  # noqa: E741  the wire's name
    c: Price
    v: Volume
    q: Volume
    x: bool


class Kline(Struct):
    """``{"e":"kline","E":..,"s":"BTCUSDT","k":{"t":..,"i":"1m","o":"..","h":"..",...,"x":false}}``.

    ``continuous_kline`` names pair ``ps`` and contract type ``ct`` instead of ``s``.
    """

    E: Ms
    k: Bar
    s: str = ""
    ps: str = ""
    ct: str = ""


class MarkPrice(Struct):
    """``{"e":"markPriceUpdate","E":..,"s":"BTCUSDT","p":"11794.15","i":"11784.62","r":"0.00038167","T":..}``.

    ``r`` is empty and ``T`` 0 for contracts without funding; ``i`` may be missing.
    """

    s: Name
    E: Ms
    p: Price
    i: str = ""
    r: str = ""
    T: Ms = 0
    st: int = 1


class ForcedOrder(Struct):
    """The ``o`` of a :class:`ForceOrder`.

    ``S`` side, ``p`` and ``ap`` price asked and met, ``q`` and ``z`` quantity asked and filled.
    """

    s: Name
    S: str
    p: Quantity
    ap: Quantity
    q: Quantity
    z: Quantity
    T: Ms


class ForceOrder(Struct):
    """``{"e":"forceOrder","E":..,"o":{"s":"BTCUSDT","S":"SELL","q":"0.014","p":"9910",...}}``."""

    o: ForcedOrder
    st: int = 1


class OpenInterest(Struct):
    """``{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}``."""

    symbol: Name
    openInterest: Volume  # noqa: N815  the wire's name
    time: Ms


class Filter(Struct, rename="camel"):
    """One filter of a symbol; which fields it has depends on ``filterType``."""

    filter_type: str
    tick_size: str = ""
    step_size: str = ""
    min_qty: str = ""
    max_qty: str = ""
    min_notional: str = ""
    notional: str = ""


class SymbolRow(Struct, rename="camel"):
    """A row of ``/api/v3/exchangeInfo`` or ``/fapi/v1/exchangeInfo``; see :mod:`ctdaemon_binance.symbols`."""

    symbol: Name
    status: str
    base_asset: str
    quote_asset: str
    filters: list[Filter]
    margin_asset: str = ""
    contract_type: str = ""
    delivery_date: Ms = 0
    base_asset_precision: int = 8
    quote_asset_precision: int = 8
    price_precision: int | None = None
    quantity_precision: int | None = None


class SymbolName(Struct):
    """What is left of a :class:`SymbolRow` that cannot be read."""

    symbol: Any = None


class ExchangeInfo(Struct):
    """The catalogue of a market; each row is decoded by itself, so that an odd one costs no other."""

    symbols: list[msgspec.Raw]


class ErrorBody(Struct):
    """``{"code":-1121,"msg":"Invalid symbol."}``; some gateways quote the code."""

    code: int
    msg: str = ""


HEAD = msgspec.json.Decoder(Head)
ROWS = msgspec.json.Decoder(list[msgspec.Raw])
DEPTH = msgspec.json.Decoder(Depth, strict=False)
PARTIAL_DEPTH = msgspec.json.Decoder(PartialDepth, strict=False)
BOOK_TICKER = msgspec.json.Decoder(BookTicker, strict=False)
TRADE = msgspec.json.Decoder(Trade, strict=False)
AGG_TRADE = msgspec.json.Decoder(AggTrade, strict=False)
DAY_TICKER = msgspec.json.Decoder(DayTicker, strict=False)
KLINE = msgspec.json.Decoder(Kline, strict=False)
MARK_PRICE = msgspec.json.Decoder(MarkPrice, strict=False)
FORCE_ORDER = msgspec.json.Decoder(ForceOrder, strict=False)
OPEN_INTEREST = msgspec.json.Decoder(OpenInterest, strict=False)
EXCHANGE_INFO = msgspec.json.Decoder(ExchangeInfo, strict=False)
SYMBOL_ROW = msgspec.json.Decoder(SymbolRow, strict=False)
SYMBOL_NAME = msgspec.json.Decoder(SymbolName)
ERROR_BODY = msgspec.json.Decoder(ErrorBody, strict=False)
