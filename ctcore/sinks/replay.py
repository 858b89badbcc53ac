"""The same order book by plain replay in Python: what SQL's answer is compared with."""
# ruff: noqa: S608  the texts are made of our own names and of integers

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from ctcore.model.ids import InstrumentId
from ctcore.model.market import BookDelta, BookSnapshot, Level
from ctcore.sinks.client import HistoryClient
from ctcore.sinks.queries import WrittenId, id_list, ids_of, moment, unscaled

BookEvent = BookSnapshot | BookDelta


def read_book(client: HistoryClient, instrument: InstrumentId, begin_us: int, end_us: int) -> list[BookEvent]:
    """Snapshots and deltas between two moments (both included) in history's order.

    Deltas that changed nothing are not kept by history. ``first_seq`` and ``prev_seq`` are not either: they
    come back as ``seq`` and 0.
    """
    ids = ids_of(client, instrument)
    asked = (client, instrument, ids, begin_us, end_us)
    events = [*_snapshots(*asked), *_deltas(*asked)]
    return sorted(events, key=lambda e: (e.received_us, e.seq, isinstance(e, BookDelta)))


def replay_book(events: Iterable[BookEvent], at_us: int, depth: int = 0) -> tuple[list[Level], list[Level]]:
    """Bids and asks at ``at_us``, best first, from events in history's order."""
    sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
    anchor: tuple[int, int] | None = None
    for event in events:
        if event.received_us > at_us:
            break
        if isinstance(event, BookSnapshot):
            sides = (dict(event.bids), dict(event.asks))
            anchor = (event.received_us, event.seq)
        elif anchor is not None and (event.received_us, event.seq) > anchor:
            sides[0].update(event.bids)
            sides[1].update(event.asks)
    bids = sorted(((p, q) for p, q in sides[0].items() if q), reverse=True)
    asks = sorted((p, q) for p, q in sides[1].items() if q)
    return (bids[:depth], asks[:depth]) if depth else (bids, asks)


def _snapshots(
    client: HistoryClient, instrument: InstrumentId, ids: Sequence[WrittenId], begin_us: int, end_us: int
) -> list[BookEvent]:
    price, quantity = unscaled("v", ids, "price"), unscaled("v", ids, "quantity")
    sides = ", ".join(f"arrayMap(v -> {value}, {side})" for side, value in (
        ("bid_prices", price), ("bid_quantities", quantity),
        ("ask_prices", price), ("ask_quantities", quantity)))
    rows = client.rows(
        f"SELECT toUnixTimestamp64Micro(exchange_us), toUnixTimestamp64Micro(ts), seq, {sides} "
        f"FROM book_snapshot WHERE {_within(ids, begin_us, end_us)} ORDER BY ts, seq")
    return [
        BookSnapshot(instrument, exchange_us, ts, seq, *(
            list(zip(prices, quantities, strict=True)) for prices, quantities in ((bp, bq), (ap, aq))))
        for exchange_us, ts, seq, bp, bq, ap, aq in rows
    ]


def _deltas(
    client: HistoryClient, instrument: InstrumentId, ids: Sequence[WrittenId], begin_us: int, end_us: int
) -> list[BookEvent]:
    price, quantity = unscaled("price", ids, "price"), unscaled("quantity", ids, "quantity")
    rows = client.rows(
        f"SELECT toUnixTimestamp64Micro(ts), seq, toUnixTimestamp64Micro(exchange_us), toInt8(side), "
        f"{price}, {quantity} FROM book_delta WHERE {_within(ids, begin_us, end_us)} ORDER BY ts, seq, side")
    events: list[BookEvent] = []
    for (ts, seq, exchange_us), levels in groupby(rows, key=lambda row: row[:3]):
        sides: tuple[list[Level], list[Level]] = ([], [])
        for *_, side, level_price, level_quantity in levels:
            sides[side].append((level_price, level_quantity))
        events.append(BookDelta(instrument, exchange_us, ts, seq, 0, seq, *sides))
    return events


def _within(ids: Sequence[WrittenId], begin_us: int, end_us: int) -> str:
    return f"instrument IN ({id_list(ids)}) AND ts >= {moment(begin_us)} AND ts <= {moment(end_us)}"
