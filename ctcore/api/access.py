"""Who may call: the rules that keep web pages and strangers out.

- The ``Host`` header must name this server: a page whose name was rebound to 127.0.0.1 still sends its name.
- A request that a web page caused (``Origin``, or ``Sec-Fetch-Site`` where a browser sends no origin) must
  come from this server's own origin or from one the operator lists.
- A token, where one is set, must be sent with every call that is not public.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress

from starlette.datastructures import Headers
from starlette.types import Scope

from ctcore.api.errors import ApiError
from ctcore.config.schema import ServerConfig

_HTTP_PORT = 80
_ANY = ("0.0.0.0", "::")  # noqa: S104  # named, not bound to
_PREFLIGHT_SEC = "600"
_METHODS = "GET, HEAD, PUT, POST, PATCH, DELETE"
_SCHEMES = {"ws": "http", "wss": "https"}


class Access:
    """The rules for one server. ``public``: paths that need no token."""

    def __init__(self, settings: ServerConfig, *, public: frozenset[str]) -> None:
        self._port = settings.port
        self._any = settings.host in _ANY
        self._names = {"localhost", "127.0.0.1", "[::1]"} | (set() if self._any else {_in_url(settings.host)})
        self._origins = frozenset(origin.lower() for origin in settings.allowed_origins)
        # A reverse proxy that serves a listed origin hands its Host on.
        self._proxied = frozenset(origin.partition("://")[2] for origin in self._origins)
        token = settings.token.reveal()
        self._token = _digest(token) if token else None
        self._public = public

    @property
    def asks_token(self) -> bool:
        """Whether a token is required."""
        return self._token is not None

    def check(self, scope: Scope) -> None:
        """Raise :class:`ApiError` 400, 401 or 403 for a call that may not come in."""
        headers = Headers(scope=scope)
        host = self._check_host(headers, scope.get("server"))
        scheme = scope.get("scheme", "http")
        self._check_origin(headers, f"{_SCHEMES.get(scheme, scheme)}://{host}")
        if scope["path"] not in self._public and not self.is_preflight(scope):
            self._check_token(headers)

    def is_preflight(self, scope: Scope) -> bool:
        """Whether a browser asks if a page of a listed origin may make a call; it never sends the token."""
        headers = Headers(scope=scope)
        return (scope["type"] == "http" and scope["method"] == "OPTIONS"
                and headers.get("origin", "").lower() in self._origins
                and "access-control-request-method" in headers)

    def answer_headers(self, scope: Scope) -> dict[str, str]:
        """The CORS headers of an answer; none without listed origins."""
        if not self._origins:
            return {}
        origin = Headers(scope=scope).get("origin", "")
        allowed = {"access-control-allow-origin": origin} if origin.lower() in self._origins else {}
        if allowed and self.is_preflight(scope):
            allowed |= {"access-control-allow-methods": _METHODS,
                        "access-control-allow-headers": "authorization, content-type",
                        "access-control-max-age": _PREFLIGHT_SEC}
        return {"vary": "origin", **allowed}

    def _check_host(self, headers: Headers, arrived: tuple[str, int | None] | None) -> str:
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise ApiError(400, "bad_request", "send one Host header", place="header.Host")
        host = hosts[0].strip().lower()
        if host not in self._proxied and host not in self._own_hosts(arrived):
            raise ApiError(403, "host_not_allowed", "this server does not go by that name; call it by the "
                           "host and port it listens on", place="header.Host")
        return host

    def _own_hosts(self, arrived: tuple[str, int | None] | None) -> set[str]:
        address, arrived_port = arrived or ("", None)
        port = self._port or arrived_port
        # No page can be rebound to a number, so the very address that a call came in on is a name of ours.
        names = self._names | ({_in_url(address)} if self._any and address else set())
        return {f"{name}:{port}" for name in names} | (names if port == _HTTP_PORT else set())

    def _check_origin(self, headers: Headers, own: str) -> None:
        origins = [origin.strip().lower() for origin in headers.getlist("origin")]
        if origins:
            if len(origins) > 1 or (origins[0] != own and origins[0] not in self._origins):
                raise ApiError(403, "origin_not_allowed", "web pages of this origin may not call; the "
                               "operator may list it in server.allowed_origins", place="header.Origin")
        elif headers.get("sec-fetch-site", "none").lower() not in ("none", "same-origin"):
            raise ApiError(403, "origin_not_allowed", "web pages of another site may not call",
                           place="header.Sec-Fetch-Site")

    def _check_token(self, headers: Headers) -> None:
        if self._token is None:
            return
        given = headers.getlist("authorization")
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        right = hmac.compare_digest(_digest(token.strip()), self._token)
        if scheme.lower() != "bearer" or not right:
            what = "the token is wrong" if given else "a token is needed"
            raise ApiError(401, "unauthorized", f"{what}; send Authorization: Bearer TOKEN with server.token",
                           place="header.Authorization", headers={"WWW-Authenticate": "Bearer"})


def _digest(token: str) -> bytes:
    # Digests are of one length, so that the comparison does not tell the token's.
    return hashlib.sha256(token.encode("latin-1", "replace")).digest()


def _in_url(host: str) -> str:
    """As it stands in a Host header: IPv6 in brackets, IPv4 mapped into IPv6 as IPv4."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host.lower()
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped) if address.ipv4_mapped else f"[{address}]"
