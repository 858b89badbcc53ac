"""The driver's contract: facts and pure functions about one venue. No I/O, no clock.

A driver turns what is wanted into connection plans, and makes one fresh :class:`StreamSession` a connection.
The runner (``ctcore.feed``) owns sockets, clocks and retries; the same session therefore serves live data,
recordings, the simulated venue and tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar

import attrs

from ctcore.contracts.driver.facts import DriverInfo, Endpoints, RateNotice
from ctcore.contracts.driver.requests import Effect, Fetch, HttpRequest, HttpResponse
from ctcore.errors import CtcoreError
from ctcore.model.ids import InstrumentId, Market, Subscription
from ctcore.model.instrument import Catalogue, Instrument
from ctcore.model.market import GapReason
from ctcore.wire.codec import Codec


@attrs.frozen(kw_only=True)
class ConnectionPlan:
    """One WebSocket connection: where, what for, and how to behave on it.

    ``name`` identifies it in logs and gauges; ``part`` is the driver's own word for one of several sockets.
    ``extra`` is what :meth:`Driver.prepared` learnt for the session (a ping interval). ``codec`` undoes the
    venue's compression of whole frames; a frame of a ``gzip`` plan that is no gzip passes as it is.
    ``send_interval_sec`` paces our frames. After ``stall_sec`` without any byte the connection counts as
    half-open. A book silent for ``quiet_sec`` is checked against a new snapshot. ``lifetime_sec`` is the
    greatest age at which a successor takes over, before the venue cuts; chance takes up to 15 % away, so that
    connections do not age together. ``ids_across_connections`` is False where a book's ids count anew, or
    differently, on each connection: a successor's book is then taken as it is. ``any_instrument`` is for
    recordings: events of instruments that were not asked for are accepted, and named by the venue's own
    symbol where the catalogue does not know them.
    """

    name: str
    exchange: str
    market: Market
    url: str
    subscriptions: tuple[Subscription, ...]
    part: str = ""
    codec: Codec = "plain"
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    extra: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    send_interval_sec: float = 0.0
    stall_sec: float = 60.0
    quiet_sec: float = 60.0
    lifetime_sec: float | None = None
    ids_across_connections: bool = True
    any_instrument: bool = False


@attrs.frozen
class BookStatistics:
    """What happened to one order book on one connection.

    ``deltas_dropped`` counts deltas older than a snapshot, after a break, or still waiting for a snapshot.
    """

    symbol: str
    snapshots: int
    deltas_applied: int
    deltas_dropped: int
    gaps: int
    in_sync: bool


class StreamSession(ABC):
    """The protocol machine of one connection. Every method is synchronous and returns effects to perform.

    Any method may raise :class:`~ctcore.errors.DecodeError`; the session stays usable afterwards.
    """

    @abstractmethod
    def connected(self, now_us: int) -> Iterable[Effect]:
        """The socket is open: log in, subscribe."""

    @abstractmethod
    def received(self, frame: bytes, now_us: int) -> Iterable[Effect]:
        """One whole message, decompressed; text and binary both come as bytes."""

    @abstractmethod
    def tick(self, now_us: int) -> Iterable[Effect]:
        """About once a second: heartbeats, deadlines, polling."""

    @abstractmethod
    def fetched(self, fetch: Fetch, response: HttpResponse, now_us: int) -> Iterable[Effect]:
        """A REST call answered with status 200."""

    @abstractmethod
    def fetch_failed(self, fetch: Fetch, error: CtcoreError, now_us: int) -> Iterable[Effect]:
        """A REST call ended in an error, venue's or network's; the session decides whether to ask again."""

    @abstractmethod
    def resync(self, instrument: InstrumentId, reason: GapReason, now_us: int) -> Iterable[Effect]:
        """Somebody found the book of ``instrument`` wrong: declare a gap and get a new snapshot."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Every subscription is acknowledged or refused, and every book in sync."""

    @property
    def acknowledged(self) -> bool:
        """Every subscription is acknowledged or refused: streams without snapshots are whole from here on.

        A session that does not tell makes them wait for its books.
        """
        return self.ready

    @abstractmethod
    def books(self) -> Mapping[InstrumentId, BookStatistics]:
        """Counts of every order book of this connection."""


class Driver(ABC):
    """One venue. ``endpoints`` are those of the configured environment, overrides applied."""

    info: ClassVar[DriverInfo]

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    @abstractmethod
    def instruments(self, market: Market) -> Sequence[HttpRequest]:
        """The calls that list a market's instruments."""

    @abstractmethod
    def parse_instruments(self, market: Market, responses: Sequence[HttpResponse]) -> list[Instrument]:
        """Their answers as instruments; rows of products ctcore does not serve are left out."""

    @abstractmethod
    def plan(
        self, wanted: AbstractSet[Subscription], catalogues: Mapping[Market, Catalogue]
    ) -> list[ConnectionPlan]:
        """Split what is wanted into connections within the venue's limits, the same input giving the same
        plans.
        """

    @abstractmethod
    def recorded(self, market: Market) -> ConnectionPlan:
        """The plan under which recorded frames of a market are read (``any_instrument`` is True)."""

    @abstractmethod
    def session(self, plan: ConnectionPlan, catalogue: Catalogue) -> StreamSession:
        """A fresh machine for one connection."""

    def prepare(self, plan: ConnectionPlan, now_us: int) -> HttpRequest | None:  # noqa: ARG002  most need none
        """The REST call to make before a connect of ``plan``, made anew for each; None: connect at once."""
        return None

    def prepared(self, plan: ConnectionPlan, response: HttpResponse, now_us: int) -> ConnectionPlan:  # noqa: ARG002
        """The plan completed by the answer to :meth:`prepare`: its URL, headers or ``extra``."""
        raise TypeError(f"{plan.name} needs no preparation, yet got {response.request.label}")

    @abstractmethod
    def check(self, response: HttpResponse) -> None:
        """Raise the :class:`~ctcore.errors.VenueError` that an answer stands for, by the venue's code table.
        """

    @abstractmethod
    def rate_notice(self, response: HttpResponse) -> RateNotice:
        """What the answer's headers tell about the venue's rate budget."""
