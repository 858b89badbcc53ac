"""The batcher in front of the real embedded history, with real threads, and a reader beside the writer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from ctcore.errors import StorageError
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import BookDelta, BookSnapshot, MarketEvent
from ctcore.monitor.batcher import Batcher
from ctcore.sinks.clickhouse import ClickHouseSink
from ctcore.sinks.client import HistoryClient, connect
from ctcore.sinks.config import ClickHouseConfig
from ctcore.sinks.queries import book_at
from ctcore.wire.backoff import BackoffPolicy

BTC = InstrumentId("binance", Market.SPOT, "BTC/USDT")
T0 = 1_760_000_000_000_000


class Flaky(ClickHouseSink):
    """Loses every third answer after the engine has taken the batch, and refuses every fifth before."""

    calls = 0

    def write_batch(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
        self.calls += 1
        if self.calls % 5 == 0:
            raise StorageError("refused")
        super().write_batch(batch_id, events)
        if self.calls % 3 == 0:
            raise StorageError("answer lost")


async def test_every_event_arrives_once_and_can_be_asked_meanwhile(tmp_path: Path) -> None:
    pytest.importorskip("chdb", reason="the embedded engine is not installed: pip install 'ctcore[embedded]'")
    config = ClickHouseConfig(url=f"chdb://{tmp_path}/engine")
    made = Batcher("history", Flaky(config), run_id="run", batch_size=50, spool_directory=tmp_path / "spool",
                   backoff=BackoffPolicy(first_sec=0.01, max_sec=0.02), on_trouble=lambda _: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: made.run(task_status=task_status))
        made.offer(BookSnapshot(BTC, T0, T0, 0, [(100.0, 1.0)], [(101.0, 1.0)]))
        client = await trio.to_thread.run_sync(connect, config)
        client.use(config.database)
        for number in range(1, 1000):
            made.offer(BookDelta(BTC, T0 + number, T0 + number, number, number - 1, number,
                                 [(100.0, float(number))], []))
            if number % 100 == 0:
                await trio.sleep(0.01)
        await _arrived(client, 999)
        book = await trio.to_thread.run_sync(book_at, client, BTC, T0 + 500)
        made.request_stop()
    assert (book.bids, book.in_sync) == ([(100.0, 500.0)], True)
    assert made.outcome() == ("written", "1000 events written")
    client.close()


async def _arrived(client: HistoryClient, rows: int) -> None:
    count = "SELECT count(), uniq(seq) FROM book_delta"
    found = [(0, 0)]
    with trio.fail_after(30):
        while found[0][0] < rows:
            found = await trio.to_thread.run_sync(client.rows, count)
            await trio.sleep(0.02)
    assert found == [(rows, rows)]
