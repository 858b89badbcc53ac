"""The protocol machine of one Binance connection: subscribe, read frames, poll what has no stream.

Hot path: the stream name of a combined frame is found by one search in the bytes, its payload decoded by the
one decoder of its kind. Order books are in :mod:`ctdaemon_binance.books`, the other kinds in
:mod:`ctdaemon_binance.events`, and :mod:`ctdaemon_binance.dispatch` tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ctcore.contracts.driver import (
    BookStatistics,
    Close,
    ConnectionPlan,
    Control,
    Effect,
    Fetch,
    HttpResponse,
    StreamSession,
)
from ctcore.errors import CtcoreError, DecodeError, UnknownInstrument
from ctcore.model.ids import Channel, InstrumentId, Market
from ctcore.model.instrument import Catalogue
from ctcore.model.market import Gap, GapReason
from ctcore.model.time import US_PER_SEC
from ctdaemon_binance import rest, wire
from ctdaemon_binance.books import Books
from ctdaemon_binance.config import BinanceConfig
from ctdaemon_binance.dispatch import Dispatch, Read
from ctdaemon_binance.names import Names
from ctdaemon_binance.plans import PARTIAL_DEPTHS, Stream, part_streams
from ctdaemon_binance.polling import Polling
from ctdaemon_binance.subscribing import Subscribing

OPEN_INTEREST = "open_interest"
"""The purpose of a Fetch that polls it."""

_PREFIX = b'{"stream":"'
_MIDDLE = b'","data":'
_NAME = len(_PREFIX)
_SKIP = len(_MIDDLE)
_BRACE = ord("}")
_SHUTDOWN = b'"serverShutdown"'
"""No stream of its own is documented for this event: it is understood under any name."""

_MAX_STREAM_NAMES = 20_000
"""What a recording may make us remember; beyond it the memory is cleared."""


class BinanceSession(StreamSession):
    """One connection to spot, or to one of the two futures sockets. ``base`` is where REST is."""

    def __init__(self, plan: ConnectionPlan, catalogue: Catalogue, base: str, config: BinanceConfig) -> None:
        self._plan = plan
        self._base = base
        self._names = names = Names(plan, catalogue)
        limit = config.spot_depth_limit if plan.market is Market.SPOT else config.futures_depth_limit
        self._books = Books(plan.market, base, limit, names.instrument_of, plan.quiet_sec, self._restart)
        self._dispatch = Dispatch(plan.market, self._books, names, self._answered)
        self._readers: dict[bytes, Read] = {}
        self._subscribing = Subscribing(plan.send_interval_sec)
        self._streams: dict[str, list[Stream]] = {}
        self._choose_streams(config)
        polled = (s.instrument for s in plan.subscriptions if s.channel is Channel.OPEN_INTEREST)
        interval_us = int(config.open_interest_interval_sec * US_PER_SEC)
        self._polling = Polling(polled, interval_us)

    def connected(self, now_us: int) -> Iterable[Effect]:
        """Subscribe; the runner paces the frames."""
        self._polling.start(now_us)
        return self._subscribing.ask(list(self._streams), now_us)

    def received(self, frame: bytes, now_us: int) -> Iterable[Effect]:
        """Read one frame, combined or raw."""
        end = frame.find(_MIDDLE)
        read = self._readers.get(frame[:end])
        if read is None and end > 0 and frame.startswith(_PREFIX):
            read = self._learn(frame[:end])
        if read is not None and frame[-1] == _BRACE:
            payload = frame[end + _SKIP : -1]
            try:
                return read(payload, now_us)
            except DecodeError:
                if _SHUTDOWN in payload:
                    return self._dispatch.bare(payload, now_us)
                if _is_data_of(payload, frame):
                    raise
        return self._dispatch.unusual(frame, now_us)

    def tick(self, now_us: int) -> Iterable[Effect]:
        """Watch acknowledgements, seed quiet books, poll open interest."""
        if self._subscribing.overdue(now_us):
            return (Close("SUBSCRIBE was not answered"),)
        effects = self._books.tick(now_us)
        for instrument in self._polling.due(now_us):
            request = rest.build_open_interest(self._base, self._names.symbol_of(instrument))
            effects.append(Fetch(request, OPEN_INTEREST, instrument))
        return effects

    def fetched(self, fetch: Fetch, response: HttpResponse, now_us: int) -> Iterable[Effect]:
        """A snapshot, or an open interest."""
        instrument = fetch.instrument
        if instrument is None:
            return ()
        if fetch.purpose == OPEN_INTEREST:
            interest = rest.parse_open_interest(response, instrument, now_us)
            self._polling.answered(instrument, now_us)
            return (interest,)
        snapshot = rest.parse_depth(response, instrument, now_us)
        return self._books.fetched(fetch.purpose, instrument, snapshot, now_us)

    def fetch_failed(self, fetch: Fetch, error: CtcoreError, now_us: int) -> Iterable[Effect]:
        """Ask again later, unless the venue does not know the symbol."""
        instrument = fetch.instrument
        if instrument is None:
            return ()
        if fetch.purpose == OPEN_INTEREST:
            self._polling.answered(instrument, now_us)
            return ()
        if isinstance(error, UnknownInstrument):
            self._books.refuse(self._names.symbol_of(instrument))
            return (_refusal(instrument, Channel.ORDERBOOK, str(error), now_us),)
        return self._books.fetch_failed(fetch.purpose, instrument, now_us)

    def resync(self, instrument: InstrumentId, reason: GapReason, now_us: int) -> Iterable[Effect]:
        """Somebody found a book wrong."""
        book = self._books.of(instrument)
        return book.resync(reason, book.symbol, now_us) if book is not None else ()

    @property
    def ready(self) -> bool:
        """Every SUBSCRIBE was answered and every book is in sync or refused."""
        return self._subscribing.settled and self._books.in_sync

    def books(self) -> Mapping[InstrumentId, BookStatistics]:
        """Counts of every book."""
        return self._books.statistics()

    def _learn(self, head: bytes) -> Read:
        """What reads the frames that begin with ``head``; remembered, up to a bound."""
        if len(self._readers) >= _MAX_STREAM_NAMES:
            self._readers.clear()
        read = self._readers[head] = self._dispatch.reader(head[_NAME:])
        return read

    def _choose_streams(self, config: BinanceConfig) -> None:
        """Only those that this connection's part carries; one stream may serve several subscriptions."""
        for wanted in self._plan.subscriptions:
            symbol = self._names.symbol_of(wanted.instrument)
            for stream in part_streams(self._plan.part, (wanted,), symbol, config):
                self._streams.setdefault(stream.name, []).append(stream)
                if wanted.channel is Channel.ORDERBOOK:
                    window = wanted.depth if wanted.depth in PARTIAL_DEPTHS else 0
                    self._books.expect(symbol, window=window, levels=wanted.depth)

    def _restart(self, symbol: str, now_us: int) -> Iterable[Effect]:
        """Open the stream of a book anew: it died while its socket lives."""
        return [
            send
            for name, streams in self._streams.items()
            for stream in streams
            if stream.subscription.channel is Channel.ORDERBOOK
            and self._names.symbol_of(stream.subscription.instrument) == symbol
            for send in self._subscribing.restart(name, now_us)
        ]

    def _answered(self, head: wire.Head, now_us: int) -> Iterable[Effect]:
        """The answer to one of our requests; a refused stream is a gap of its channel that never ends."""
        error = _error_in(head)
        if error is None:
            for name in self._subscribing.acknowledged(head.id):
                for stream in self._streams[name]:
                    if stream.subscription.channel is Channel.ORDERBOOK:
                        self._books.subscribed(self._names.symbol_of(stream.subscription.instrument), now_us)
            if head.result is None:
                return (Control("ack", {"id": head.id}),)
            return (Control("result", {"id": head.id, "result": head.result}),)
        again, refused = self._subscribing.refused(head.id, now_us)
        effects: list[Effect] = [Control("error", {"id": head.id, "error": error}), *again]
        for stream in self._streams.get(refused or "", ()):
            instrument, channel = stream.subscription.instrument, stream.subscription.channel
            if channel is Channel.ORDERBOOK:
                self._books.refuse(self._names.symbol_of(instrument))
            effects.append(_refusal(instrument, channel, f"{stream.name}: {error}", now_us))
        return effects


def _is_data_of(payload: bytes, frame: bytes) -> bool:
    """Whether ``payload`` is the frame's ``data``: a key after it would have misled the cut."""
    try:
        return bytes(wire.HEAD.decode(frame).data) == payload
    except wire.NOT_JSON:
        return True


def _error_in(head: wire.Head) -> object:
    """The refusal in an answer, in any of the forms that were met, or None."""
    if head.code is not None:
        return {"code": head.code, "msg": head.msg}
    if head.error is not msgspec.UNSET:
        return head.error
    return head.result if isinstance(head.result, dict) and "error" in head.result else None


def _refusal(instrument: InstrumentId, channel: Channel, detail: str, now_us: int) -> Gap:
    return Gap(instrument, now_us, now_us, channel, GapReason.REFUSED, now_us, None, detail)
