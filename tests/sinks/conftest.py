"""The real embedded engine, once for all tests of a file, each in a database of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import BookDelta, BookSnapshot, Level
from ctcore.sinks.clickhouse import ClickHouseSink
from ctcore.sinks.client import HistoryClient, connect
from ctcore.sinks.config import ClickHouseConfig

BTC = InstrumentId("binance", Market.SPOT, "BTC/USDT")
T0 = 1_760_000_000_000_000
_databases = itertools.count(1)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The url of an embedded engine that stays up for a file's tests; a process has one folder at a time."""
    pytest.importorskip("chdb", reason="the embedded engine is not installed: pip install 'ctcore[embedded]'")
    folder: Path = tmp_path_factory.mktemp("engine")
    url = f"chdb://{folder}"
    keeper = connect(ClickHouseConfig(url=url))
    yield url
    keeper.close()


@pytest.fixture
def config(engine: str) -> ClickHouseConfig:
    return ClickHouseConfig(url=engine, database=f"test_{next(_databases)}")


@pytest.fixture
def sink(config: ClickHouseConfig) -> Iterator[ClickHouseSink]:
    sink = ClickHouseSink(config)
    sink.open()
    yield sink
    sink.close()


@pytest.fixture
def reader(config: ClickHouseConfig, sink: ClickHouseSink) -> Iterator[HistoryClient]:
    """A second connection, as the API has one."""
    client = connect(config)
    client.use(config.database)
    yield client
    client.close()


BookFlow = Callable[[int, int], list[BookSnapshot | BookDelta]]


@pytest.fixture
def book_flow() -> BookFlow:
    """Makes a flow of ``count`` order book events from a seed: deltas, deletions, a snapshot now and then."""
    return _flow


def _flow(seed: int, count: int) -> list[BookSnapshot | BookDelta]:
    rng = Random(seed)
    sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
    for i in range(1, 30):
        sides[0][round(100 - i / 100, 2)] = sides[1][round(100 + i / 100, 2)] = float(i)
    events: list[BookSnapshot | BookDelta] = []
    ts, seq = T0, 1
    for number in range(count):
        if number % 97 == 0:
            events.append(BookSnapshot(BTC, ts - 5, ts, seq, list(sides[0].items()), list(sides[1].items())))
        ts += rng.choice((0, 1, 1, 250_000)) if number % 97 else 1
        seq += rng.randint(1, 3)
        changes: list[list[Level]] = []
        for side in sides:
            prices = rng.sample(sorted(side), min(2, len(side)))
            prices += [round(99 + rng.random() * 2, 2) for _ in range(2)]
            levels = {price: round(rng.choice((0.0, rng.random() * 9, 1.0)), 4) for price in prices}
            side.update(levels)
            changes.append(list(levels.items()))
            for price in [price for price, quantity in side.items() if not quantity]:
                del side[price]
        events.append(BookDelta(BTC, ts - 5, ts, seq, seq - 1, seq, *changes))
    return events
