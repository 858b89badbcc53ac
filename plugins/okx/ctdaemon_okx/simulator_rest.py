"""The public REST calls of the simulated OKX: ``/api/v5/...``, its limits, its ways of saying no."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ctcore.contracts.driver import RateLimit
from ctcore.errors import CtcoreError, RateLimited, RequestRefused, UnknownInstrument, VenueError
from ctcore.model.ids import Market
from ctcore.sim import RateWindows, SimInstrument, SimMarket, SimRequest, SimResponse
from ctdaemon_okx import simulator_rows as rows

PREFIX = "/api/v5/"
_WINDOW_SEC = 2.0
_PRODUCTS = frozenset({"SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"})
_BOOK_LIMIT = 400
_FULL_LIMIT = 5_000
_LISTED_US = 1_700_000_000_000_000

Item = TypeVar("Item")
Query = Mapping[str, str]


class RestCalls:
    """Answers the calls of every market; ``now_us`` is the market's time."""

    def __init__(self, markets: Mapping[Market, SimMarket]) -> None:
        self._markets = markets
        self._calls: dict[str, tuple[Callable[[Query, int], Sequence[Any]], int]] = {
            "public/time": (self._time, 10),
            "public/instruments": (self._instruments, 20),
            "public/mark-price": (self._mark_price, 10),
            "public/funding-rate": (self._funding_rate, 20),
            "public/funding-rate-history": (self._funding_history, 10),
            "public/open-interest": (self._open_interest, 20),
            "public/price-limit": (self._price_limit, 20),
            "market/books": (self._books, 40),
            "market/books-full": (self._books_full, 10),
            "market/ticker": (self._ticker, 20),
            "market/tickers": (self._tickers, 20),
            "market/trades": (self._trades, 100),
            "market/history-trades": (self._history_trades, 20),
            "market/candles": (self._candles, 40),
            "market/history-candles": (self._candles, 20),
            "market/index-tickers": (self._index_tickers, 20),
            "system/status": (self._status, 10),
        }
        limits = [RateLimit(path, capacity, _WINDOW_SEC) for path, (_, capacity) in self._calls.items()]
        self._windows = RateWindows(limits)

    def answer(self, request: SimRequest, now_us: int) -> SimResponse:
        """Answer one call; raises :class:`VenueError` with the venue's code for those that are refused."""
        name = request.path.removeprefix(PREFIX)
        if not request.path.startswith(PREFIX) or (name not in self._calls and not _is_private(name)):
            raise VenueError(f"Not Found: {request.path}", code="404", status=404)
        if _is_private(name):
            raise RequestRefused("Request header OK-ACCESS-KEY can not be empty.", code="50103", status=401)
        if request.method != "GET":
            raise RequestRefused(f"Invalid request method {request.method}", code="50115", status=405)
        if not self._windows.take(request.peer, name, 1, now_us).allowed:
            raise RateLimited("Too Many Requests", code="50011", status=429)
        call, _ = self._calls[name]
        return SimResponse.json({"code": "0", "msg": "", "data": call(request.query, now_us)})

    def find(self, symbol: str) -> SimInstrument:
        """The instrument of a name; raises :class:`UnknownInstrument`."""
        for market in self._markets.values():
            found = market.get(symbol)
            if found is not None:
                return found
        raise UnknownInstrument("Instrument ID or Spread ID doesn't exist.", code="51001")

    def swaps(self) -> Iterable[SimInstrument]:
        """Every perpetual."""
        return (item for market in self._markets.values() for item in market if item.derivative is not None)

    def _time(self, query: Query, now_us: int) -> Sequence[Any]:  # noqa: ARG002  the signature of a call
        return [{"ts": rows.ms(now_us)}]

    def _status(self, query: Query, now_us: int) -> Sequence[Any]:  # noqa: ARG002  the signature of a call
        return []

    def _instruments(self, query: Query, now_us: int) -> Sequence[Any]:  # noqa: ARG002
        codes = {item.symbol: 10_000 + number for number, item in enumerate(self._all())}
        return [rows.instrument_row(item, codes[item.symbol], _LISTED_US) for item in self._of(query)]

    def _mark_price(self, query: Query, now_us: int) -> Sequence[Any]:
        if "instType" not in query and "instId" in query:  # documented as required, answered without
            return [rows.mark_row(self._named(query), now_us)]
        return [rows.mark_row(item, now_us) for item in self._of(query)]

    def _funding_rate(self, query: Query, now_us: int) -> Sequence[Any]:
        if query.get("instId") == "ANY":
            return [rows.funding_row(item, now_us) for item in self.swaps()]
        return [rows.funding_row(self._named(query), now_us)]

    def _funding_history(self, query: Query, now_us: int) -> Sequence[Any]:  # noqa: ARG002
        item, limit = self._named(query), _number(query, "limit", 100, 400)
        found = [rows.settled_row(item, funding) for funding in reversed(item.fundings(500))]
        return _page(found, query, limit, lambda row: int(row["fundingTime"]))

    def _open_interest(self, query: Query, now_us: int) -> Sequence[Any]:
        return [rows.interest_row(item, now_us) for item in self._of(query) if item.derivative is not None]

    def _price_limit(self, query: Query, now_us: int) -> Sequence[Any]:
        return [rows.limit_row(self._named(query), now_us)]

    def _index_tickers(self, query: Query, now_us: int) -> Sequence[Any]:
        wanted = query.get("instId", "")
        found = [rows.index_row(item, now_us) for item in self.swaps()]
        return [row for row in found if row["instId"] == wanted or not wanted]

    def _books(self, query: Query, now_us: int) -> Sequence[Any]:
        return [self._book(query, _BOOK_LIMIT, now_us)]

    def _books_full(self, query: Query, now_us: int) -> Sequence[Any]:
        row = self._book(query, _FULL_LIMIT, now_us)
        for side in ("bids", "asks"):
            row[side] = [[price, size, count] for price, size, _, count in row[side]]
        return [row]

    def _book(self, query: Query, deepest: int, now_us: int) -> dict[str, Any]:
        item = self._named(query)
        levels = item.book.levels(_number(query, "sz", 1, deepest))
        return {
            "asks": rows.levels(item, levels.asks), "bids": rows.levels(item, levels.bids),
            "ts": rows.ms(now_us), "seqId": levels.update_id,
        }  # fmt: skip

    def _ticker(self, query: Query, now_us: int) -> Sequence[Any]:
        return [rows.ticker_row(self._named(query), now_us)]

    def _tickers(self, query: Query, now_us: int) -> Sequence[Any]:
        return [rows.ticker_row(item, now_us) for item in self._of(query)]

    def _trades(self, query: Query, now_us: int) -> Sequence[Any]:  # noqa: ARG002  the signature of a call
        item = self._named(query)
        trades = item.recent_trades(_number(query, "limit", 100, 500))
        return [rows.trade_row(item, trade) for trade in reversed(trades)]

    def _history_trades(self, query: Query, now_us: int) -> Sequence[Any]:  # noqa: ARG002
        item, limit = self._named(query), _number(query, "limit", 100, 100)
        found = [rows.trade_row(item, trade) for trade in reversed(item.trades)]
        field = "ts" if query.get("type") == "2" else "tradeId"
        return _page(found, query, limit, lambda row: int(row[field]))

    def _candles(self, query: Query, now_us: int) -> Sequence[Any]:  # noqa: ARG002  the signature of a call
        item, limit = self._named(query), _number(query, "limit", 100, 300)
        interval = rows.INTERVALS.get(query.get("bar", "1m"))
        if interval is None:
            raise RequestRefused("Parameter bar error", code="51000", status=400)
        older_than, newer_than = _number(query, "after", 0), _number(query, "before", 0)
        bars = item.candles(
            interval,
            limit,
            begin_us=newer_than * 1_000 + 1 if newer_than and not older_than else None,
            end_us=older_than * 1_000 - 1 if older_than else None,
        )
        kept = [bar for bar in bars if bar.open_us > newer_than * 1_000]
        return [rows.candle_row(item, bar) for bar in reversed(kept)]

    def _all(self) -> Iterable[SimInstrument]:
        return (item for market in self._markets.values() for item in market)

    def _named(self, query: Query) -> SimInstrument:
        return self.find(_needed(query, "instId"))

    def _of(self, query: Query) -> list[SimInstrument]:
        """The instruments of ``instType``, and of ``instId`` or ``instFamily`` where given."""
        product = _needed(query, "instType").upper()
        if product not in _PRODUCTS:
            raise RequestRefused("Parameter instType error", code="51000", status=400)
        kind = "SPOT" if product == "MARGIN" else product
        found = [item for item in self._all() if rows.inst_type(item) == kind]
        family = query.get("instFamily") or query.get("uly")
        if family:
            found = [item for item in found if f"{item.instrument.base}-{item.instrument.quote}" == family]
        if query.get("instId"):
            found = [item for item in found if item.symbol == query["instId"]]
            self.find(query["instId"])
        return found


