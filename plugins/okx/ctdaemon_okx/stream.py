"""The session of one OKX connection: subscriptions, pings, refusals and the routing of data frames.

A data frame starts with the argument of its subscription, ``{"arg":{"channel":"books","instId":"X-USDT"}``.
These bytes are the same each time, so they are looked up as they are, and no decoder builds that object.
Frames that begin otherwise take the long way and mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial

from msgspec import structs

from ctcore.contracts.driver import (
    BookStatistics,
    Close,
    ConnectionPlan,
    Control,
    Effect,
    Fetch,
    HttpResponse,
    Retire,
    Send,
    StreamSession,
)
from ctcore.errors import CtcoreError, DecodeError
from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.instrument import Catalogue
from ctcore.model.market import Gap, GapReason
from ctcore.model.time import US_PER_SEC
from ctdaemon_okx.books import OkxBook
from ctdaemon_okx.channels import (
    BOOKS,
    LIQUIDATION_ORDERS,
    Handler,
    channel_of,
    handler_of,
    liquidations,
    shown_only,
    wanted_args,
)
from ctdaemon_okx.config import OkxConfig
from ctdaemon_okx.faults import MAINTENANCE_NOTICE, STREAM_CODES, StreamFault
from ctdaemon_okx.ledger import Ledger
from ctdaemon_okx.rest import build_book, parse_book
from ctdaemon_okx.symbols import instrument_of, listed_symbol
from ctdaemon_okx.wire import HEAD, NOT_JSON, Arg, Head, anything, head_of

_SEED = "seed"
_ROUTES = 20_000
_NAMED = re.compile(r'channel[\s":\\]+([\w-]+)[\s",\\]+(instId|instType)[\s":\\]+([A-Z0-9_-]+)')
_NOTED = ("login", "unsubscribe", "channel-conn-count")  # the last has variants with endings


class OkxSession(StreamSession):
    """See the module's text. ``rest_url`` and ``rest_headers`` are for seeding books.

    Routes and, for recordings, handlers are bounded at 20,000: frames beyond take the long way, or are
    refused.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        catalogue: Catalogue,
        config: OkxConfig,
        rest_url: str,
        rest_headers: Mapping[str, str],
    ) -> None:
        self._plan = plan
        self._catalogue = catalogue
        self._config = config
        self._rest_url = rest_url
        self._rest_headers = rest_headers
        self._ledger = Ledger(config.request_bytes, config.ack_timeout_sec, plan.send_interval_sec)
        self._anew: dict[Arg, None] = {}
        self._gathering = False
        self._refusals: dict[Arg, list[Gap]] = {}
        self._routes: dict[bytes, Handler] = {}
        self._handlers: dict[Arg, Handler] = {}
        self._books: dict[Arg, OkxBook] = {}
        self._now_us = self._ticked_us = self._quiet_us = 0
        self._liquidated = {
            listed_symbol(s.instrument, catalogue): s.instrument
            for s in plan.subscriptions if s.channel is Channel.LIQUIDATION
        }  # fmt: skip
        self._args = wanted_args(plan.subscriptions, catalogue, config.quotes)
        for arg, instrument in self._args.items():
            self._open(arg, instrument)

    @property
    def ready(self) -> bool:
        """Every subscription is acknowledged or refused, and every book in sync or refused."""
        return self._ledger.settled and all(book.settled for book in self._books.values())

    def books(self) -> Mapping[InstrumentId, BookStatistics]:
        """Counts of every order book of this connection."""
        return {book.instrument: book.statistics() for book in self._books.values()}

    def connected(self, now_us: int) -> Iterable[Effect]:
        """Subscribe to everything."""
        self._now_us = now_us
        return self._ledger.subscribe(list(self._args), now_us)

    def received(self, frame: bytes, now_us: int) -> Iterable[Effect]:
        """Route a data frame by its first bytes; anything else is read as a whole."""
        self._now_us = now_us
        try:
            handler = self._routes.get(frame[:frame.find(b"}") + 1])
            if handler is not None:
                return handler(frame, now_us)
            return self._other(frame, now_us)
        except NOT_JSON as error:
            kind = _kind_of(frame)
            raise DecodeError(f"{self._plan.name}: {kind} frame: {error}", kind=kind) from error

    def tick(self, now_us: int) -> Iterable[Effect]:
        """Ping after silence, seed books whose snapshot is late, give up on a venue that does not
        acknowledge."""
        if self._now_us != self._ticked_us:
            self._quiet_us = self._now_us  # something came since the last tick
        self._now_us = self._ticked_us = now_us
        effects: list[Effect] = []
        if now_us - self._quiet_us >= self._config.ping_after_sec * US_PER_SEC:
            self._quiet_us = now_us
            effects.append(Send("ping"))
        self._gathering = True
        for book in self._books.values():
            effects += book.tick(now_us)
        self._gathering = False
        return [*effects, *self._ask_anew(), *self._overdue(now_us)]

    def fetched(self, fetch: Fetch, response: HttpResponse, now_us: int) -> Iterable[Effect]:
        """A book to seed with; an answer that makes no sense counts as a failure and is asked for again."""
        book = self._book_of(fetch.instrument)
        if book is None:
            return ()
        try:
            return book.fetched(parse_book(response, book.instrument, now_us), now_us)
        except DecodeError as error:
            return [Control("error", {"msg": str(error)}), *book.fetch_failed(now_us)]

    def fetch_failed(
        self, fetch: Fetch, error: CtcoreError, now_us: int  # noqa: ARG002  the contract's signature
    ) -> Iterable[Effect]:
        """Once more, later each time: a book that is not seeded is no book."""
        book = self._book_of(fetch.instrument)
        return () if book is None else book.fetch_failed(now_us)

    def resync(self, instrument: InstrumentId, reason: GapReason, now_us: int) -> Iterable[Effect]:
        """Declare a gap of that book and get a new snapshot."""
        book = self._book_of(instrument)
        return () if book is None else book.resync(reason, f"{book.arg.symbol}: found wrong", now_us)

    def _open(self, arg: Arg, instrument: InstrumentId | None) -> Handler:
        """Make what reads the frames of one subscription; raises :class:`DecodeError` for an unknown
        channel."""
        handler = self._make(arg, instrument)
        self._handlers[arg] = handler
        return handler

    def _make(self, arg: Arg, instrument: InstrumentId | None) -> Handler:
        name = arg.channel
        if name == LIQUIDATION_ORDERS:
            return partial(liquidations, self._liquidation_of)
        if instrument is not None and name in BOOKS:
            book = self._books[arg] = OkxBook(
                arg, instrument, self._resubscribe, self._seed, patience_sec=self._config.seed_after_sec,
                quiet_sec=self._plan.quiet_sec,
                validate_checksum=self._config.validate_checksum, recorded=self._plan.any_instrument)
            return book.received
        with_quotes = self._plan.any_instrument or Arg("bbo-tbt", arg.symbol) not in self._args
        handler = handler_of(name, instrument, with_quotes=with_quotes) if instrument is not None else None
        if handler is None:
            raise DecodeError(f"{self._plan.name}: unknown channel {name[:60]!r}", kind="channel")
        return handler

    def _other(self, frame: bytes, now_us: int) -> Iterable[Effect]:
        """Pongs, events, and data frames met for the first time or written in another way."""
        if frame == b"pong":
            return (Control("pong", {}),)
        head = head_of(frame)
        if head.event:
            return self._event(head, frame, now_us)
        if head.arg is None or not head.data:
            raise DecodeError(f"{self._plan.name}: neither data nor event: {frame[:120]!r}", kind="shape")
        if shown_only(head.arg.channel):
            return (Control(head.arg.channel, anything(frame)),)
        handler = self._handlers.get(head.arg) or self._unasked(head.arg)
        self._remember(frame, head.arg, handler)
        return handler(frame, now_us)

    def _unasked(self, arg: Arg) -> Handler:
        """Data of no subscription of ours: welcome in recordings only."""
        if not self._plan.any_instrument or len(self._handlers) >= _ROUTES:
            what = f"{arg.channel} {arg.symbol or arg.inst_type}"
            raise DecodeError(f"{self._plan.name}: nobody asked for {what}", kind="unwanted")
        return self._open(arg, self._identify(arg.symbol) if arg.symbol else None)

    def _remember(self, frame: bytes, arg: Arg, handler: Handler) -> None:
        """Next time these first bytes are enough, provided that they hold the whole argument."""
        start = frame[:frame.find(b"}") + 1]
        if not start.startswith(b'{"arg":{') or len(self._routes) >= _ROUTES:
            return
        try:
            told = HEAD.decode(start + b"}").arg
        except NOT_JSON:
            return
        if told == arg:
            self._routes[start] = handler

    def _event(self, head: Head, frame: bytes, now_us: int) -> Iterable[Effect]:
        control = Control(head.event, anything(frame))
        match head.event:
            case "subscribe":
                return (control,) if head.arg is None else [control, *self._acknowledged(head.arg, now_us)]
            case "error":
                return [control, *self._failed(head, now_us)]
            case "notice":
                return [control, Retire(head.msg)] if head.code == MAINTENANCE_NOTICE else (control,)
            case event if event.startswith(_NOTED):
                return (control,)
            case event:
                raise DecodeError(f"{self._plan.name}: unknown event {event[:60]!r}", kind="event")

    def _acknowledged(self, arg: Arg, now_us: int) -> Iterable[Effect]:
        """The subscription stands; what counted as refused does not when its acknowledgement was late."""
        if arg in self._args:
            self._ledger.acknowledged(arg, now_us)
        book = self._books.get(arg)
        if book is not None:
            book.refused = False
            book.acknowledged(now_us)
        gaps = self._refusals.pop(arg, ())
        return [structs.replace(gap, exchange_us=now_us, received_us=now_us, end_us=now_us) for gap in gaps]

    def _failed(self, head: Head, now_us: int) -> Iterable[Effect]:
        """An error event: it names its channel in its text, or stands for the whole request of its id.

        Codes that are not listed refuse too: reconnecting because of one channel would take all others down.
        """
        fault = STREAM_CODES.get(head.code)
        if fault is StreamFault.RECONNECT:
            return (Close(f"error {head.code}: {head.msg}"),)
        if self._ledger.is_unsubscribe(head.id):
            return ()
        named = _named(head.msg)
        args = [named] if named is not None and named in self._args else self._ledger.pending_of(head.id)
        effects: list[Effect] = []
        for arg in args:
            self._ledger.refused(arg, now_us)
            effects += self._refused(arg, f"error {head.code}: {head.msg}", now_us)
        return effects

    def _overdue(self, now_us: int) -> Iterable[Effect]:
        """What is not acknowledged in time is refused; a venue that answers nothing at all is given up."""
        effects: list[Effect] = []
        for arg in self._ledger.overdue(now_us):
            if self._ledger.deaf(arg):
                effects.append(Close(f"{arg.channel} {arg.symbol or arg.inst_type} was never acknowledged"))
                break
            self._ledger.give_up(arg)
            effects += self._refused(arg, "never acknowledged", now_us)
        return effects

    def _refused(self, arg: Arg, why: str, now_us: int) -> Iterable[Effect]:
        book = self._books.get(arg)
        if book is not None:
            book.refused = True
        channel = channel_of(arg.channel)
        instrument = self._args.get(arg)
        missed = list(self._liquidated.values()) if instrument is None else [instrument]
        why = f"{arg.channel} {arg.symbol or arg.inst_type}: {why}"
        if channel is None or arg in self._refusals:
            return ()
        gaps = [Gap(each, now_us, now_us, channel, GapReason.REFUSED, now_us, None, why) for each in missed]
        self._refusals[arg] = gaps
        return gaps

    def _resubscribe(self, arg: Arg) -> Iterable[Effect]:
        """A new snapshot of one book: the first between two ticks at once, the others with the tick."""
        self._anew[arg] = None
        if self._gathering:
            return ()
        self._gathering = True
        return self._ask_anew()

    def _ask_anew(self) -> Iterable[Effect]:
        """New snapshots of what still needs one; a fresh connection when this one's hour is used up."""
        args = [arg for arg in self._anew if self._books[arg].awaiting]
        self._anew.clear()
        if not args:
            return ()
        requests = self._ledger.resubscribe(args, self._now_us)
        return requests or (Close("480 subscribe requests an hour are used up"),)

    def _seed(self, instrument: InstrumentId, symbol: str, delay_sec: float) -> Iterable[Effect]:
        request = build_book(self._rest_url, symbol, self._config.seed_depth, self._rest_headers)
        return (Fetch(request, _SEED, instrument, delay_sec),)

    def _book_of(self, instrument: InstrumentId | None) -> OkxBook | None:
        return next((book for book in self._books.values() if book.instrument == instrument), None)

    def _liquidation_of(self, symbol: str) -> InstrumentId | None:
        return self._identify(symbol) if self._plan.any_instrument else self._liquidated.get(symbol)

    def _identify(self, symbol: str) -> InstrumentId:
        listed = self._catalogue.by_symbol(symbol)
        return listed.id if listed is not None else instrument_of(symbol)


def _named(text: str) -> Arg | None:
    """The argument that the text of an error speaks of.

    ``Wrong URL or channel:books,instId:X-USDT doesn't exist.`` (60018), or the request quoted back (60012).
    """
    found = _NAMED.search(text)
    if found is None:
        return None
    channel, field, name = found.groups()
    return Arg(channel, symbol=name) if field == "instId" else Arg(channel, inst_type=name)


def _kind_of(frame: bytes) -> str:
    """A stable label of a frame that could not be decoded: its channel, or ``json``."""
    found = re.match(rb'\{\s*"arg"\s*:\s*\{\s*"channel"\s*:\s*"([a-z][\w-]{0,30})"', frame)
    return found[1].decode() if found else "json"
