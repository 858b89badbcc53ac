"""Pages about history against a real engine: tables, columns, views, and every question they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import BookDelta, BookSnapshot, Gap, GapReason, Side, Ticker, Trade
from ctcore.model.time import parse_time
from ctcore.sinks.clickhouse import ClickHouseSink
from ctcore.sinks.client import HistoryClient, connect
from ctcore.sinks.config import ClickHouseConfig
from ctcore.sinks.queries import book_at

from .pages import ROOT, Block, blocks, code, every_block, headings, rows, section

PAGE = ROOT / "docs" / "reference" / "history.md"
BTC = InstrumentId.parse("binance:spot:BTC/USDT")
MOMENT = "2026-11-23 04:13:50.766679"
"""The moment that the pages ask about."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a history in ``data/history``, of some events around the moment."""
    pytest.importorskip("chdb", reason="the embedded engine is not installed: pip install 'ctcore[embedded]'")
    folder = tmp_path_factory.mktemp("docs")
    config = ClickHouseConfig(url=f"chdb://{folder}/data/history")
    now_us = parse_time(MOMENT)
    bids, asks = [(100.0 - i, 1.0 + i) for i in range(5)], [(101.0 + i, 2.0 + i) for i in range(5)]
    events: list[Any] = [
        BookSnapshot(BTC, now_us - 9_000, now_us - 8_000, 10, bids, asks),
        BookDelta(BTC, now_us - 8_000, now_us - 8_000, 11, 10, 11, [(100.0, 0.0)], []),
        BookDelta(BTC, now_us - 7_000, now_us - 5_000, 12, 11, 12, [(99.5, 7.0)], [(101.0, 3.5)]),
        BookDelta(BTC, now_us, now_us, 13, 12, 13, [], [(101.0, 0.0)]),
        BookDelta(BTC, now_us, now_us + 1, 14, 13, 14, [(99.5, 0.0)], []),
        Trade(BTC, now_us - 4_000, now_us - 3_000, "1", 101.0, 0.5, Side.BUY),
        Ticker(BTC, now_us - 4_000, now_us - 3_000, 99.5, 7.0, 101.0, 3.5),
        Gap(BTC, now_us - 3_000, now_us - 2_000, Channel.TRADE, GapReason.DISCONNECT, now_us - 4_000),
    ]
    sink = ClickHouseSink(config)
    sink.open()
    sink.write_batch("docs-1", events)
    sink.close()
    return folder


@pytest.fixture(scope="module")
def history(folder: Path) -> Iterator[HistoryClient]:
    client = connect(ClickHouseConfig(url=f"chdb://{folder}/data/history"))
    client.use("crypto")
    yield client
    client.close()


def test_python_of_the_guide_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    namespace: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "how-to" / "ask-history.md", "python"):
        exec(compile(block.text, str(block), "exec", dont_inherit=True), namespace)
    assert namespace["rows"] == [("BTC/USDT", 101.0, 0.5)]
    assert namespace["book"].bids[:2] == [(99.5, 7.0), (99.0, 2.0)]


def described(client: HistoryClient, table: str) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in client.rows(f"DESCRIBE TABLE {table}")]


def test_every_view_and_its_columns(history: HistoryClient) -> None:
    views = [text.strip("`") for _, text in headings(PAGE) if text.startswith("`v_")]
    there = [name for (name,) in history.rows(
        "SELECT name FROM system.tables WHERE database = 'crypto' AND engine = 'View'")]
    assert sorted(views) == sorted(there)
    for view in views:
        listed = [(code(row[0]), code(row[1])) for row in rows(section(PAGE, f"`{view}`"))]
        assert listed == described(history, view)


def test_every_table_its_key_and_its_columns(history: HistoryClient) -> None:
    text = section(PAGE, "Tables")
    listed = {code(row[0]): (code(row[1]), re.findall(r"`(\w+)`", row[2])) for row in rows(text)}
    real = {name: (key, [column for column, _ in described(history, name)]) for name, key in history.rows(
        "SELECT name, sorting_key FROM system.tables WHERE database = 'crypto' AND engine LIKE '%MergeTree'")}
    assert listed == real
    helpers = {name for (name,) in history.rows(
        "SELECT name FROM system.tables "
        "WHERE database = 'crypto' AND engine IN ('Null', 'MaterializedView')")}
    assert helpers == set(re.findall(r"`(\w+_(?:in|mv))`", text))


@pytest.mark.parametrize("block", [b for b in every_block("sql") if not b.option], ids=str)
def test_questions_are_answered(block: Block, history: HistoryClient) -> None:
    history.rows(block.text)


def test_the_book_of_the_tutorial_is_that_of_ctcore(history: HistoryClient) -> None:
    (question,) = blocks(ROOT / "docs" / "tutorial" / "first-history.md", "sql")
    assert MOMENT in question.text
    answer = history.rows(question.text)
    book = book_at(history, BTC, parse_time(MOMENT), depth=3)
    assert book.bids
    assert answer == [*(("bid", *level) for level in book.bids), *(("ask", *level) for level in book.asks)]
