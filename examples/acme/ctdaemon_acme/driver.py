"""ACME as facts, and the functions that tie the package together. No I/O, no clock."""
# ruff: noqa: ARG002  the contract hands over more than ACME needs

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar

import msgspec

from ctcore.contracts.driver import (
    Capabilities,
    ConnectionPlan,
    Driver,
    DriverInfo,
    Endpoints,
    HttpRequest,
    HttpResponse,
    RateLimit,
    RateNotice,
)
from ctcore.errors import DecodeError, RateLimited, RequestRefused, VenueUnavailable
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.model.instrument import Catalogue, Instrument, InstrumentKind
from ctdaemon_acme import wire
from ctdaemon_acme.stream import AcmeSession

EXCHANGE = "acme"
WEIGHT = "weight"
SUBSCRIPTIONS_PER_CONNECTION = 100

INFO = DriverInfo(
    id=EXCHANGE,
    title="ACME",
    environments={"live": Endpoints({"spot": "https://api.acme.example"}, {"spot": "wss://stream.acme.example"})},
    capabilities={Market.SPOT: Capabilities(frozenset({Channel.ORDERBOOK, Channel.TRADE}), ())},
    rate_limits=(RateLimit(WEIGHT, 600, 60.0),),
)


class AcmeDriver(Driver):
    """The spot market of ACME."""

    info: ClassVar[DriverInfo] = INFO

    def instruments(self, market: Market) -> Sequence[HttpRequest]:
        """One call."""
        url = f"{self.endpoints.rest[market]}/instruments"
        return (HttpRequest("GET", url, "instruments", {WEIGHT: 10}),)

    def parse_instruments(self, market: Market, responses: Sequence[HttpResponse]) -> list[Instrument]:
        """Its rows."""
        try:
            rows = [row for response in responses for row in wire.INSTRUMENTS.decode(response.body)]
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DecodeError(f"acme instruments: {error}", kind="instruments") from None
        return [
            Instrument(
                id=InstrumentId(EXCHANGE, market, f"{row.base}/{row.quote}"),
                symbol=row.symbol,
                kind=InstrumentKind.SPOT,
                base=row.base,
                quote=row.quote,
                settle=row.quote,
                tick_size=row.tick,
                lot_size=row.lot,
            )
            for row in rows
        ]

    def plan(
        self, wanted: AbstractSet[Subscription], catalogues: Mapping[Market, Catalogue]
    ) -> list[ConnectionPlan]:
        """In order of names, so many on each connection."""
        ordered = sorted(wanted, key=str)
        starts = range(0, len(ordered), SUBSCRIPTIONS_PER_CONNECTION)
        parts = [tuple(ordered[start:start + SUBSCRIPTIONS_PER_CONNECTION]) for start in starts]
        return [self._plan(f"acme-spot-{number}", part) for number, part in enumerate(parts, 1)]

    def recorded(self, market: Market) -> ConnectionPlan:
        """A recording may hold any instrument."""
        return self._plan(f"acme-{market}-recorded", (), any_instrument=True)

    def session(self, plan: ConnectionPlan, catalogue: Catalogue) -> AcmeSession:
        """A fresh machine for one connection."""
        return AcmeSession(plan, catalogue, self.endpoints.rest["spot"])

    def check(self, response: HttpResponse) -> None:
        """By HTTP status alone: ACME has no codes of its own."""
        status, text = response.status, f"acme {response.request.label}: HTTP {response.status}"
        if status in (418, 429):
            wait_sec = float(response.headers.get("retry-after", "10"))
            raise RateLimited(text, status=status, retry_after_sec=wait_sec)
        if status >= 500:
            raise VenueUnavailable(text, status=status)
        if status != 200:
            raise RequestRefused(text, status=status)

    def rate_notice(self, response: HttpResponse) -> RateNotice:
        """ACME tells what an address has used."""
        used = response.headers.get("x-used-weight", "")
        return RateNotice({WEIGHT: int(used)} if used.isdigit() else {})

    def _plan(
        self, name: str, subscriptions: tuple[Subscription, ...], *, any_instrument: bool = False
    ) -> ConnectionPlan:
        return ConnectionPlan(
            name=name,
            exchange=EXCHANGE,
            market=Market.SPOT,
            url=f"{self.endpoints.stream['spot']}/ws",
            subscriptions=subscriptions,
            stall_sec=30.0,
            lifetime_sec=23 * 3600.0,  # ACME cuts after 24 h
            any_instrument=any_instrument,
        )
