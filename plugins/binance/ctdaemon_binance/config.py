"""The part of ``[exchanges.binance]`` that is Binance's own."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import ge, in_, le

SPOT_DEPTHS = (100, 500, 1000, 5000)
FUTURES_DEPTHS = (50, 100, 500, 1000)
MAX_STREAMS = 1024
"""Per connection, spot and futures (web-socket-streams.md; older futures texts say 200)."""


@attrs.frozen(kw_only=True)
class BinanceConfig:
    """How the driver uses the venue.

    - ``spot_depth_limit``, ``futures_depth_limit``: levels a side of the REST snapshot a book starts from;
      more levels cost more weight.
    - ``futures_trades``: the documented ``aggTrade``, or ``trade`` (every single one, undocumented).
    - ``futures_day_ticker``: whether tickers of futures have the last price and the volumes of 24 hours. They
      come on another socket than the quotes, and a gap of the one cannot be told from a gap of the other.
    - ``list_tradifi``: whether perpetuals on stocks and metals, which have trading hours, are in the
      catalogue.
    - ``open_interest_interval_sec``: how often open interest is asked for; there is no stream of it.
    - ``symbols_per_connection``, ``streams_per_connection``: where a connection is full; a symbol has at most
      20 streams and is never divided.
    - ``stall_sec``: a connection without any byte for so long is given up.
    """

    spot_depth_limit: int = attrs.field(default=1000, validator=in_(SPOT_DEPTHS))
    futures_depth_limit: int = attrs.field(default=1000, validator=in_(FUTURES_DEPTHS))
    futures_trades: Literal["aggTrade", "trade"] = attrs.field(
        default="aggTrade", validator=in_(("aggTrade", "trade"))
    )
    futures_day_ticker: bool = False
    list_tradifi: bool = False
    open_interest_interval_sec: float = attrs.field(default=60.0, validator=[ge(1.0), le(86_400.0)])
    symbols_per_connection: int = attrs.field(default=50, validator=[ge(1), le(MAX_STREAMS)])
    streams_per_connection: int = attrs.field(default=MAX_STREAMS, validator=[ge(32), le(MAX_STREAMS)])
    stall_sec: float = attrs.field(default=30.0, validator=[ge(5.0), le(3600.0)])
