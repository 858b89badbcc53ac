"""Sections that come from the original's INI file: ``[database]``, ``[trader]`` and ``[clickhouse]``."""
# ruff: noqa: RUF009  # setting() is attrs.field() with a meaning

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import attrs

from ctcore.config.secrets import Secret
from ctcore.config.setting import Bad, above_zero, at_least, between, host_name, not_empty, setting

_DEFAULT_PORTS = {"mysql": 3306, "postgres": 5432}


@attrs.frozen(kw_only=True)
class DatabaseConfig:
    """The operational database, from which tasks can come."""

    type: Literal["mysql", "postgres"] = setting("kind of the database", default="mysql")
    host: str = setting("its host", default="localhost", check=host_name)
    port: int | None = setting("its port; 3306 for mysql, 5432 for postgres if absent", default=None,
                               check=between(1, 65_535))
    user: str = setting("user to connect as", check=not_empty)
    password: Secret = setting("the user's password", default=Secret(""))
    name: str = setting("name of the database", check=not_empty)
    use_tls: bool = setting("encrypt the connection", default=False)
    ca_cert: Path | None = setting("certificate of the server's authority", default=None)
    client_cert: Path | None = setting("our own certificate, for servers that ask for one", default=None)
    client_key: Path | None = setting("the private key of client_cert", default=None)
    tls_skip_verify: bool = setting("accept any certificate; never in production", default=False)
    connect_timeout_sec: float = setting("seconds after which an attempt to connect has failed", default=10.0,
                                         check=between(0.1, 600))
    max_retries: int = setting("attempts to connect before giving up, later each time", default=5,
                               check=between(0, 1_000_000))

    def __attrs_post_init__(self) -> None:
        if (self.client_cert is None) is not (self.client_key is None):
            raise Bad("client_cert and client_key go together; set both or neither")

    @property
    def connect_port(self) -> int:
        """The port to connect to."""
        return self.port or _DEFAULT_PORTS[self.type]


@attrs.frozen(kw_only=True)
class TraderConfig:
    """Limits and defaults of trading."""

    max_open_orders: int = setting("orders that may be open at once", default=10, check=between(0, 100_000))
    max_position_size: Decimal = setting("largest position, in USDT", default=Decimal(1000), check=above_zero)
    default_strategy: Literal["grid", "dca", "scalp"] = setting("strategy of pairs that name none",
                                                                default="grid")
    strategy_update_interval_sec: float = setting("seconds between a strategy's reviews", default=10.0,
                                                  check=between(0.1, 86_400))
    slippage_percent: float = setting("slippage in percent above which an order is placed anew", default=0.5,
                                      check=between(0, 100))
    enable_backtest: bool = setting("simulate orders instead of placing them", default=False)


@attrs.frozen(kw_only=True)
class ClickHouseConfig:
    """A ClickHouse server for the history; the same as a sink of the kind ``clickhouse``."""

    host: str = setting("its host", default="localhost", check=host_name)
    port: int = setting("its HTTP port", default=8123, check=between(1, 65_535))
    database: str = setting("name of the database", default="crypto", check=not_empty)
    username: str = setting("user to connect as", default="default")
    password: Secret = setting("the user's password", default=Secret(""))
    use_tls: bool = setting("use HTTPS", default=False)
    tls_skip_verify: bool = setting("accept any certificate; never in production", default=False)
    connect_timeout_sec: float = setting("seconds after which an attempt to connect has failed", default=10.0,
                                         check=between(0.1, 600))
    max_retries: int = setting("attempts before a batch goes to the spool", default=3,
                               check=between(0, 1_000_000))
    compression: bool = setting("compress what is sent", default=True)
    max_batch_size: int = setting("most events of one insert", default=10_000, check=at_least(1))
    replication_factor: int = setting("without effect here: replication is the server's own setting",
                                      default=1, check=at_least(1))

    @property
    def url(self) -> str:
        """``http(s)://host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.use_tls else 'http'}://{host}:{self.port}"

    def sink_options(self) -> dict[str, Any]:
        """The same in the keys of ctcore's ClickHouse sink."""
        same = ("database", "username", "tls_skip_verify", "connect_timeout_sec", "max_retries",
                "compression", "max_batch_size")
        options = {key: getattr(self, key) for key in same}
        return {"url": self.url, "password": self.password.reveal(), **options}
