"""Facts about OKX and the driver that ties symbols, REST calls and sessions together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar

from ctcore.contracts.driver import (
    Capabilities,
    ConnectionPlan,
    Driver,
    DriverInfo,
    Endpoints,
    HttpRequest,
    HttpResponse,
    RateNotice,
    StreamSession,
)
from ctcore.errors import RateLimited
from ctcore.model.ids import FUTURES_ONLY, Channel, Market, Subscription
from ctcore.model.instrument import Catalogue, Instrument
from ctdaemon_okx.books import QUIET_SEC
from ctdaemon_okx.channels import BARS, DEEP_BOOKS, wanted_args
from ctdaemon_okx.config import OkxConfig
from ctdaemon_okx.faults import WINDOW_SEC, error_of
from ctdaemon_okx.rest import DEMO_HEADERS, RATE_LIMITS, build_instruments, parse_instruments
from ctdaemon_okx.stream import OkxSession
from ctdaemon_okx.symbols import EXCHANGE, INST_TYPES

STALL_SEC = 28.0  # a ping goes out after 20 s of silence; the venue closes after 30 s (docs-v5, "Connect")

_SPOT_CHANNELS = frozenset({Channel.ORDERBOOK, Channel.TRADE, Channel.TICKER, Channel.CANDLE})
_FUTURES_CHANNELS = _SPOT_CHANNELS | FUTURES_ONLY


def endpoints_at(rest: str, stream: str, *, demo: bool = False) -> Endpoints:
    """The endpoints on a pair of hosts. The REST host of the demo environment is named ``demo``: its calls
    carry a header."""
    return Endpoints(
        rest={"demo" if demo else "public": rest},
        stream={"public": f"{stream}/ws/v5/public", "business": f"{stream}/ws/v5/business"},
    )


ENVIRONMENTS = {
    "live": endpoints_at("https://www.okx.com", "wss://ws.okx.com:8443"),
    "eea": endpoints_at("https://eea.okx.com", "wss://wseea.okx.com:8443"),
    "us": endpoints_at("https://us.okx.com", "wss://wsus.okx.com:8443"),
    "demo": endpoints_at("https://www.okx.com", "wss://wspap.okx.com:8443", demo=True),
    "demo-eea": endpoints_at("https://eea.okx.com", "wss://wseeapap.okx.com:8443", demo=True),
    "demo-us": endpoints_at("https://us.okx.com", "wss://wsuspap.okx.com:8443", demo=True),
}

INFO = DriverInfo(
    id=EXCHANGE,
    title="OKX",
    environments=ENVIRONMENTS,
    capabilities={
        Market.SPOT: Capabilities(_SPOT_CHANNELS, tuple(BARS), partial_depths=(5,), full_depth=400),
        Market.FUTURES: Capabilities(_FUTURES_CHANNELS, tuple(BARS), partial_depths=(5,), full_depth=400),
    },
    rate_limits=RATE_LIMITS,
    connects_per_sec=3.0,
)


class OkxDriver(Driver):
    """Public market data of OKX; ``config`` is its section of the configuration."""

    info: ClassVar[DriverInfo] = INFO

    def __init__(self, endpoints: Endpoints, config: OkxConfig | None = None) -> None:
        super().__init__(endpoints)
        self.config = config or OkxConfig()
        demo = "demo" in endpoints.rest
        self._rest_url = endpoints.rest["demo" if demo else "public"]
        self._headers: Mapping[str, str] = DEMO_HEADERS if demo else {}

    def instruments(self, market: Market) -> Sequence[HttpRequest]:
        """One call a product type."""
        return [build_instruments(self._rest_url, kind, self._headers) for kind in INST_TYPES[market]]

    def parse_instruments(self, market: Market, responses: Sequence[HttpResponse]) -> list[Instrument]:
        """Their answers as instruments of that market."""
        rows = [row for response in responses for row in parse_instruments(response)]
        return [row for row in rows if row.id.market is market]

    def plan(
        self, wanted: AbstractSet[Subscription], catalogues: Mapping[Market, Catalogue]
    ) -> list[ConnectionPlan]:
        """Per market: candles on the business socket, the rest on the public one, an instrument in one piece.

        At most ``books_per_connection`` deep books and ``channels_per_connection`` channels a connection.
        """
        plans: list[ConnectionPlan] = []
        for market in self.info.markets:
            mine = sorted((s for s in wanted if s.instrument.market is market), key=_order)
            catalogue = catalogues.get(market) or Catalogue(EXCHANGE, market)
            for socket, part in (
                ("public", [s for s in mine if s.channel is not Channel.CANDLE]),
                ("business", [s for s in mine if s.channel is Channel.CANDLE]),
            ):
                for number, group in enumerate(self._packed(part, catalogue), 1):
                    plans.append(self._connection(f"okx-{market}-{socket}-{number}", market, socket, group))
        return plans

    def recorded(self, market: Market) -> ConnectionPlan:
        """Any instrument of any public channel."""
        return self._connection(f"okx-{market}-recorded", market, "public", (), any_instrument=True)

    def session(self, plan: ConnectionPlan, catalogue: Catalogue) -> StreamSession:
        """A fresh machine for one connection."""
        return OkxSession(plan, catalogue, self.config, self._rest_url, self._headers)

    def check(self, response: HttpResponse) -> None:
        """Raise what the answer stands for: an error code may come with status 200."""
        error = error_of(response)
        if error is not None:
            raise error

    def rate_notice(self, response: HttpResponse) -> RateNotice:
        """No answer tells how much is used; a breach asks for the rest of its window."""
        return RateNotice(parked_sec=WINDOW_SEC if isinstance(error_of(response), RateLimited) else 0.0)

    def _packed(self, wanted: Iterable[Subscription], catalogue: Catalogue) -> list[tuple[Subscription, ...]]:
        """Fill one connection after the other, never splitting an instrument."""
        groups: list[tuple[Subscription, ...]] = []
        group: list[Subscription] = []
        books = channels = 0
        for unit in _units(wanted):
            args = wanted_args(unit, catalogue, self.config.quotes)
            deep = sum(arg.channel in DEEP_BOOKS for arg in args)
            too_deep = books + deep > self.config.books_per_connection
            if group and (too_deep or channels + len(args) > self.config.channels_per_connection):
                groups.append(tuple(group))
                group, books, channels = [], 0, 0
            group += unit
            books += deep
            channels += len(args)
        return [*groups, tuple(group)] if group else groups

    def _connection(
        self,
        name: str,
        market: Market,
        socket: str,
        wanted: tuple[Subscription, ...],
        *,
        any_instrument: bool = False,
    ) -> ConnectionPlan:
        return ConnectionPlan(
            name=name,
            exchange=EXCHANGE,
            market=market,
            url=self.endpoints.stream[socket],
            subscriptions=wanted,
            send_interval_sec=self.config.send_interval_sec,
            stall_sec=STALL_SEC,
            quiet_sec=QUIET_SEC,
            any_instrument=any_instrument,
        )


def _units(wanted: Iterable[Subscription]) -> list[list[Subscription]]:
    """What must not be split: an instrument's subscriptions; and all liquidations, which share one
    channel."""
    units: dict[str, list[Subscription]] = {}
    for subscription in wanted:
        shared = subscription.channel is Channel.LIQUIDATION
        units.setdefault("" if shared else subscription.instrument.pair, []).append(subscription)
    return list(units.values())


def _order(subscription: Subscription) -> tuple[str, str, int, str]:
    return subscription.instrument.pair, subscription.channel, subscription.depth, subscription.interval
