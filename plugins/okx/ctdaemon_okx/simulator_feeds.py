"""The channels of the simulated OKX: what a new subscriber gets, and what is pushed then.

A feed lives while somebody is subscribed to its topic. The markets stand still between two pushes, so
whatever a subscriber is told at first is the state the next push starts from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from ctcore.model.time import US_PER_SEC
from ctcore.sim import SimInstrument
from ctcore.sim.book import UnitLevel
from ctdaemon_okx import simulator_rows as rows
from ctdaemon_okx.wire import Arg

BOOK_DEPTH = 400
KEEPALIVE_US = 60 * US_PER_SEC  # docs-v5: with no change, an empty update about every 60 s
_ENCODE = msgspec.json.Encoder().encode


def data_frame(arg: Arg, data: Sequence[Any], action: str = "") -> str:
    """``{"arg":...,"action":...,"data":[...]}`` in the venue's order of keys."""
    head: dict[str, Any] = {"arg": arg}
    if action:
        head["action"] = action
    return _ENCODE({**head, "data": data}).decode()


class Feed(ABC):
    """One topic."""

    @abstractmethod
    def first(self, now_us: int) -> Iterable[str]:
        """Frames for a new subscriber alone."""

    @abstractmethod
    def push(self, now_us: int) -> Iterable[str]:
        """Frames for all, a tick later."""


class BookFeed(Feed):
    """``books``: the best 400 levels a side, a snapshot and then the differences of that window.

    ``seqId`` is the book's own count of level changes, so it grows by what happened in a tick: irregularly.
    """

    def __init__(self, arg: Arg, item: SimInstrument, *, with_snapshot: bool) -> None:
        self._arg = arg
        self._item = item
        self._with_snapshot = with_snapshot
        self._seq = item.book.update_id
        self._seen = self._seq
        self._said_us = 0
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._take()

    def first(self, now_us: int) -> Iterable[str]:
        """The window as it was last pushed."""
        self._said_us = self._said_us or now_us
        if self._with_snapshot:
            yield self._frame("snapshot", self._bids.items(), self._asks.items(), -1, now_us)

    def push(self, now_us: int) -> Iterable[str]:
        """What changed in the window, or a keepalive."""
        book = self._item.book
        if book.update_id != self._seen:
            before = self._bids, self._asks
            self._take()
            bids = sorted(_difference(before[0], self._bids), reverse=True)
            asks = sorted(_difference(before[1], self._asks))
            if bids or asks:
                previous, self._seq = self._seq, book.update_id
                self._said_us = now_us
                yield self._frame("update", bids, asks, previous, now_us)
                return
        if now_us - self._said_us >= KEEPALIVE_US:
            self._said_us = now_us
            yield self._frame("update", (), (), self._seq, now_us)

    def _take(self) -> None:
        levels = self._item.book.levels(BOOK_DEPTH)
        self._seen = levels.update_id
        self._bids, self._asks = dict(levels.bids), dict(levels.asks)

    def _frame(
        self, action: str, bids: Iterable[UnitLevel], asks: Iterable[UnitLevel], previous: int, now_us: int
    ) -> str:
        row = {
            "asks": rows.levels(self._item, asks), "bids": rows.levels(self._item, bids),
            "ts": rows.ms(now_us), "checksum": 0, "seqId": self._seq, "prevSeqId": previous,
        }  # fmt: skip
        return data_frame(self._arg, [row], action)


class TopFeed(Feed):
    """``books5`` and ``bbo-tbt``: the whole of a few levels, when they have changed."""

    def __init__(self, arg: Arg, item: SimInstrument, depth: int) -> None:
        self._arg = arg
        self._item = item
        self._depth = depth
        self._last: tuple[list[UnitLevel], list[UnitLevel]] | None = None

    def first(self, now_us: int) -> Iterable[str]:
        """The levels now."""
        return [self._frame(now_us)]

    def push(self, now_us: int) -> Iterable[str]:
        """The levels, if they are others than before."""
        levels = self._item.book.levels(self._depth)
        seen, self._last = self._last, (levels.bids, levels.asks)
        return [self._frame(now_us)] if seen != self._last else []

    def _frame(self, now_us: int) -> str:
        levels = self._item.book.levels(self._depth)
        row: dict[str, Any] = {
            "asks": rows.levels(self._item, levels.asks), "bids": rows.levels(self._item, levels.bids),
            "ts": rows.ms(now_us), "seqId": levels.update_id,
        }  # fmt: skip
        if self._depth > 1:
            row["instId"] = self._item.symbol
        return data_frame(self._arg, [row])


