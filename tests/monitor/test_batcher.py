"""The batcher on a mock clock: sizes, ages, a sink that fails, a spool that fills, and the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from loguru import logger
from trio.testing import MockClock

from ctcore.contracts.sink import Sink
from ctcore.errors import ConfigError, StorageError
from ctcore.model.ids import Channel, InstrumentId, Market
from ctcore.model.instrument import Instrument, InstrumentKind
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason, MarketEvent, Side, Trade
from ctcore.monitor.batcher import Batcher
from ctcore.monitor.spool import Spool
from ctcore.runtime.clock import SystemClock
from ctcore.sinks.client import BatchRefused
from ctcore.wire.backoff import BackoffPolicy

BTC = InstrumentId("binance", Market.SPOT, "BTC/USDT")
ETH = InstrumentId("binance", Market.SPOT, "ETH/USDT")


def trade(number: int) -> Trade:
    return Trade(BTC, number, number, str(number), 100.0, 1.0, Side.BUY)


class FakeSink(Sink):
    """Keeps batches by id, as a real sink does; fails on request before or after taking effect."""

    def __init__(self) -> None:
        self.batches: dict[str, list[MarketEvent]] = {}
        self.offered: list[str] = []
        self.described: list[Instrument] = []
        self.down = False
        self.fail_before = self.fail_after = 0
        self.opened = self.closed = 0
        self.open_error: Exception | None = None

    def open(self) -> None:
        if self.open_error is not None:
            raise self.open_error
        self.opened += 1

    def describe(self, instruments: Iterable[Instrument]) -> None:
        self.described += instruments

    def write_batch(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
        self.offered.append(batch_id)
        if self.down or self.fail_before:
            self.fail_before = max(0, self.fail_before - 1)
            raise StorageError("the sink is down")
        assert self.batches.get(batch_id, list(events)) == list(events)
        self.batches[batch_id] = list(events)
        if self.fail_after:
            self.fail_after -= 1
            raise StorageError("the answer got lost")

    def close(self) -> None:
        self.closed += 1

    @property
    def events(self) -> list[MarketEvent]:
        return [event for events in self.batches.values() for event in events]


async def inline(function: Callable[..., Any], *args: Any) -> Any:
    """Runs at once: a mock clock would jump while a thread works."""
    await trio.lowlevel.checkpoint()
    return function(*args)


def batcher(sink: Sink, spool: Path | None = None, **keys: Any) -> Batcher:
    keys = {"run_id": "run", "batch_size": 10, "in_thread": inline, "rng": Random(1), **keys}
    return Batcher("history", sink, spool_directory=spool, **keys)


@asynccontextmanager
async def running(made: Batcher) -> AsyncIterator[Batcher]:
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: made.run(task_status=task_status))
        yield made
        made.request_stop()


async def test_batches_are_cut_by_size(autojump_clock: MockClock) -> None:
    sink = FakeSink()
    async with running(batcher(sink)) as made:
        for number in range(25):
            made.offer(trade(number))
        await trio.sleep(0.1)
        assert list(sink.batches) == ["history/run-1", "history/run-2"]
        assert made.statistics().buffered == 5
    assert sink.events == [trade(number) for number in range(25)]
    assert made.outcome() == ("written", "25 events written")


async def test_batches_are_cut_by_age(autojump_clock: MockClock) -> None:
    sink = FakeSink()
    async with running(batcher(sink, batch_interval_sec=5.0)) as made:
        made.offer(trade(1))
        await trio.sleep(4.9)
        assert sink.batches == {}
        await trio.sleep(0.2)
        assert sink.events == [trade(1)]


async def test_events_before_the_start_are_kept(autojump_clock: MockClock) -> None:
    sink = FakeSink()
    made = batcher(sink)
    for number in range(15):
        made.offer(trade(number))
    async with running(made):
        pass
    assert sink.events == [trade(number) for number in range(15)]


@pytest.mark.parametrize("moment", ["fail_before", "fail_after"])
@pytest.mark.parametrize("spooled", [True, False])
async def test_a_failed_batch_is_offered_again_with_its_id(
    autojump_clock: MockClock, tmp_path: Path, moment: str, spooled: bool
) -> None:
    sink = FakeSink()
    setattr(sink, moment, 3)
    told: list[str] = []
    async with running(batcher(sink, tmp_path if spooled else None, on_trouble=told.append)) as made:
        for number in range(30):
            made.offer(trade(number))
        await trio.sleep(60)
        assert not made.statistics().down
    assert sink.offered[:4] == ["history/run-1"] * 4
    assert list(sink.batches) == ["history/run-1", "history/run-2", "history/run-3"]
    assert sink.events == [trade(number) for number in range(30)]
    assert ["down" in told[0], "back" in told[1], len(told)] == [True, True, 2]


async def test_pauses_grow_between_attempts(autojump_clock: MockClock) -> None:
    moments: list[float] = []

    class Down(FakeSink):
        def write_batch(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
            moments.append(trio.current_time())
            raise StorageError("down")

    with trio.move_on_after(100):
        async with running(batcher(Down(), batch_size=1)) as made:
            made.offer(trade(1))
            await trio.sleep_forever()
    pauses = [later - earlier for earlier, later in pairwise(moments)][:-1]
    assert 0.4 <= pauses[0] <= 0.5
    assert all(1.28 <= later / earlier <= 2.5 for earlier, later in pairwise(pauses[:5]))
    assert max(pauses) <= 30


async def test_while_the_sink_is_down_batches_are_on_the_disk_and_survive_a_crash(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    sink = FakeSink()
    sink.down = True
    async with running(batcher(sink, tmp_path)) as made:
        for number in range(50):
            made.offer(trade(number))
        await trio.sleep(1)
        statistics = made.statistics()
        assert (statistics.spooled_batches, statistics.pending_batches, statistics.buffered) == (5, 0, 0)
        assert statistics.down
    assert made.outcome() == ("spooled", "0 events written, 5 batches wait on disk")

    sink.down = False
    async with running(batcher(sink, tmp_path, run_id="next")) as made:
        made.offer(trade(50))
        await trio.sleep(10)
        assert made.statistics().spooled_batches == 0
    assert list(sink.batches) == [*(f"history/run-{number}" for number in range(1, 6)), "history/next-1"]
    assert sink.events == [trade(number) for number in range(51)]


async def test_order_is_kept_when_the_spool_fills_during_a_slow_write(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    sink = FakeSink()

    async def slow(function: Callable[..., Any], *args: Any) -> Any:
        if getattr(function, "__name__", "") == "write_batch":
            await trio.sleep(2)
        return await inline(function, *args)

    keys = {"in_thread": slow, "max_buffered": 40, "batch_interval_sec": 100}
    async with running(batcher(sink, tmp_path, **keys)) as made:
        for number in range(200):
            made.offer(trade(number))
            await trio.sleep(0.01)
        assert made.statistics().spooled_batches > 5
        assert made.statistics().refused == 0
        await trio.sleep(100)
    assert list(sink.batches) == [f"history/run-{number}" for number in range(1, 21)]
    assert sink.events == [trade(number) for number in range(200)]


async def test_when_nothing_has_room_each_stream_gets_a_gap(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    sink = FakeSink()
    sink.down = True
    told: list[str] = []
    asked: list[InstrumentId] = []
    async with running(batcher(sink, tmp_path, spool_max_bytes=2000, max_buffered=40, on_trouble=told.append,
                               wants_snapshot=asked.append)) as made:
        for number in range(1000):
            made.offer(trade(number))
            made.offer(BookDelta(ETH, number, number, number, number - 1, number, [(1.0, 1.0)], []))
            if number % 10 == 0:
                await trio.sleep(0.01)
        refused = made.statistics().refused
        assert refused > 1000
        assert made.statistics().lost_streams == 2
        assert made.statistics().buffered <= 50
        sink.down = False
        await trio.sleep(60)
        made.offer(trade(1000))
        made.offer(BookDelta(ETH, 1000, 1000, 1000, 999, 1000, [(1.0, 1.0)], []))
        assert made.statistics().lost_streams == 1
        made.offer(BookSnapshot(ETH, 1001, 1001, 1001, [(1.0, 1.0)], []))
        assert made.statistics().lost_streams == 0
        made.offer(trade(1001))
    gaps = [event for event in sink.events if isinstance(event, Gap)]
    kept = {event.trade_id for event in sink.events if isinstance(event, Trade)}
    lost = [number for number in range(1000) if str(number) not in kept]
    assert {gap.reason for gap in gaps} == {GapReason.OVERFLOW}
    assert [(gap.instrument, gap.end_us) for gap in gaps] == [
        (BTC, None), (ETH, None), (BTC, 1000), (ETH, 1001)]
    assert gaps[0].begin_us == gaps[2].begin_us == gaps[0].received_us == lost[0]
    assert {"1000", "1001"} <= kept
    assert len(sink.events) - len(gaps) + refused == 2004
    assert asked == [ETH]
    assert any("refused" in line for line in told)


async def test_gaps_of_the_feed_find_room_when_events_do_not(autojump_clock: MockClock) -> None:
    sink = FakeSink()
    sink.down = True
    async with running(batcher(sink, max_buffered=40)) as made:
        for number in range(100):
            made.offer(trade(number))
        gap = Gap(BTC, 100, 100, Channel.TRADE, GapReason.DISCONNECT, 100, None, "")
        made.offer(gap)
        sink.down = False
        await trio.sleep(60)
    assert gap in sink.events


async def test_a_sink_that_cannot_be_opened_is_tried_again(autojump_clock: MockClock, tmp_path: Path) -> None:
    sink = FakeSink()
    sink.open_error = StorageError("no server")
    async with running(batcher(sink, tmp_path)) as made:
        ready = [made.ready]
        for number in range(10):
            made.offer(trade(number))
        await trio.sleep(5)
        assert made.statistics().spooled_batches == 1
        sink.open_error = None
        await trio.sleep(60)
        ready.append(made.ready)
    assert ready == [False, True]
    assert sink.events == [trade(number) for number in range(10)]


async def test_a_configuration_that_cannot_work_ends_it_at_the_start(tmp_path: Path) -> None:
    sink = FakeSink()
    sink.open_error = ConfigError("wrong password")
    with pytest.raises(ConfigError, match="wrong password"):
        await batcher(sink, tmp_path).run()


async def test_instruments_are_described_before_their_events_and_after_reopening(
    autojump_clock: MockClock, book_instrument: Instrument
) -> None:
    sink = FakeSink()
    made = batcher(sink)
    for _ in range(2):
        made.describe([book_instrument])
        async with running(made):
            made.offer(trade(1))
    assert sink.described.count(book_instrument) >= 2
    assert sink.opened == sink.closed == 2


@pytest.fixture
def book_instrument() -> Instrument:
    return Instrument(id=BTC, symbol="BTCUSDT", kind=InstrumentKind.SPOT, base="BTC", quote="USDT",
                      settle="USDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"))


async def test_cancelling_brings_memory_to_the_disk(autojump_clock: MockClock, tmp_path: Path) -> None:
    sink = FakeSink()
    sink.down = True
    made = batcher(sink, tmp_path, max_buffered=10_000)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: made.run(task_status=task_status))
            for number in range(35):
                made.offer(trade(number))
            scope.cancel()
    spool = Spool(tmp_path)
    spool.open()
    found: list[MarketEvent] = []
    while (batch := spool.peek()) is not None:
        found += batch.events
        spool.ack(batch.batch_id)
    spool.close()
    assert found == [trade(number) for number in range(35)]


async def test_the_end_is_in_time_though_the_sink_hangs(autojump_clock: MockClock, tmp_path: Path) -> None:
    sink = FakeSink()

    async def hanging(function: Callable[..., Any], *args: Any) -> Any:
        if getattr(function, "__name__", "") == "write_batch":
            await trio.sleep_forever()
        return await inline(function, *args)

    async with running(batcher(sink, tmp_path, in_thread=hanging, drain_sec=8.0)) as made:
        for number in range(25):
            made.offer(trade(number))
        await trio.sleep(1)
        began = trio.current_time()
    assert trio.current_time() - began <= 8.0
    assert made.outcome() == ("spooled", "0 events written, 3 batches wait on disk")


async def test_what_cannot_be_kept_is_said(autojump_clock: MockClock) -> None:
    sink = FakeSink()
    sink.down = True
    told: list[str] = []
    async with running(batcher(sink, on_trouble=told.append)) as made:
        for number in range(25):
            made.offer(trade(number))
        await trio.sleep(1)
    assert made.outcome()[0] == "failed"
    assert "25 events neither written nor spooled" in told[-1]


async def test_with_real_threads(tmp_path: Path) -> None:
    sink = FakeSink()
    sink.fail_before = 1
    made = Batcher("history", sink, run_id="run", batch_size=10, spool_directory=tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: made.run(task_status=task_status))
        for number in range(100):
            made.offer(trade(number))
        with trio.fail_after(20):
            while len(sink.events) < 100:  # noqa: ASYNC110  the fake has no event to wait for
                await trio.sleep(0.05)
        made.request_stop()
    assert sink.events == [trade(number) for number in range(100)]


# A sink is somebody else's code.


@pytest.mark.parametrize("method", ["open", "describe", "write_batch", "close"])
@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3)])
async def test_whatever_a_sink_raises_it_is_down_and_its_batches_wait(
    tmp_path: Path, method: str, error: BaseException, book_instrument: Instrument
) -> None:
    sink, broken = FakeSink(), True
    healthy = getattr(sink, method)

    def raising(*args: Any) -> None:
        if broken:
            raise error
        healthy(*args)

    setattr(sink, method, raising)
    made = Batcher("history", sink, run_id="run", batch_size=10, spool_directory=tmp_path,
                   backoff=BackoffPolicy(first_sec=0.01, max_sec=0.02))
    made.describe([book_instrument])
    async with running(made):
        for number in range(20):
            made.offer(trade(number))
        with trio.fail_after(20):
            while made.statistics().spooled_batches < 2 and not sink.events:  # noqa: ASYNC110  no event to wait for
                await trio.sleep(0.01)
        broken = method == "close"
        with trio.fail_after(20):
            while len(sink.events) < 20:  # noqa: ASYNC110  the fake has no event to wait for
                await trio.sleep(0.01)
    assert sink.events == [trade(number) for number in range(20)]
    assert made.statistics().spooled_batches == 0


async def test_a_broken_sink_is_logged_once_a_minute(autojump_clock: MockClock) -> None:
    class Broken(FakeSink):
        def write_batch(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
            raise ValueError("odd")

    lines: list[str] = []
    handler = logger.add(lines.append, level="ERROR", format="{message}")
    clock = TrioClock()
    async with running(batcher(Broken(), clock=clock, backoff=BackoffPolicy(first_sec=1, max_sec=1))) as made:
        made.offer(trade(1))
        await trio.sleep(185)
    logger.remove(handler)
    assert len(lines) in (3, 4)
    assert all("Traceback" in line and "ValueError: odd" in line for line in lines)


class TrioClock(SystemClock):
    def now_us(self) -> int:
        return round(trio.current_time() * 1e6)


async def test_after_a_failure_the_sink_is_opened_anew(autojump_clock: MockClock) -> None:
    sink = FakeSink()
    sink.fail_before = 1
    async with running(batcher(sink)) as made:
        made.offer(trade(1))
    assert sink.opened == 2
    assert made.ready


async def test_what_came_after_the_end_can_be_rescued(autojump_clock: MockClock, tmp_path: Path) -> None:
    sink = FakeSink()
    sink.open_error = ConfigError("wrong password")
    made = batcher(sink, tmp_path)
    with pytest.raises(ConfigError):
        await made.run()
    for number in range(25):  # parked, and the feeds go on
        made.offer(trade(number))
    await made.rescue()
    await made.rescue()
    assert made.outcome() == ("spooled", "0 events written, 3 batches wait on disk")
    sink.open_error = None
    async with running(batcher(sink, tmp_path, run_id="next")):
        await trio.sleep(10)
    assert sink.events == [trade(number) for number in range(25)]


async def test_without_a_spool_there_is_no_rescue(autojump_clock: MockClock) -> None:
    made = batcher(FakeSink())
    made.offer(trade(1))
    await made.rescue()
    assert made.outcome()[0] == "failed"


class Picky(FakeSink):
    """Refuses batches that hold a trade of id "poison", in the engine's name."""

    def write_batch(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
        self.offered.append(batch_id)
        if any(isinstance(event, Trade) and event.trade_id == "poison" for event in events):
            raise BatchRefused("code 6: cannot parse", code=6)
        self.batches[batch_id] = list(events)


@pytest.mark.parametrize("spooled", [True, False])
async def test_a_batch_that_the_engine_refuses_for_good_is_put_aside_and_missed(
    autojump_clock: MockClock, tmp_path: Path, spooled: bool
) -> None:
    sink = Picky()
    asked: list[InstrumentId] = []
    delta = BookDelta(ETH, 1, 1, 1, 0, 1, [(1.0, 1.0)], [])
    async with running(batcher(sink, tmp_path if spooled else None, batch_size=2,
                               wants_snapshot=asked.append)) as made:
        made.offer(Trade(BTC, 7, 7, "poison", 1.0, 1.0, Side.BUY))
        made.offer(delta)
        made.offer(trade(8))
        made.offer(trade(9))
        await trio.sleep(100)
        made.offer(trade(10))
        made.offer(BookSnapshot(ETH, 11, 11, 2, [(1.0, 1.0)], []))
        await trio.sleep(10)
        assert (made.statistics().put_aside, made.statistics().down) == (1, False)
    assert sink.offered.count("history/run-1") == 5
    assert asked == [ETH]
    assert [event for event in sink.events if isinstance(event, Trade)] == [trade(n) for n in (8, 9, 10)]
    assert [(gap.instrument, gap.begin_us, gap.end_us, gap.reason)
            for gap in sink.events if isinstance(gap, Gap)] == [
        (BTC, 7, None, GapReason.OVERFLOW), (ETH, 1, None, GapReason.OVERFLOW),
        (BTC, 7, 10, GapReason.OVERFLOW), (ETH, 1, 11, GapReason.OVERFLOW)]
    assert names(tmp_path / "refused") == ["history_run-1.seg"] * spooled


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*")]


async def test_two_sinks_of_one_place_name_their_batches_apart(autojump_clock: MockClock) -> None:
    sink = FakeSink()
    for name in ("one", "two"):
        async with running(Batcher(name, sink, run_id="run", in_thread=inline)) as made:
            made.offer(trade(1))
    assert list(sink.batches) == ["one/run-1", "two/run-1"]


async def test_memory_is_bounded_by_the_levels_of_books(autojump_clock: MockClock) -> None:
    sink = FakeSink()
    sink.down = True
    levels = [(float(price), 1.0) for price in range(1, 1001)]
    async with running(batcher(sink, max_buffered=50_000)) as made:
        for number in range(100):
            made.offer(BookSnapshot(ETH, number, number, number, levels, levels))
        statistics = made.statistics()
        assert statistics.buffered == 30
        assert statistics.buffered_size == 30 * 2001
        assert statistics.refused == 70
