"""Configuration of the three built-in sinks: the keys of ``[sinks.<name>]`` beside ``kind``."""
# ruff: noqa: RUF009  # setting() is attrs.field() with a meaning

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import attrs

from ctcore.config.secrets import Secret
from ctcore.config.setting import Bad, at_least, between, setting

_ENGINES_OWN = frozenset({"default", "system", "information_schema"})


def _history_url(_: Any, __: Any, value: str) -> None:
    try:
        parts = urlsplit(value)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_fits = SplitResult("", "", "", "", ""), False
    if parts.username or parts.password:
        raise Bad("must hold no user and no password; use the keys username and password")
    folder = parts.scheme == "chdb" and not parts.netloc and parts.path not in ("", "/")
    server = parts.scheme in ("http", "https") and bool(parts.hostname) and port_fits
    if not folder and not server:
        raise Bad("must be chdb:///path/to/folder (embedded, three slashes), http://host:8123 or https://host:8443",
                  value)


def _own_database(_: Any, __: Any, value: str) -> None:
    if not value.isidentifier() or not value.isascii():
        raise Bad("must be a plain name of letters, digits and underscores", value)
    if value.lower() in _ENGINES_OWN:
        raise Bad("must be a database of history's own, not the engine's", value)


@attrs.frozen(kw_only=True)
class ClickHouseConfig:
    """History in ClickHouse: embedded (``chdb:///path``, one process a folder) or a server (``http(s)://host:port``)."""

    url: str = setting(
        "chdb:///path for the engine inside ctcore (chdb:path counts from the working folder), or "
        "http(s)://host:port of a server", default="chdb:data/history", check=_history_url)
    database: str = setting("name of the database", default="crypto", check=_own_database)
    username: str = setting("user to connect as", default="default")
    password: Secret = setting("the user's password", default=Secret(""))
    tls_skip_verify: bool = setting("accept any certificate; never in production", default=False)
    ca_cert: Path | None = setting("certificate of the server's authority", default=None)
    client_cert: Path | None = setting("our own certificate, for servers that ask for one", default=None)
    client_key: Path | None = setting("the private key of client_cert", default=None)
    connect_timeout_sec: float = setting("seconds after which an attempt to connect has failed", default=10.0,
                                         check=between(0.1, 600))
    query_timeout_sec: float = setting("seconds after which a statement has failed", default=30.0,
                                       check=between(1, 3600))
    max_retries: int = setting("attempts of one request on a broken connection, before the batch waits",
                               default=3, check=between(0, 1_000_000))
    compression: bool = setting("compress what is sent to a server", default=True)
    max_batch_size: int = setting("events in one insert", default=100_000, check=between(1, 10_000_000))
    fsync: bool = setting("write through to the disk, so that a batch survives a power loss; inserts take "
                          "twice as long", default=False)

    @property
    def embedded(self) -> bool:
        """The engine runs inside this process."""
        return self.url.startswith("chdb:")

    @property
    def folder(self) -> str:
        """The embedded engine's folder."""
        return urlsplit(self.url).path


@attrs.frozen(kw_only=True)
class JsonlConfig:
    """History as files of unified messages, one a line."""

    directory: Path = setting("folder of the files", default=Path("data/jsonl"))
    rotate_bytes: int = setting("size at which a file is followed by the next", default=256_000_000,
                                check=at_least(1))
    gzip: bool = setting("compress the files that are done", default=False)
    keep_files: int = setting("files kept beside the current one, 0 for all", default=0, check=at_least(0))
    fsync: bool = setting("write through to the disk, so that a batch survives a power loss", default=False)


@attrs.frozen(kw_only=True)
class MemoryConfig:
    """The last events in memory, for tests and quick looks; older ones are dropped, and counted."""

    max_events: int = setting("events that are kept", default=100_000, check=between(1, 100_000_000))