class TradeFeed(Feed):
    """``trades``: one frame each."""

    def __init__(self, arg: Arg, item: SimInstrument) -> None:
        self._arg = arg
        self._item = item
        self._last_id = item.last_trade_id

    def first(self, now_us: int) -> Iterable[str]:  # noqa: ARG002  the signature of a feed
        """Nothing: trades are told as they happen."""
        return ()

    def push(self, now_us: int) -> Iterable[str]:  # noqa: ARG002  the signature of a feed
        """What was traded."""
        item = self._item
        trades = item.trades_since(self._last_id)
        self._last_id = item.last_trade_id
        for trade in trades:
            row = {**rows.trade_row(item, trade), "count": "1", "seqId": item.book.update_id}
            yield data_frame(self._arg, [row])


class RowFeed(Feed):
    """A row that is pushed when it changes, at most every ``every_us``; a change of its time alone is
    none."""

    def __init__(self, arg: Arg, make: Callable[[int], Any], every_us: int) -> None:
        self._arg = arg
        self._make = make
        self._every_us = every_us
        self._said_us = 0
        self._told: Any = None

    def first(self, now_us: int) -> Iterable[str]:
        """The row now."""
        return [data_frame(self._arg, [self._make(now_us)])]

    def push(self, now_us: int) -> Iterable[str]:
        """The row, if it is due and another."""
        if now_us - self._said_us < self._every_us:
            return ()
        row = self._make(now_us)
        told = {**row, "ts": ""} if isinstance(row, dict) else row
        if told == self._told:
            return ()
        self._said_us, self._told = now_us, told
        return [data_frame(self._arg, [row])]


class CandleFeed(Feed):
    """``candle*``: the growing bar, and each bar once more when it has closed."""

    def __init__(self, arg: Arg, item: SimInstrument, interval: str) -> None:
        self._arg = arg
        self._item = item
        self._interval = interval
        self._told: list[list[str]] = []

    def first(self, now_us: int) -> Iterable[str]:  # noqa: ARG002  the signature of a feed
        """The growing bar."""
        return [data_frame(self._arg, self._bars()[-1:])]

    def push(self, now_us: int) -> Iterable[str]:  # noqa: ARG002  the signature of a feed
        """The bars that are others than before."""
        told, self._told = self._told, self._bars()
        fresh = [bar for bar in self._told[0 if told else 1:] if bar not in told]
        return [data_frame(self._arg, [bar]) for bar in fresh]

    def _bars(self) -> list[list[str]]:
        return [rows.candle_row(self._item, bar) for bar in self._item.candles(self._interval, 2)]


class LiquidationFeed(Feed):
    """``liquidation-orders`` of all swaps."""

    def __init__(self, arg: Arg, items: Iterable[SimInstrument]) -> None:
        self._arg = arg
        self._items = [item for item in items if item.derivative is not None]
        self._last = {item.symbol: _last_liquidation(item) for item in self._items}

    def first(self, now_us: int) -> Iterable[str]:  # noqa: ARG002  the signature of a feed
        """Nothing: liquidations are told as they happen."""
        return ()

    def push(self, now_us: int) -> Iterable[str]:  # noqa: ARG002  the signature of a feed
        """What was liquidated."""
        for item in self._items:
            for liquidation in item.liquidations_since(self._last[item.symbol]):
                self._last[item.symbol] = liquidation.liquidation_id
                yield data_frame(self._arg, [rows.liquidation_row(item, liquidation)])


class SilentFeed(Feed):
    """``instruments`` and ``status``: changes alone are told, and nothing changes here."""

    def first(self, now_us: int) -> Iterable[str]:  # noqa: ARG002  the signature of a feed
        """Nothing."""
        return ()

    def push(self, now_us: int) -> Iterable[str]:  # noqa: ARG002  the signature of a feed
        """Nothing."""
        return ()


def _difference(before: dict[int, int], after: dict[int, int]) -> list[UnitLevel]:
    """Levels of ``after`` that are new or other, and those that are gone, with 0 lots."""
    changed = [(price, lots) for price, lots in after.items() if before.get(price) != lots]
    return changed + [(price, 0) for price in before.keys() - after.keys()]


def _last_liquidation(item: SimInstrument) -> int:
    return max((each.liquidation_id for each in item.liquidations_since(0)), default=0)
