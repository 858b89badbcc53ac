"""The sections of a configuration and the finished :class:`Config`; each key tells its meaning here, once."""
# ruff: noqa: RUF009  # setting() is attrs.field() with a meaning

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs

from ctcore.config.original import ClickHouseConfig, DatabaseConfig, TraderConfig
from ctcore.config.secrets import Secret
from ctcore.config.setting import (
    Bad,
    above_zero,
    between,
    host_name,
    is_loopback,
    not_empty,
    setting,
    url_of,
)
from ctcore.contracts.driver import DriverInfo, Endpoints, SimulatorOptions
from ctcore.model.ids import Channel, Market, Subscription

SIMULATED = "simulated"
"""The environment in which the driver's own simulated venue runs inside the daemon."""

FaultKind: TypeAlias = Literal[
    "gap", "duplicate", "reorder", "stall", "disconnect", "half_open", "corrupt",
    "http_429", "http_418", "http_500", "slow_http", "venue_notice",
]

_DAY_SEC = 86_400


@attrs.frozen(kw_only=True)
class RoleConfig:
    """What the daemon does."""

    mode: Literal["monitor", "trader", "both"] = setting(
        "monitor collects market data, trader trades, both does both", default="monitor")


def _token(_: Any, __: Any, value: Secret) -> None:
    text = value.reveal()
    if not text.isascii() or any(char.isspace() or not char.isprintable() for char in text):
        raise Bad("must be of letters, digits and signs without blanks: it travels in an HTTP header")


def _origins(_: Any, __: Any, value: tuple[str, ...]) -> None:
    for origin in value:
        scheme, _sep, rest = origin.partition("://")
        if scheme not in ("http", "https") or not rest or any(char in rest for char in "/?#*@ "):
            raise Bad("must list origins as https://host or http://host:port, without a path", origin)


@attrs.frozen(kw_only=True)
class ServerConfig:
    """The HTTP API."""

    host: str = setting("address the API listens on; any but a loopback address requires a token",
                        default="127.0.0.1", check=host_name)
    port: int = setting("port of the API; 0 takes any free one", default=8080, check=between(0, 65_535))
    token: Secret = setting("bearer token that every request must carry; none is asked for while it is empty",
                            default=Secret(""), check=_token)
    allowed_origins: tuple[str, ...] = setting("web pages, by origin, that may call the API from a browser",
                                               default=(), check=_origins)

    def __attrs_post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise Bad(f"host {self.host} can be reached from outside; set token, or host to 127.0.0.1")


@attrs.frozen(kw_only=True)
class LogConfig:
    """Log files and what goes into them."""

    level: Literal["debug", "info", "warn", "error"] = setting("least level that is logged", default="info")
    dir: Path = setting("folder of the log files; made when absent", default=Path("logs"))
    max_file_size_mb: int = setting("size in MB at which a log file is rotated", default=100,
                                    check=between(1, 10_000))
    keep_files: int = setting("rotated files that are kept of each log", default=5, check=between(0, 10_000))


def _file_name(_: Any, __: Any, value: str) -> None:
    if not value.strip() or value.startswith(".") or any(char in value for char in "/\\"):
        raise Bad("must be a plain file name", value)


@attrs.frozen(kw_only=True)
class StateConfig:
    """What the daemon remembers between runs."""

    dir: Path = setting("folder of the daemon's state; one daemon owns it", default=Path("state"))
    name: str = setting("name of the state file, which ends in .state", default="daemon", check=_file_name)


@attrs.frozen(kw_only=True)
class ShutdownConfig:
    """An orderly end."""

    budget_sec: float = setting("seconds from the signal to the end; a fifth, at most 6, is the API's",
                                default=30.0, check=between(1, 30))


@attrs.frozen(kw_only=True)
class SpoolConfig:
    """Where batches wait while a sink is down."""

    dir: Path = setting("folder of the spool", default=Path("data/spool"))
    max_mb: int = setting("size in MB above which batches are refused, and counted", default=1024,
                          check=between(1, 10_000_000))


@attrs.frozen(kw_only=True)
class PluginsConfig:
    """Which installed plugins are used."""

    disable: tuple[str, ...] = setting(
        "plugins or packages not to load; CTCORE_DISABLE_PLUGINS adds to them", default=())


def _upper(pairs: Any) -> tuple[str, ...]:
    return tuple(pair.strip().upper() for pair in pairs)


def _pairs(_: Any, __: Any, value: tuple[str, ...]) -> None:
    for pair in value:
        base, slash, quote = pair.partition("/")
        if not base or not slash or not quote or "/" in quote or any(char.isspace() for char in pair):
            raise Bad("must list pairs as BASE/QUOTE, like BTC/USDT", pair)


@attrs.frozen(kw_only=True)
class SubscriptionConfig:
    """Streams of one market of one exchange."""

    exchange: str = setting("the exchange, as in its section [exchanges.<id>]")
    market: Market = setting("the market")
    pairs: tuple[str, ...] = setting("the pairs, as BTC/USDT; BTC/USDT-261225 is a dated contract",
                                     convert=_upper, check=[not_empty, _pairs])
    channels: tuple[Channel, ...] = setting("what to receive of each pair",
                                            default=(Channel.ORDERBOOK, Channel.TRADE), check=not_empty)
    depth: int | None = setting("levels a side of order books, 0 for all; monitor.orderbook_depth if absent",
                                default=None, check=between(0, 5000))
    candle_interval: str = setting("bar of the candles, in the exchange's own words", default="1m",
                                   check=not_empty)


