"""Asking a running daemon over its API, at the address that its configuration names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

from ctcore.errors import ConfigError, CtcoreError, TransportError, UnknownInstrument

if TYPE_CHECKING:
    from ctcore.config import Config

ANSWER_SEC = 40.0  # a question to history may take the daemon 30
CONNECT_SEC = 5.0
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  named, not bound to
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _FAILED = 200, 401, 403, 404, 500


class NoDaemon(TransportError):
    """Nothing listens where the daemon should."""


class DaemonRefused(CtcoreError):
    """The daemon answered, and the answer is no."""


def base_url(config: Config) -> str:
    """Where the API of a configuration's daemon is; :class:`ConfigError` when that cannot be known."""
    host, port = config.server.host, config.server.port
    if port == 0:
        raise ConfigError(f"{config.path}: server.port is 0, so nobody knows the daemon's port; set one")
    host = _ANY.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class DaemonClient:
    """The API of one daemon; use as a context manager."""

    def __init__(self, config: Config, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = base_url(config)
        self._path = config.path
        token = config.server.token.reveal()
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(ANSWER_SEC, connect=CONNECT_SEC),
            transport=transport,
            trust_env=False,
        )

    def __enter__(self) -> DaemonClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def get(
        self, path: str, query: Mapping[str, str | int] | None = None, *, also: Collection[int] = ()
    ) -> dict[str, Any]:
        """The answer to a call. A status in ``also`` is an answer too, besides 200.

        Raises :class:`NoDaemon`, :class:`~ctcore.errors.TransportError` when the answer does not come,
        :class:`~ctcore.errors.UnknownInstrument`, :class:`~ctcore.errors.ConfigError` for what the user can
        mend, and :class:`DaemonRefused`.
        """
        try:
            answer = self._http.get(path, params=dict(query or {}))
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise NoDaemon(
                f"no daemon answers at {self.url}; start it with: ctcore run --config {self._path}") from None
        except httpx.TimeoutException:
            raise TransportError(f"the daemon at {self.url} does not answer") from None
        except httpx.HTTPError as error:
            raise TransportError(f"the daemon at {self.url} broke off: {error}") from None
        told = self._read(answer)
        if answer.status_code == _OK or answer.status_code in also:
            return told
        raise self._refusal(answer.status_code, told)

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            told = answer.json()
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise DaemonRefused(f"what answers at {self.url} is no ctcore daemon; correct server.port")
        return told

    def _refusal(self, status: int, told: dict[str, Any]) -> CtcoreError:
        error = told.get("error")
        message = str(error.get("message", "")) if isinstance(error, dict) else f"HTTP {status}"
        if status in (_UNAUTHORIZED, _FORBIDDEN):
            mend = f"compare server.token in {self._path}"
            return ConfigError(f"the daemon at {self.url} refuses: {message}; {mend}")
        if isinstance(error, dict) and error.get("code") == "unknown_instrument":
            return UnknownInstrument(message)
        if status < _FAILED:
            return ConfigError(message)
        return DaemonRefused(f"the daemon at {self.url}: {message}")
