"""How bytes get out: the one seam between ctcore and sockets, so that tests can run on in-memory streams."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Protocol

import httpx
import trio

from ctcore.errors import TransportError


@cache
def trusted() -> ssl.SSLContext:
    """The TLS context of every connection, WebSocket and HTTP: the system's authorities.

    Made once, when first needed: reading them takes some 20 ms, in which nothing else runs.
    """
    return ssl.create_default_context()


class Network(Protocol):
    """Opens byte streams and tells httpx how to."""

    async def connect(
        self, host: str, port: int, *, tls: ssl.SSLContext | None, timeout_sec: float
    ) -> trio.abc.Stream:
        """Connect, with the TLS handshake done; raises :class:`TransportError` naming host, port and reason.
        """

    def http_transport(self) -> httpx.AsyncBaseTransport | None:
        """The transport of HTTP clients on this network; None for httpx's own."""


class SocketNetwork:
    """The real network."""

    async def connect(
        self, host: str, port: int, *, tls: ssl.SSLContext | None, timeout_sec: float
    ) -> trio.abc.Stream:
        """Connect over TCP, and TLS when a context is given."""
        try:
            with trio.fail_after(timeout_sec):
                stream = await trio.open_tcp_stream(host, port)
                return stream if tls is None else await _handshake(stream, host, tls)
        except trio.TooSlowError:
            raise TransportError(f"{host}:{port} did not answer within {timeout_sec:g} s") from None
        except (OSError, trio.BrokenResourceError, ssl.SSLError) as error:
            raise TransportError(f"cannot connect to {host}:{port}: {_reason(error)}") from error

    def http_transport(self) -> httpx.AsyncBaseTransport | None:
        """Httpx's own, trusting the same authorities as WebSockets do."""
        return httpx.AsyncHTTPTransport(verify=trusted(), trust_env=False)


async def _handshake(stream: trio.SocketStream, host: str, tls: ssl.SSLContext) -> trio.abc.Stream:
    secured: trio.SSLStream[trio.SocketStream] = trio.SSLStream(
        stream, tls, server_hostname=host, https_compatible=True
    )
    try:
        await secured.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secured


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    while isinstance(cause, BaseExceptionGroup):  # one for each address; the first tells enough
        cause = cause.exceptions[0]
    return str(cause) or type(cause).__name__