@attrs.frozen(kw_only=True)
class MonitorConfig:
    """Collecting market data."""

    orderbook_depth: int = setting("levels a side of an order book: 20, 50 or another number, 0 for all",
                                   default=20, check=between(0, 5000))
    batch_size: int = setting("events after which a batch goes to the sinks", default=500,
                              check=between(1, 1_000_000))
    batch_interval_sec: float = setting("seconds after which a batch goes, full or not", default=5.0,
                                        check=between(0.05, 3600))
    save_interval_sec: float | None = setting(
        "the original's second limit of the same kind; the shorter one counts", default=None,
        check=between(0.05, 3600))
    ring_buffer_size: int = setting("last events of each stream that are kept in memory", default=10_000,
                                    check=between(1, 10_000_000))
    snapshot_interval_sec: float = setting("seconds between whole order books in the history", default=60.0,
                                           check=between(1, _DAY_SEC))
    stall_sec: float = setting(
        "seconds of silence after which an order book is checked; the exchange may need more",
        default=60.0, check=between(1, _DAY_SEC))
    subscriptions: tuple[SubscriptionConfig, ...] = setting("what to collect; see below", default=())

    @property
    def flush_interval_sec(self) -> float:
        """Age in seconds at which a batch goes to the sinks."""
        return min(self.batch_interval_sec, self.save_interval_sec or self.batch_interval_sec)


@attrs.frozen(kw_only=True)
class SimulatorConfig:
    """The simulated venue of an exchange, used with ``environment = "simulated"``."""

    seed: int = setting("start of its random numbers: the same seed gives the same market", default=1,
                        check=between(0, 2**63 - 1))
    speed: float = setting("seconds of market time in a second", default=1.0,
                           check=[above_zero, between(0, 1000)])
    port: int = setting("port it listens on, on 127.0.0.1; 0 takes any free one", default=0,
                        check=between(0, 65_535))
    faults_per_min: float = setting("random faults in a minute of market time", default=0.0,
                                    check=between(0, 600))
    fault_kinds: tuple[FaultKind, ...] = setting("kinds of the random faults; all if absent", default=())

    @property
    def options(self) -> SimulatorOptions:
        """What :attr:`DriverPlugin.simulator` takes."""
        return SimulatorOptions(
            seed=self.seed,
            speed=self.speed,
            faults_per_min=self.faults_per_min,
            fault_kinds=self.fault_kinds,
        )


@attrs.frozen(kw_only=True)
class ExchangeSection:
    """The keys of ``[exchanges.<id>]`` that every exchange has; its driver adds its own."""

    environment: str = setting("live, another environment of the driver, or simulated", default="live",
                               check=not_empty)
    rest: Mapping[str, str] = setting("REST addresses to use instead of the driver's, by its names for them",
                                      factory=dict, check=url_of("http", "https"))
    stream: Mapping[str, str] = setting("WebSocket addresses to use instead of the driver's",
                                        factory=dict, check=url_of("ws", "wss"))
    simulator: SimulatorConfig = setting("its simulated venue; see below", factory=SimulatorConfig)


@attrs.frozen(kw_only=True)
class SinkSection:
    """The key of ``[sinks.<name>]`` that every sink has; its kind adds its own."""

    kind: str = setting("kind of the sink: clickhouse, jsonl, memory or a plugin's; the name if absent",
                        default="", check=not_empty)


@attrs.frozen(kw_only=True)
class ExchangeConfig:
    """One exchange, ready to be used. ``options`` is the driver's own ``config_type``, or None."""

    id: str
    environment: str
    rest: Mapping[str, str]
    stream: Mapping[str, str]
    simulator: SimulatorConfig
    options: Any = None

    @property
    def simulated(self) -> bool:
        """Whether its simulated venue is to run inside the daemon."""
        return self.environment == SIMULATED

    def endpoints(self, info: DriverInfo) -> Endpoints:
        """The environment's addresses with this configuration's own; not for a simulated exchange."""
        return info.environments[self.environment].override(self.rest, self.stream)


@attrs.frozen(kw_only=True)
class SinkConfig:
    """One sink, ready to be made: ``plugins.sinks[kind].create(options)``."""

    name: str
    kind: str
    options: Any


@attrs.frozen(kw_only=True)
class Config:
    """A whole configuration in which everything fits together.

    ``subscriptions`` are those of ``monitor`` one by one, in the order of the file. ``notices`` are lines
    about keys that are accepted without an effect. ``database`` is None when there is no such section.
    ``secrets`` are all that the configuration holds, for those who keep them out of logs.
    """

    path: Path
    role: RoleConfig = attrs.field(factory=RoleConfig)
    server: ServerConfig = attrs.field(factory=ServerConfig)
    log: LogConfig = attrs.field(factory=LogConfig)
    state: StateConfig = attrs.field(factory=StateConfig)
    shutdown: ShutdownConfig = attrs.field(factory=ShutdownConfig)
    spool: SpoolConfig = attrs.field(factory=SpoolConfig)
    plugins: PluginsConfig = attrs.field(factory=PluginsConfig)
    monitor: MonitorConfig = attrs.field(factory=MonitorConfig)
    trader: TraderConfig = attrs.field(factory=TraderConfig)
    database: DatabaseConfig | None = None
    clickhouse: ClickHouseConfig | None = None
    exchanges: Mapping[str, ExchangeConfig] = attrs.field(factory=dict)
    sinks: Mapping[str, SinkConfig] = attrs.field(factory=dict)
    subscriptions: tuple[Subscription, ...] = ()
    notices: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = attrs.field(default=(), repr=False)
