"""One connection to history: the embedded engine and a server behind the same four calls.

Every call blocks, has a deadline and belongs in a worker thread. Calls on one connection run one at a time:
give readers a connection of their own, and there is never more than one query beside the writer. (Measured:
readers without limit cut the writer from 667 to 35 thousand rows a second.) Knows no tables.
"""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ctcore.errors import ConfigError, StorageError
from ctcore.sinks.config import ClickHouseConfig

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_NO_RETRY_HELPS = {
    192: "the user is unknown",
    193: "the password is wrong",
    194: "a password is needed",
    497: "the user lacks a privilege",
    516: "the user or the password is wrong",
}
"""Server's error codes that only the operator can mend (ClickHouse, ErrorCodes.cpp)."""


class EngineRefused(StorageError):
    """The engine answered with an error. ``code`` is ClickHouse's own, 0 when it gave none."""

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class BatchRefused(EngineRefused):
    """The engine refuses this very batch, and answers other questions: another try cannot help."""


_STATE_OF_ENGINE = frozenset({
    3, 60, 74, 75, 76, 81, 87, 159, 160, 164, 202, 203, 209, 210, 236, 241, 242, 243, 252, 319, 373, 394,
    425, 439, 479, 499, 999,
})
"""Server's error codes that tell of the engine and not of what it was asked: lost tables, files that cannot
be read or written, timeouts, read-only, too busy, no memory, no room, too many parts, no quorum."""


def blame(client: HistoryClient, refused: EngineRefused) -> EngineRefused:
    """The same error; as :class:`BatchRefused` when it is not the engine that is in trouble."""
    of_engine = refused.code in _STATE_OF_ENGINE and "partitions" not in str(refused)
    if of_engine or not refused.code:
        return refused
    try:
        client.rows("SELECT 1")
    except StorageError:
        return refused
    return BatchRefused(str(refused), code=refused.code)


class HistoryClient:
    """A connection to the configured database; :func:`connect` makes one."""

    def __init__(self, client: Client, config: ClickHouseConfig) -> None:
        self._client = client
        self._config = config
        self._busy = threading.Lock()
        self._deadline = {"max_execution_time": max(1, round(config.query_timeout_sec))}

    def execute(self, sql: str) -> None:
        """Run a statement that answers nothing."""
        with self._turn() as client:
            client.command(sql, settings=self._deadline)

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a query; ``parameters`` fill ``{name:Type}`` in the text."""
        with self._turn() as client:
            result = client.query(sql, parameters=dict(parameters or {}), settings=self._deadline)
            return [tuple(row) for row in result.result_rows]

    def insert(self, table: str, data: bytes, *, form: str = "Native") -> None:
        """Insert one block, all or none where it fits one partition."""
        encoding = None
        if self._config.compression and not self._config.embedded:
            data, encoding = _compressed(data)
        with self._turn() as client:
            client.raw_insert(
                table, insert_block=data, fmt=form, compression=encoding, settings=self._deadline)

    def use(self, database: str) -> None:
        """Take names without a database as this one's."""
        self._client.database = database

    def close(self) -> None:
        """Disconnect; the embedded engine stops with its last connection. Never raises."""
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            self._client.close()
        except (ClickHouseError, RuntimeError, OSError):
            return

    @contextmanager
    def _turn(self) -> Iterator[Client]:
        if not self._busy.acquire(timeout=self._config.query_timeout_sec):
            raise StorageError(f"history is busy: no turn in {self._config.query_timeout_sec:g} s")
        try:
            with _mapped(self._config):
                yield self._client
        finally:
            self._busy.release()


def connect(config: ClickHouseConfig) -> HistoryClient:
    """Connect without choosing a database.

    Raises :class:`ConfigError` where no retry can help (chdb is not installed, its folder belongs to another
    process, wrong credentials) and :class:`StorageError` where one may (the server is down).
    """
    with _mapped(config):
        client = _embedded(config) if config.embedded else _server(config)
    return HistoryClient(client, config)


def _embedded(config: ClickHouseConfig) -> Client:
    import clickhouse_connect

    try:
        return clickhouse_connect.get_client(
            interface="chdb", path=config.folder, settings={"max_threads": 1, "max_insert_threads": 1})
    except ImportError as error:
        raise ConfigError(
            f"history {config.url}: the embedded engine is not installed; "
            f"run: pip install 'ctcore[embedded]' ({error})") from error
    except clickhouse_connect.driver.exceptions.ProgrammingError as error:
        reason = _why_not_open(str(error), Path(config.folder))
        raise ConfigError(f"history {config.url}: {reason}") from error


def _why_not_open(text: str, folder: Path) -> str:
    if _owned(folder):
        return ("the folder is in use by another process, and only one can own it: ask the running daemon's "
                "API, or stop it first")
    if "already initialized with path" in text:
        return "this process already has another embedded folder open; give every sink the same url"
    reason = text.partition("Stack trace")[0].strip().rstrip(",")
    return f"the folder cannot be opened: {reason}"


def _owned(folder: Path) -> bool:
    """Does another process hold the lock that the engine takes? The engine's own error does not say."""
    if sys.platform == "win32":
        return False
    try:
        with (folder / "status").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _server(config: ClickHouseConfig) -> Client:
    import clickhouse_connect

    parts = urlsplit(config.url)
    return clickhouse_connect.get_client(
        interface=parts.scheme,
        host=parts.hostname,
        port=parts.port or (8443 if parts.scheme == "https" else 8123),
        username=config.username or None,
        password=config.password.reveal(),
        verify=not config.tls_skip_verify,
        ca_cert=_text(config.ca_cert),
        client_cert=_text(config.client_cert),
        client_cert_key=_text(config.client_key),
        connect_timeout=max(1, round(config.connect_timeout_sec)),
        send_receive_timeout=max(1, round(config.query_timeout_sec)) + 5,
        query_retries=config.max_retries,
        compress="gzip" if config.compression else False,
        autogenerate_session_id=False,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _compressed(data: bytes) -> tuple[bytes, str]:
    try:
        import lz4.frame  # type: ignore[import-untyped]
    except ImportError:  # clickhouse-connect brings lz4 for the Pythons that have no zstd of their own
        return gzip.compress(data, compresslevel=1), "gzip"
    return lz4.frame.compress(data), "lz4"


@contextmanager
def _mapped(config: ClickHouseConfig) -> Iterator[None]:
    """Say every failure of the client in our own words, without the stack traces of the engine."""
    from clickhouse_connect.driver.exceptions import ClickHouseError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClickHouseError as error:
        code = getattr(error, "code", None) or 0
        text = str(error).split("Stack trace")[0].strip()[:500]
        if code in _NO_RETRY_HELPS:
            raise ConfigError(f"history {config.url}: {_NO_RETRY_HELPS[code]} ({text})") from error
        raise EngineRefused(f"history {config.url}: {text}", code=code) from error
    except (HTTPError, OSError, RuntimeError) as error:
        raise StorageError(f"history {config.url}: {error}") from error
