"""Binance as facts, and the functions that tie the plugin's other files together. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    RateLimit,
    RateNotice,
    StreamSession,
)
from ctcore.model.ids import FUTURES_ONLY, Channel, Market, Subscription
from ctcore.model.instrument import Catalogue, Instrument
from ctdaemon_binance import faults, rest
from ctdaemon_binance.config import BinanceConfig
from ctdaemon_binance.plans import PARTIAL_DEPTHS, make_plans, recorded_plan
from ctdaemon_binance.stream import BinanceSession
from ctdaemon_binance.symbols import EXCHANGE, futures_instruments, spot_instruments

_MINUTES = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
_SPOT_CHANNELS = frozenset(Channel) - FUTURES_ONLY


def endpoints_at(spot: str, futures: str, spot_stream: str, futures_stream: str) -> Endpoints:
    """The endpoints on these hosts."""
    return Endpoints(
        rest={"spot": spot, "futures": futures},
        stream={
            "spot": spot_stream,
            "futures_public": f"{futures_stream}/public",
            "futures_market": f"{futures_stream}/market",
        },
    )


INFO = DriverInfo(
    id=EXCHANGE,
    title="Binance",
    environments={
        "live": endpoints_at(
            "https://api.binance.com",
            "https://fapi.binance.com",
            "wss://stream.binance.com:9443",
            "wss://fstream.binance.com",
        ),
        "testnet": endpoints_at(
            "https://testnet.binance.vision",
            "https://demo-fapi.binance.com",
            "wss://stream.testnet.binance.vision",
            "wss://fstream.binancefuture.com",
        ),
        "demo": endpoints_at(
            "https://demo-api.binance.com",
            "https://demo-fapi.binance.com",
            "wss://demo-stream.binance.com",
            "wss://demo-fstream.binance.com",
        ),
    },
    capabilities={
        Market.SPOT: Capabilities(_SPOT_CHANNELS, ("1s", *_MINUTES), PARTIAL_DEPTHS, 1000),
        Market.FUTURES: Capabilities(frozenset(Channel), _MINUTES, PARTIAL_DEPTHS, 1000),
    },
    rate_limits=(
        RateLimit(rest.WEIGHT_BUCKETS[Market.SPOT], 6000, 60.0),
        RateLimit(rest.WEIGHT_BUCKETS[Market.FUTURES], 2400, 60.0),
    ),
    connects_per_sec=1.0,  # 300 in 5 minutes
)


class BinanceDriver(Driver):
    """Spot and USD-M futures."""

    info: ClassVar[DriverInfo] = INFO

    def __init__(self, endpoints: Endpoints, config: BinanceConfig | None = None) -> None:
        super().__init__(endpoints)
        self.config = config if config is not None else BinanceConfig()

    def instruments(self, market: Market) -> Sequence[HttpRequest]:
        """One ``/exchangeInfo``."""
        return (rest.build_instruments(self.endpoints.rest[market], market),)

    def parse_instruments(self, market: Market, responses: Sequence[HttpResponse]) -> list[Instrument]:
        """Its rows; see :mod:`ctdaemon_binance.symbols` for what is left out."""
        rows = [row for response in responses for row in rest.parse_instruments(response)]
        if market is Market.SPOT:
            return spot_instruments(rows)
        return futures_instruments(rows, tradifi=self.config.list_tradifi)

    def plan(
        self, wanted: AbstractSet[Subscription], catalogues: Mapping[Market, Catalogue]
    ) -> list[ConnectionPlan]:
        """See :func:`ctdaemon_binance.plans.make_plans`."""
        return make_plans(wanted, catalogues, self.info.capabilities, self.endpoints.stream, self.config)

    def recorded(self, market: Market) -> ConnectionPlan:
        """Frames of both futures sockets may stand in one recording."""
        return recorded_plan(market, self.endpoints.stream, self.config)

    def session(self, plan: ConnectionPlan, catalogue: Catalogue) -> StreamSession:
        """A fresh machine for one connection."""
        return BinanceSession(plan, catalogue, self.endpoints.rest[plan.market], self.config)

    def check(self, response: HttpResponse) -> None:
        """By :data:`ctdaemon_binance.faults.ERROR_CODES`."""
        error = faults.error_of(response)
        if error is not None:
            raise error

    def rate_notice(self, response: HttpResponse) -> RateNotice:
        """By ``X-MBX-USED-WEIGHT-1M`` and ``Retry-After``."""
        return faults.rate_notice(response)
