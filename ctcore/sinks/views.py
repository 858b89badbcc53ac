"""The views of history: names and floats back. Part of :mod:`ctcore.sinks.schema`.

Filter by ``instrument`` (see ``v_instrument``) where speed matters: it leads the key of every table.
"""
# ruff: noqa: S608  the texts are made of our own names and of integers

from __future__ import annotations

from collections.abc import Iterator

SIDES = ("bid_prices", "bid_quantities", "ask_prices", "ask_quantities")


def unscale(column: str, scale: str) -> str:
    """SQL that turns a scaled Int64 back into the float that was received, bit for bit."""
    return f"if({scale} < 0, reinterpretAsFloat64({column}), {column} / intExp10({scale}))"


V_INSTRUMENT = """
CREATE VIEW IF NOT EXISTS v_instrument AS
SELECT id AS instrument, {} , max(valid_from) AS described FROM instruments AS i GROUP BY id""".format(
    ", ".join(f"argMax(i.{c}, i.valid_from) AS {c}" for c in
              ("exchange", "market", "pair", "symbol", "kind", "price_scale", "quantity_scale", "tick", "lot",
               "contract_size", "inverse")))

_NAMES = "i.exchange AS exchange, i.market AS market, i.pair AS pair"
_PRICE = unscale("r.price", "i.price_scale")
_QUANTITY = unscale("r.quantity", "i.quantity_scale")


def _base(quantity: str, price: str) -> str:
    return f"if(i.inverse, {quantity} * i.contract_size / {price}, {quantity} * i.contract_size)"


def _view(table: str, columns: str) -> str:
    return f"""CREATE VIEW IF NOT EXISTS v_{table} AS
SELECT {_NAMES}, r.ts AS ts, r.exchange_us AS exchange_us, {columns}, r.instrument AS instrument
FROM {table} AS r ANY LEFT JOIN v_instrument AS i USING (instrument)"""


def _plain(*columns: str) -> str:
    return ", ".join(f"r.{column} AS {column}" for column in columns)


def view_statements() -> Iterator[str]:
    """The statements that create every view, in order."""
    yield V_INSTRUMENT
    both = f"{_PRICE} AS price, {_QUANTITY} AS quantity, {_base(_QUANTITY, _PRICE)} AS base_quantity"
    yield _view("book_delta", f"{_plain('seq', 'side')}, {both}")
    yield _view("book_snapshot", f"{_plain('seq')}, " + ", ".join(
        f"arrayMap(v -> {unscale('v', 'i.' + scale)}, r.{side}) AS {side}"
        for side, scale in zip(SIDES, ("price_scale", "quantity_scale") * 2, strict=True)))
    yield _view("trade", f"{_plain('n', 'trade_id', 'side')}, {both}")
    yield _view("ticker", _plain("seq", "bid", "bid_quantity", "ask", "ask_quantity", "last", "volume_24h",
                                 "quote_volume_24h"))
    yield _view("mark", _plain("mark_price", "index_price"))
    yield _view("funding", _plain("rate", "funding_us"))
    yield _view("open_interest", _plain("quantity"))
    base = _base("r.quantity", "r.price")
    yield _view("liquidation", f"{_plain('side', 'price', 'quantity')}, {base} AS base_quantity")
    yield f"""CREATE VIEW IF NOT EXISTS v_candle AS
SELECT {_NAMES}, {_plain('interval', 'open_us', 'open', 'high', 'low', 'close', 'volume', 'quote_volume',
                         'closed', 'ts')}, r.instrument AS instrument
FROM (SELECT * FROM candle FINAL) AS r ANY LEFT JOIN v_instrument AS i USING (instrument)"""
    yield f"""CREATE VIEW IF NOT EXISTS v_candle_1m AS
SELECT {_NAMES}, r.minute AS minute, argMinMerge(r.open) AS open, max(r.high) AS high, min(r.low) AS low,
    argMaxMerge(r.close) AS close, sum(r.volume) AS volume, sum(r.quote_volume) AS quote_volume,
    sum(r.trades) AS trades
FROM candle_1m AS r ANY LEFT JOIN v_instrument AS i USING (instrument)
GROUP BY exchange, market, pair, minute"""
    yield f"""CREATE VIEW IF NOT EXISTS v_gap AS
SELECT {_NAMES}, r.channel AS channel, r.begin_us AS begin_us, max(r.end_us) AS end_us,
    argMin(r.reason, r.ts) AS reason, argMin(r.detail, r.ts) AS detail,
    min(r.ts) AS opened,
    if(countIf(r.end_us IS NOT NULL) = 0, NULL, maxIf(r.ts, r.end_us IS NOT NULL)) AS closed
FROM gap AS r ANY LEFT JOIN v_instrument AS i USING (instrument)
GROUP BY exchange, market, pair, channel, begin_us"""
