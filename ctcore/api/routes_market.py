"""Market data: the streams and the order books, now and in history."""

from __future__ import annotations

from collections.abc import Sequence

import trio
from msgspec import UNSET
from starlette.requests import Request

from ctcore.api.answers import BookAnswer, ErrorAnswer, JsonAnswer, StreamRow, StreamsAnswer
from ctcore.api.errors import ApiError
from ctcore.api.operations import Operation
from ctcore.api.parameters import BookPath, BookQuery, StreamsQuery, read_path, read_query
from ctcore.api.target import ApiTarget, BookView
from ctcore.api.views import answer_of
from ctcore.errors import ConfigError, UnknownInstrument
from ctcore.feed.streams import StreamStatistics
from ctcore.model.ids import InstrumentId
from ctcore.model.time import US_PER_SEC, parse_time
from ctcore.runtime.clock import Clock

HISTORY_DEADLINE_SEC = 30.0

AHEAD_MOST_SEC = 60
"""How far the clock of somebody who asks for "now" in history may be ahead of the daemon's."""


def market_operations(target: ApiTarget, clock: Clock) -> Sequence[Operation]:
    """``/streams`` and ``/books``."""

    async def streams(request: Request) -> JsonAnswer:
        wanted = read_query(request, StreamsQuery)
        rows = (_row(stream) for stream in target.streams())
        return JsonAnswer(StreamsAnswer([row for row in rows if _fits(row, wanted)]))

    async def book(request: Request) -> JsonAnswer:
        instrument = read_path(request, BookPath).instrument()
        query = read_query(request, BookQuery)
        at_us = None if query.at is UNSET else _moment(query.at, clock.now_us())
        try:
            if at_us is None:
                view = target.book(instrument, query.depth)
            else:
                view = await _from_history(target, instrument, at_us, query.depth)
        except UnknownInstrument as error:
            raise ApiError(404, "unknown_instrument", str(error), place="path.pair") from None
        return JsonAnswer(answer_of(view))

    return (
        Operation(path="/streams", endpoint=streams, query=StreamsQuery, answer=StreamsAnswer,
                  summary="Rates, lag, gaps and last message of every stream"),
        Operation(path="/books/{exchange}/{market}/{pair:path}", endpoint=book, path_parameters=BookPath,
                  query=BookQuery, answer=BookAnswer, summary="An order book, now or at a moment of history",
                  others={404: ErrorAnswer, 409: ErrorAnswer, 503: ErrorAnswer, 504: ErrorAnswer}),
    )


async def _from_history(target: ApiTarget, instrument: InstrumentId, at_us: int, depth: int) -> BookView:
    with trio.move_on_after(HISTORY_DEADLINE_SEC):
        return await target.history_book(instrument, at_us, depth)
    message = f"history has not answered within {HISTORY_DEADLINE_SEC:g} s; ask again later"
    raise ApiError(504, "timeout", message)


def _moment(text: str, now_us: int) -> int:
    try:
        at_us = parse_time(text)
    except ConfigError as error:
        raise ApiError(400, "invalid_parameter", f"Invalid at: {error}", place="query.at") from None
    if not 0 <= at_us <= now_us + AHEAD_MOST_SEC * US_PER_SEC:
        when = "before 1970" if at_us < 0 else "in the future"
        message = f"Invalid at: {text} is {when}; ask for a moment that history can have"
        raise ApiError(400, "invalid_parameter", message, place="query.at")
    return at_us


def _row(stream: StreamStatistics) -> StreamRow:
    instrument = stream.instrument
    return StreamRow(
        exchange=instrument.exchange, market=instrument.market, pair=instrument.pair, channel=stream.channel,
        messages=stream.messages, messages_per_sec=stream.messages_per_sec, duplicates=stream.duplicates,
        gaps=stream.gaps, last_exchange_us=stream.last_exchange_us, last_received_us=stream.last_received_us,
        lag_us=stream.lag_us, open_gap=stream.open_gap)


def _fits(row: StreamRow, wanted: StreamsQuery) -> bool:
    return (
        wanted.exchange in (UNSET, row.exchange)
        and wanted.market in (UNSET, row.market)
        and wanted.pair in (UNSET, row.pair)
        and wanted.channel in (UNSET, row.channel)
    )
