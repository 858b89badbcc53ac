"""The streams of the simulated Binance: what each of them pushes, and when.

A feed lives while somebody is subscribed to its stream. It yields payloads, which the server sends bare or
wrapped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from ctcore.sim import SimInstrument
from ctdaemon_binance.simulator_rows import Printer, aggregated, ms

SECOND_US = 1_000_000

Payload: TypeAlias = Any


class Feed(ABC):
    """One stream. ``every_us`` is the time between two pushes."""

    def __init__(self, every_us: int) -> None:
        self._every_us = every_us
        self._pushed_us: int | None = None

    def push(self, now_us: int) -> Iterable[Payload]:
        """What is due now."""
        if self._pushed_us is not None and now_us - self._pushed_us < self._every_us:
            return ()
        self._pushed_us = now_us
        return self._payloads(now_us)

    @abstractmethod
    def _payloads(self, now_us: int) -> Iterable[Payload]:
        """What has happened since the last push."""


class SilentFeed(Feed):
    """A stream of nothing: an unknown symbol, a wrong path."""

    def __init__(self) -> None:
        super().__init__(0)

    def _payloads(self, now_us: int) -> Iterable[Payload]:  # noqa: ARG002  the signature of a feed
        return ()


class DiffFeed(Feed):
    """``@depth``: what changed since the last event, each price once. ``pu`` (futures) names the event
    before."""

    def __init__(self, printer: Printer, every_us: int) -> None:
        super().__init__(every_us)
        self._printer = printer
        self._at = printer.item.book.update_id

    def _payloads(self, now_us: int) -> Iterable[Payload]:
        printer, book, before = self._printer, self._printer.item.book, self._at
        if book.update_id == before:
            return
        self._at = book.update_id
        if book.oldest_id > before:  # the venue lost its own log: a gap for every reader
            return
        changes = book.changes_since(before)
        event = {
            "e": "depthUpdate", "E": ms(now_us), "s": printer.symbol,
            "U": changes.first_id, "u": changes.last_id,
            "b": printer.levels(changes.bids), "a": printer.levels(changes.asks),
        }  # fmt: skip
        yield event if printer.is_spot else {**event, "T": ms(changes.changed_us), "pu": before}


class WindowFeed(Feed):
    """``@depth5|10|20``: the whole of the best levels, when the book has changed."""

    def __init__(self, printer: Printer, every_us: int, depth: int) -> None:
        super().__init__(every_us)
        self._printer = printer
        self._depth = depth
        self._at = -1

    def _payloads(self, now_us: int) -> Iterable[Payload]:
        printer, book, before = self._printer, self._printer.item.book, self._at
        if book.update_id == before:
            return
        levels = book.levels(self._depth)
        self._at = levels.update_id
        bids, asks = printer.levels(levels.bids), printer.levels(levels.asks)
        if printer.is_spot:
            yield {"lastUpdateId": levels.update_id, "bids": bids, "asks": asks}
            return
        yield {
            "e": "depthUpdate", "E": ms(now_us), "T": ms(levels.changed_us), "s": printer.symbol,
            "U": levels.update_id, "u": levels.update_id, "pu": before, "b": bids, "a": asks,
        }  # fmt: skip


class TradeFeed(Feed):
    """``@trade``: one event a trade."""

    def __init__(self, printer: Printer) -> None:
        super().__init__(0)
        self._printer = printer
        self._last_id = printer.item.last_trade_id

    def _payloads(self, now_us: int) -> Iterable[Payload]:
        item = self._printer.item
        trades, self._last_id = item.trades_since(self._last_id), item.last_trade_id
        return [self._printer.trade_event(trade, now_us) for trade in trades]


class AggregateFeed(Feed):
    """``@aggTrade``: one event for what a taker order took at a price."""

    def __init__(self, printer: Printer) -> None:
        super().__init__(0)
        self._printer = printer
        self._last_id = printer.item.last_trade_id

    def _payloads(self, now_us: int) -> Iterable[Payload]:
        item = self._printer.item
        trades, self._last_id = item.trades_since(self._last_id), item.last_trade_id
        head = {"e": "aggTrade", "E": ms(now_us), "s": self._printer.symbol}
        return [{**head, **self._printer.aggregate(row)} for row in aggregated(trades)]


class BestFeed(Feed):
    """``@bookTicker``: the best bid and ask when they change; spot tells no time."""

    def __init__(self, printer: Printer) -> None:
        super().__init__(0)
        self._printer = printer
        self._told: dict[str, Any] | None = None

    def _payloads(self, now_us: int) -> Iterable[Payload]:
        printer = self._printer
        best, told = printer.best(), self._told
        if best == told:
            return
        self._told = best
        book = printer.item.book
        event = {"u": book.update_id, "s": printer.symbol, **best}
        times = {"T": ms(book.changed_us), "E": ms(now_us)}
        yield event if printer.is_spot else {"e": "bookTicker", **event, **times}


class DayFeed(Feed):
    """``@ticker`` and ``@miniTicker``."""

    def __init__(self, printer: Printer, every_us: int, *, mini: bool) -> None:
        super().__init__(every_us)
        self._printer = printer
        self._mini = mini

    def _payloads(self, now_us: int) -> Iterable[Payload]:
        printer, day = self._printer, self._printer.day(now_us)
        head = {"E": ms(now_us), "s": printer.symbol}
        if self._mini:
            yield {"e": "24hrMiniTicker", **head, **{name: day[name] for name in "cohlvq"}}
        elif printer.is_spot:
            yield {"e": "24hrTicker", **head, **day, **printer.best(), "x": day["o"]}
        else:
            yield {"e": "24hrTicker", **head, **day}


class CandleFeed(Feed):
    """``@kline_*``: the growing bar when it has changed, and each bar once more when it has closed."""

    def __init__(self, printer: Printer, every_us: int, interval: str) -> None:
        super().__init__(every_us)
        self._printer = printer
        self._interval = interval
        self._told: dict[str, Any] = {}
        self._open_us = self._bars(1)[-1].open_us

    def _payloads(self, now_us: int) -> Iterable[Payload]:
        printer = self._printer
        for bar in self._bars(2):
            k = printer.candle_event(self._interval, bar)
            if bar.open_us < self._open_us or k == self._told:
                continue
            self._open_us, self._told = bar.open_us + int(bar.closed), k
            yield {"e": "kline", "E": ms(now_us), "s": printer.symbol, "k": k}

    def _bars(self, count: int) -> Sequence[Any]:
        return self._printer.item.candles(self._interval, count)


class MarkFeed(Feed):
    """``@markPrice``, also with funding."""

    def __init__(self, printer: Printer, every_us: int) -> None:
        super().__init__(every_us)
        self._printer = printer

    def _payloads(self, now_us: int) -> Iterable[Payload]:
        printer = self._printer
        yield {"e": "markPriceUpdate", "E": ms(now_us), "s": printer.symbol, **printer.marks()}


class ForcedFeed(Feed):
    """``@forceOrder``: the largest liquidation of each second."""

    def __init__(self, printer: Printer) -> None:
        super().__init__(SECOND_US)
        self._printer = printer
        self._last_id = _last_liquidation(printer.item)

    def _payloads(self, now_us: int) -> Iterable[Payload]:
        orders = self._printer.item.liquidations_since(self._last_id)
        if not orders:
            return
        self._last_id = orders[-1].liquidation_id
        largest = max(orders, key=lambda order: order.quantity)
        yield {"e": "forceOrder", "E": ms(now_us), "o": self._printer.forced(largest)}


class EveryFeed(Feed):
    """``!...@arr``: the events of all symbols as one array; ``!bookTicker`` and ``!forceOrder@arr``
    singly."""

    def __init__(self, feeds: Sequence[Feed], *, as_array: bool) -> None:
        super().__init__(0)
        self._feeds = feeds
        self._as_array = as_array

    def _payloads(self, now_us: int) -> Iterable[Payload]:
        rows = [row for feed in self._feeds for row in feed.push(now_us)]
        if not self._as_array:
            return rows
        return [rows] if rows else []


def _last_liquidation(item: SimInstrument) -> int:
    return max((order.liquidation_id for order in item.liquidations_since(0)), default=0)
