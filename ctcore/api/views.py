"""Order books as they are shown: the one place where a book, live or of history, becomes a view."""

from __future__ import annotations

from ctcore.api.answers import BookAnswer
from ctcore.api.target import BookView
from ctcore.book import OrderBook
from ctcore.errors import UnknownInstrument
from ctcore.model.ids import InstrumentId
from ctcore.model.time import iso
from ctcore.sinks.queries import HistoricBook


def live_view(book: OrderBook, instrument: InstrumentId, symbol: str, depth: int) -> BookView:
    """A live book, its best ``depth`` levels a side; 0 for all."""
    return BookView(
        instrument=instrument,
        symbol=symbol,
        source="live",
        in_sync=book.valid,
        seq=book.seq,
        exchange_us=book.exchange_us,
        received_us=book.received_us,
        bids=book.bids(depth),
        asks=book.asks(depth),
        levels=(len(book.bid_side), len(book.ask_side)),
    )


def history_view(found: HistoricBook, symbol: str, depth: int) -> BookView:
    """A book of history, its best ``depth`` levels a side; 0 for all.

    Raises :class:`~ctcore.errors.UnknownInstrument` when history has none by then.
    """
    if found.snapshot_us is None or found.last_us is None:
        raise UnknownInstrument(f"history has no book of {found.instrument} at {iso(found.at_us)}")
    return BookView(
        instrument=found.instrument,
        symbol=symbol,
        source="history",
        in_sync=found.in_sync,
        seq=found.seq,
        exchange_us=found.exchange_us,
        received_us=found.last_us,
        bids=found.bids[: depth or None],
        asks=found.asks[: depth or None],
        levels=(len(found.bids), len(found.asks)),
        at_us=found.at_us,
    )


def answer_of(view: BookView) -> BookAnswer:
    """What ``/books`` answers."""
    instrument = view.instrument
    return BookAnswer(
        exchange=instrument.exchange, market=instrument.market, pair=instrument.pair, symbol=view.symbol,
        source="live" if view.source == "live" else "history", in_sync=view.in_sync, seq=view.seq,
        exchange_us=view.exchange_us, received_us=view.received_us, at_us=view.at_us,
        bids=list(view.bids), asks=list(view.asks), levels=view.levels)
