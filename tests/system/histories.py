"""Looking into the embedded history that a daemon has left behind, and what must always hold of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ctcore.sinks.client import HistoryClient, connect
from ctcore.sinks.config import ClickHouseConfig

_ONCE = {
    "trade": "instrument, trade_id",
    "book_delta": "instrument, ts, seq, side, price",
    "book_snapshot": "instrument, ts, seq",
    "batches": "id",
}


@contextmanager
def history(folder: Path) -> Iterator[HistoryClient]:
    """A connection to the engine in a folder that no other process has."""
    config = ClickHouseConfig(url=f"chdb://{folder}")
    client = connect(config)
    try:
        client.use(config.database)
        yield client
    finally:
        client.close()


def check_nothing_twice(client: HistoryClient) -> None:
    """No trade, no change of a book and no batch stands in history twice."""
    for table, key in _ONCE.items():
        ((rows, distinct),) = client.rows(f"SELECT count(), uniqExact({key}) FROM {table}")
        assert rows == distinct, f"{table}: {rows - distinct} of {rows} rows stand there twice"
        assert rows, f"{table} is empty"


def check_batches_whole(client: HistoryClient) -> None:
    """Every row is of a finished batch."""
    for table in ("trade", "book_delta", "book_snapshot", "ticker", "gap"):
        ((strays,),) = client.rows(
            f"SELECT count() FROM {table} WHERE batch NOT IN (SELECT batch FROM batches)")
        assert not strays, f"{table}: {strays} rows are of no finished batch"


def gaps(client: HistoryClient, reason: str) -> list[tuple[str, str, int, int | None]]:
    """``(instrument, channel, begin_us, end_us)`` of the gaps with a reason, in order."""
    rows = client.rows(
        "SELECT concat(exchange, ':', market, ':', pair), channel, toUnixTimestamp64Micro(begin_us), "
        "toUnixTimestamp64Micro(end_us) FROM v_gap WHERE reason = {reason:String} ORDER BY ALL",
        {"reason": reason})
    return [(str(name), str(channel), int(begin), end) for name, channel, begin, end in rows]
