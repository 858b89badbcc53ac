"""The public REST calls of the simulated Binance: ``/api/v3`` and ``/fapi/v1``, weights, limits, refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, TypeAlias

import msgspec

from ctcore.contracts.driver import RateLimit
from ctcore.errors import RateLimited, RequestRefused, UnknownInstrument, VenueError
from ctcore.model.ids import Market
from ctcore.model.time import US_PER_MS
from ctcore.sim import INTERVALS, RateWindows, SimMarket, SimRequest, SimResponse, Usage
from ctdaemon_binance.rest import API, WEIGHT_BUCKETS, depth_weight
from ctdaemon_binance.simulator_rows import Printer, aggregated, ms

CAPACITY = {Market.SPOT: 6000, Market.FUTURES: 2400}
_BAN_AFTER = 20
_FUTURES_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_MOST_CANDLES = {Market.SPOT: 1000, Market.FUTURES: 1500}
_KEYED = (
    "order", "account", "openOrders", "allOrders", "myTrades", "userTrades", "balance", "positionRisk",
    "listenKey", "batchOrders", "leverage", "marginType", "allOpenOrders", "income", "commissionRate",
)  # fmt: skip

Query: TypeAlias = Mapping[str, str]
Call: TypeAlias = Callable[[Query, int], Any]
Weight: TypeAlias = Callable[[Query], int]


class RestCalls:
    """Answers the calls of one market; ``now_us`` is the market's time."""

    def __init__(self, kind: Market, market: SimMarket) -> None:
        self.kind = kind
        self._market = market
        self._printers = {item.symbol: Printer(item) for item in market}
        self._bucket = WEIGHT_BUCKETS[kind]
        self._windows = RateWindows([RateLimit(self._bucket, CAPACITY[kind], 60.0)], ban_after=_BAN_AFTER)
        self._calls: dict[str, tuple[Call, Weight]] = self._shared()
        self._calls |= self._of_spot() if kind is Market.SPOT else self._of_futures()

    def answer(self, request: SimRequest, now_us: int) -> SimResponse:
        """Answer one call; raises :class:`VenueError` with the venue's code for those that are refused."""
        name = request.path.removeprefix(API[self.kind] + "/")
        if name.split("/")[0] in _KEYED:
            raise RequestRefused("API-key format invalid.", code="-2014", status=401)
        if name not in self._calls:
            raise VenueError("path not found", code="-1000", status=404)
        if request.method != "GET":
            text = f"Request method '{request.method}' is not supported."
            raise RequestRefused(text, code="-1000", status=405)
        call, weight = self._calls[name]
        usage = self._windows.take(request.peer, self._bucket, weight(request.query), now_us)
        if not usage.allowed:
            raise _limited(usage, now_us)
        headers = {"x-mbx-used-weight": str(usage.used), "x-mbx-used-weight-1m": str(usage.used)}
        return SimResponse.json(call(request.query, now_us), headers=headers)

    def _shared(self) -> dict[str, tuple[Call, Weight]]:
        is_spot = self.kind is Market.SPOT
        return {
            "ping": (lambda _, __: {}, _flat(1)),
            "time": (lambda _, now_us: {"serverTime": ms(now_us)}, _flat(1)),
            "exchangeInfo": (self._exchange_info, _flat(20 if is_spot else 1)),
            "depth": (self._depth, self._depth_weight),
            "trades": (self._trades, _flat(25 if is_spot else 5)),
            "historicalTrades": (self._trades, _flat(25 if is_spot else 20)),
            "aggTrades": (self._aggregates, _flat(4 if is_spot else 20)),
            "klines": (self._candles, _flat(2) if is_spot else _candles_weight),
            "ticker/24hr": (self._day, _one_or_all(2, 80) if is_spot else _one_or_all(1, 40)),
            "ticker/price": (self._price, _one_or_all(2, 4) if is_spot else _one_or_all(1, 2)),
            "ticker/bookTicker": (self._best, _one_or_all(2, 4) if is_spot else _one_or_all(2, 5)),
        }

    def _of_spot(self) -> dict[str, tuple[Call, Weight]]:
        return {"uiKlines": (self._candles, _flat(2))}

    def _of_futures(self) -> dict[str, tuple[Call, Weight]]:
        return {
            "premiumIndex": (self._premium, _one_or_all(1, 10)),
            "fundingRate": (self._fundings, _flat(1)),
            "fundingInfo": (lambda _, __: [], _flat(1)),  # every contract has the default 8 hours
            "openInterest": (self._open_interest, _flat(1)),
        }

    def _exchange_info(self, query: Query, now_us: int) -> Any:
        rows = [printer.instrument(self._market.start_us) for printer in self._asked(query)]
        limits = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
             "limit": CAPACITY[self.kind]},
        ]  # fmt: skip
        head = {"timezone": "UTC", "serverTime": ms(now_us), "rateLimits": limits, "exchangeFilters": []}
        return {**head, "symbols": rows} if self.kind is Market.SPOT else {
            **head, "futuresType": "U_MARGINED", "assets": [], "symbols": rows,
        }  # fmt: skip

    def _depth(self, query: Query, now_us: int) -> Any:
        printer = self._one(query)
        levels = printer.item.book.levels(self._depth_limit(query))
        book = {"bids": printer.levels(levels.bids), "asks": printer.levels(levels.asks)}
        if printer.is_spot:
            return {"lastUpdateId": levels.update_id, **book}
        changed = ms(levels.changed_us or now_us)
        return {"lastUpdateId": levels.update_id, "E": ms(now_us), "T": changed, **book}

    def _depth_limit(self, query: Query) -> int:
        if self.kind is Market.SPOT:
            return _number(query, "limit", 100, 5000)
        limit = _number(query, "limit", 500, 10_000)
        if limit not in _FUTURES_DEPTHS:
            raise _bad("limit")
        return limit

    def _depth_weight(self, query: Query) -> int:
        return depth_weight(self.kind, self._depth_limit(query))

    def _trades(self, query: Query, now_us: int) -> Any:  # noqa: ARG002  the signature of a call
        printer, limit = self._one(query), _number(query, "limit", 500, 1000)
        trades = printer.item.recent_trades(len(printer.item.trades))
        start = _number(query, "fromId", 0, 2**62)
        found = [trade for trade in trades if trade.trade_id >= start]
        return [printer.trade(trade) for trade in (found[:limit] if start else found[-limit:])]

    def _aggregates(self, query: Query, now_us: int) -> Any:
        printer, limit = self._one(query), _number(query, "limit", 500, 1000)
        item = printer.item
        first_id = _number(query, "fromId", 0, 2**62)
        begin_us, end_us = _span(query, now_us)
        rows = [
            row for row in aggregated(item.recent_trades(len(item.trades)))
            if row.first.trade_id >= first_id and begin_us <= row.first.us <= end_us
        ]  # fmt: skip
        from_the_first = first_id or begin_us
        return [printer.aggregate(row) for row in (rows[:limit] if from_the_first else rows[-limit:])]

    def _candles(self, query: Query, now_us: int) -> Any:
        printer = self._one(query)
        interval = query.get("interval", "")
        if interval not in INTERVALS or (interval == "1s" and self.kind is Market.FUTURES):
            raise RequestRefused("Invalid interval.", code="-1120", status=400)
        limit = _number(query, "limit", 500, _MOST_CANDLES[self.kind])
        begin_us, end_us = _span(query, now_us)
        bars = printer.item.candles(interval, limit, begin_us=begin_us or None, end_us=end_us)
        return [printer.candle(bar) for bar in bars]

    def _day(self, query: Query, now_us: int) -> Any:
        return self._each(query, lambda printer: _day_row(printer, now_us))

    def _price(self, query: Query, now_us: int) -> Any:
        def row(printer: Printer) -> dict[str, Any]:
            price = {"symbol": printer.symbol, "price": printer.price(printer.item.last_price)}
            return price if printer.is_spot else {**price, "time": ms(now_us)}

        return self._each(query, row)

    def _best(self, query: Query, now_us: int) -> Any:
        def row(printer: Printer) -> dict[str, Any]:
            best = _best_row(printer)
            book = printer.item.book
            return best if printer.is_spot else {"lastUpdateId": book.update_id, **best, "time": ms(now_us)}

        return self._each(query, row)

    def _premium(self, query: Query, now_us: int) -> Any:
        def row(printer: Printer) -> dict[str, Any]:
            marks = printer.marks()
            return {
                "symbol": printer.symbol, "markPrice": marks["p"], "indexPrice": marks["i"],
                "estimatedSettlePrice": marks["P"], "lastFundingRate": marks["r"],
                "interestRate": "0.00010000", "nextFundingTime": marks["T"], "time": ms(now_us),
            }  # fmt: skip

        return self._each(query, row)

    def _fundings(self, query: Query, now_us: int) -> Any:
        printers = [self._one(query)] if "symbol" in query else list(self._printers.values())
        limit = _number(query, "limit", 100, 1000)
        begin_us, end_us = _span(query, now_us)
        rows = sorted(
            (row["fundingTime"], row["symbol"], row)
            for printer in printers
            for row in map(printer.funding, printer.item.fundings(limit))
            if begin_us <= row["fundingTime"] * US_PER_MS <= end_us
        )
        return [row for _, _, row in (islice(rows, limit) if begin_us else rows[-limit:])]

    def _open_interest(self, query: Query, now_us: int) -> Any:
        printer = self._one(query)
        derivative = printer.item.derivative
        lots = derivative.open_interest if derivative else 0
        return {"openInterest": printer.quantity(lots), "symbol": printer.symbol, "time": ms(now_us)}

    def _one(self, query: Query) -> Printer:
        symbol = query.get("symbol", "")
        if not symbol:
            raise RequestRefused(
                "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.",
                code="-1102", status=400,
            )  # fmt: skip
        return self._find(symbol)

    def _find(self, symbol: str) -> Printer:
        printer = self._printers.get(symbol)
        if printer is None:
            raise UnknownInstrument("Invalid symbol.", code="-1121", status=400)
        return printer

    def _asked(self, query: Query) -> list[Printer]:
        """By ``symbol``, ``symbols`` (a JSON list, spot alone), or all."""
        if "symbol" in query:
            return [self._one(query)]
        if "symbols" in query and self.kind is Market.SPOT:
            try:
                symbols = msgspec.json.decode(query["symbols"], type=list[str])
            except msgspec.MsgspecError:
                raise _bad("symbols") from None
            return [self._find(symbol) for symbol in symbols]
        return list(self._printers.values())

    def _each(self, query: Query, row: Callable[[Printer], Any]) -> Any:
        rows = [row(printer) for printer in self._asked(query)]
        return rows[0] if "symbol" in query else rows


