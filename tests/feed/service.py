"""A plan's runner in a task of its own, and what a venue sends it."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing

from ctcore.errors import RequestRefused, TransportError
from ctcore.model.ids import Channel
from ctcore.model.market import BookDelta, FeedState, Gap, GapReason, Trade
from ctcore.testing.fake_server import FakeServer


class Service:
    """A runner in a task of its own, and how it ended."""

    def __init__(self, stage: Any, runner: Any = None) -> None:
        self.stage = stage
        self.runner = runner or stage.runner()
        self.error: BaseException | None = None
        self.ended = trio.Event()
        self.scope = trio.CancelScope()
        stage.nursery.start_soon(self._run)

    async def _run(self) -> None:
        with self.scope:
            try:
                await self.runner.run()
            except (TransportError, RequestRefused) as error:
                self.error = error
        self.ended.set()


async def settle(seconds: float = 0.0) -> None:
    await trio.sleep(seconds)
    for _ in range(5):
        await trio.testing.wait_all_tasks_blocked()


async def feed(server: FakeServer, first: int, last: int) -> None:
    """Deltas, trades and tickers numbered ``first`` to ``last``, each delta one message."""
    for number in range(first, last + 1):
        await server.send(
            ["delta", "BTC/USDT", number - 1, number, number, [[1.0, float(number)]], []],
            ["trade", "BTC/USDT", number, number, 1.0, 1.0],
            ["ticker", "BTC/USDT", number, float(number)],
        )
    await settle()


def states(stage: Any) -> list[FeedState]:
    return [status.state for status in stage.statuses]


def gaps(stage: Any) -> list[tuple[Channel, GapReason, bool]]:
    found = [event for event in stage.published if isinstance(event, Gap)]
    return [(gap.channel, gap.reason, gap.end_us is None) for gap in found]


def deltas(stage: Any) -> list[int]:
    return [event.seq for event in stage.published if isinstance(event, BookDelta)]


def trades(stage: Any) -> list[int]:
    return [int(event.trade_id) for event in stage.published if isinstance(event, Trade)]


def sockets(stage: Any) -> list[str]:
    return [kind for kind, _ in stage.notes.lines if kind in ("opened", "closed")]


BOOK, TRADE, TICKER = Channel.ORDERBOOK, Channel.TRADE, Channel.TICKER
LOST = GapReason.DISCONNECT


async def last_frame(server: FakeServer) -> Any:
    frame = None
    while True:
        try:
            frame = await server.frame()
        except EOFError:
            return frame