def refusal(error: CtcoreError) -> SimResponse:
    """The venue's envelope of an error; with status 200 where the call itself was fine."""
    code = error.code if isinstance(error, VenueError) else "51000"
    status = error.status if isinstance(error, VenueError) else 400
    return SimResponse.json({"code": code or "51000", "msg": str(error), "data": []}, status=status or 200)


def _is_private(name: str) -> bool:
    return name.startswith(("account/", "trade/", "asset/", "users/", "tradingBot/", "finance/"))


def _needed(query: Query, name: str) -> str:
    value = query.get(name)
    if not value:
        raise RequestRefused(f"Parameter {name} can not be empty.", code="50014", status=400)
    return value


def _number(query: Query, name: str, default: int, largest: int | None = None) -> int:
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise RequestRefused(f"Parameter {name} error", code="51000", status=400)
    value = int(text)
    return value if largest is None else max(1, min(value, largest))


def _page(
    found: Sequence[Item], query: Query, limit: int, key: Callable[[Item], int]
) -> list[Item]:
    """Newest first; ``after`` asks for older ones, ``before`` for newer ones."""
    older_than, newer_than = _number(query, "after", 0), _number(query, "before", 0)
    kept = [
        row for row in found
        if (not older_than or key(row) < older_than) and (not newer_than or key(row) > newer_than)
    ]  # fmt: skip
    return kept[:limit]