def _day_row(printer: Printer, now_us: int) -> dict[str, Any]:
    day = printer.day(now_us)
    row = {
        "symbol": printer.symbol, "priceChange": day["p"], "priceChangePercent": day["P"],
        "weightedAvgPrice": day["w"], "lastPrice": day["c"], "lastQty": day["Q"], "openPrice": day["o"],
        "highPrice": day["h"], "lowPrice": day["l"], "volume": day["v"], "quoteVolume": day["q"],
        "openTime": day["O"], "closeTime": day["C"], "firstId": day["F"], "lastId": day["L"],
        "count": day["n"],
    }  # fmt: skip
    return {**row, "prevClosePrice": day["o"], **_best_row(printer)} if printer.is_spot else row


def _best_row(printer: Printer) -> dict[str, Any]:
    best = printer.best()
    return {
        "symbol": printer.symbol, "bidPrice": best["b"], "bidQty": best["B"],
        "askPrice": best["a"], "askQty": best["A"],
    }  # fmt: skip


def _flat(weight: int) -> Weight:
    return lambda _: weight


def _one_or_all(one: int, every: int) -> Weight:
    return lambda query: one if "symbol" in query else every


def _candles_weight(query: Query) -> int:
    limit = _number(query, "limit", 500, _MOST_CANDLES[Market.FUTURES])
    return next(weight for below, weight in ((100, 1), (500, 2), (1001, 5), (1501, 10)) if limit < below)


