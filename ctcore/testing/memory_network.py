"""A network in memory: listeners and streams with bounded buffers, so that whole venues run in virtual time.

It is a :class:`~ctcore.wire.network.Network`: what runs over sockets runs over this unchanged.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpcore
import httpx
import trio

from ctcore.errors import TransportError
from ctcore.testing.memory_stream import MemoryStream, memory_stream_pair

_BACKLOG = 100


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """Accepts the connections made to one address of a :class:`MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork, address: tuple[str, int]) -> None:
        self.address = address
        self._network = network
        self._send, self._receive = trio.open_memory_channel[trio.abc.Stream](_BACKLOG)

    async def accept(self) -> trio.abc.Stream:
        """The next connection."""
        return await self._receive.receive()

    async def aclose(self) -> None:
        """Stop listening; connections that were not accepted are broken."""
        self._network.forget(self.address)
        while True:
            try:
                await trio.aclose_forcefully(self._receive.receive_nowait())
            except (trio.WouldBlock, trio.ClosedResourceError):
                break
        self._receive.close()
        await trio.lowlevel.checkpoint()

    def offer(self, stream: trio.abc.Stream) -> None:
        """Queue a connection; raises ``trio.WouldBlock`` or ``trio.BrokenResourceError`` when it cannot."""
        self._send.send_nowait(stream)


class MemoryNetwork:
    """Addresses that exist only here. ``buffer_bytes`` bounds each direction of a connection."""

    def __init__(self, *, buffer_bytes: int = 65_536) -> None:
        self._buffer_bytes = buffer_bytes
        self._listeners: dict[tuple[str, int], MemoryListener] = {}

    def listen(self, host: str, port: int) -> MemoryListener:
        """Listen at an address; raises :class:`TransportError` when it is taken."""
        address = (host, port)
        if address in self._listeners:
            raise TransportError(f"{host}:{port} is taken in this network")
        listener = self._listeners[address] = MemoryListener(self, address)
        return listener

    def forget(self, address: tuple[str, int]) -> None:
        """An address is free again; a listener that closes calls this."""
        self._listeners.pop(address, None)

    async def connect(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        timeout_sec: float = 10.0,  # noqa: ARG002  nothing has to be waited for
    ) -> trio.abc.Stream:
        """Connect; raises :class:`TransportError` when nobody listens, or for TLS (not spoken here)."""
        await trio.lowlevel.checkpoint()
        if tls is not None:
            raise TransportError(f"cannot connect to {host}:{port}: a network in memory speaks no TLS")
        ours, theirs = memory_stream_pair(self._buffer_bytes)
        try:
            self._listeners[host, port].offer(theirs)
        except (KeyError, trio.WouldBlock, trio.BrokenResourceError):
            raise TransportError(f"cannot connect to {host}:{port}: nobody listens") from None
        return ours

    def http_transport(self) -> httpx.AsyncBaseTransport:
        """A transport for httpx clients of this network."""
        return MemoryTransport(self)


class MemoryTransport(httpx.AsyncBaseTransport):
    """Httpx over a :class:`MemoryNetwork`, through httpcore's own HTTP/1.1 and connection pool."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._pool = httpcore.AsyncConnectionPool(network_backend=_Backend(network))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Perform one call, the body read whole."""
        url = request.url
        call = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=_Body(await request.aread()),
            extensions=request.extensions,
        )
        async with _httpx_errors(request):
            response = await self._pool.handle_async_request(call)
            try:
                content = await response.aread()
            finally:
                await response.aclose()
        stream = httpx.ByteStream(content)
        return httpx.Response(
            response.status, headers=response.headers, stream=stream, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close the pool's connections."""
        await self._pool.aclose()


class _Body:
    """A request's body. No async generator: httpcore leaves those unfinished when the server hangs up."""

    def __init__(self, data: bytes) -> None:
        self._chunks = [data] if data else []

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.pop()


class _Backend(httpcore.AsyncNetworkBackend):
    """Where httpcore gets its streams from."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,  # noqa: ARG002  likewise
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002  likewise
    ) -> httpcore.AsyncNetworkStream:
        try:
            return _HttpStream(await self._network.connect(host, port, timeout_sec=timeout or 10.0))
        except TransportError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class _HttpStream(httpcore.AsyncNetworkStream):
    """A stream as httpcore wants it."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        async with _httpcore_errors(timeout, httpcore.ReadTimeout, httpcore.ReadError):
            return bytes(await self._stream.receive_some(max_bytes))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        async with _httpcore_errors(timeout, httpcore.WriteTimeout, httpcore.WriteError):
            await self._stream.send_all(buffer)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """``is_readable`` lets the pool notice that the server has closed an idle connection."""
        if info == "is_readable" and isinstance(self._stream, MemoryStream):
            return self._stream.readable
        return None


@asynccontextmanager
async def _httpcore_errors(
    seconds: float | None, late: type[httpcore.TimeoutException], broken: type[httpcore.NetworkError]
) -> AsyncIterator[None]:
    try:
        with trio.fail_after(float("inf") if seconds is None else seconds):
            yield
    except trio.TooSlowError as error:
        raise late(str(error)) from error
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise broken(str(error)) from error


_HTTPX_ERROR: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
}


@asynccontextmanager
async def _httpx_errors(request: httpx.Request) -> AsyncIterator[None]:
    """Httpcore's errors as httpx's, which is what callers know."""
    try:
        yield
    except tuple(_HTTPX_ERROR) as error:
        raise _HTTPX_ERROR[type(error)](str(error), request=request) from error