def _number(query: Query, name: str, default: int, most: int) -> int:
    """A whole number of the query; a ``limit`` that is too high is cut, as the venue does."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise _bad(name)
    number = int(text)
    if name == "limit":
        number = min(number, most)
    if number > most or (name == "limit" and not number):
        raise _bad(name)
    return number


def _span(query: Query, now_us: int) -> tuple[int, int]:
    """``startTime`` and ``endTime`` in microseconds: 0 and now where they are not given."""
    begin_us = _number(query, "startTime", 0, 2**53) * US_PER_MS
    end_ms = _number(query, "endTime", 0, 2**53)
    return begin_us, end_ms * US_PER_MS if end_ms else now_us


def _bad(name: str) -> RequestRefused:
    return RequestRefused(f"Data sent for parameter '{name}' is not valid.", code="-1130", status=400)


def _limited(usage: Usage, now_us: int) -> RateLimited:
    wait_sec = max(1.0, usage.retry_after_sec)
    if usage.banned:
        until_ms = ms(now_us) + round(wait_sec * 1000)
        text = f"Way too much request weight used; IP banned until {until_ms}. Please use WebSocket Streams."
        return RateLimited(text, code="-1003", status=418, retry_after_sec=wait_sec)
    text = f"Too much request weight used; current limit is {usage.capacity} request weight per 1 MINUTE."
    return RateLimited(text, code="-1003", status=429, retry_after_sec=wait_sec)
