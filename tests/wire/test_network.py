"""The real network on loopback: plain TCP, TLS, and the ways in which connecting fails."""

from __future__ import annotations

import ssl

import pytest
import trio

from ctcore.errors import TransportError
from ctcore.wire.network import SocketNetwork, trusted


async def test_bytes_go_both_ways():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    network = SocketNetwork()
    async with listener, await network.connect("127.0.0.1", port, tls=None, timeout_sec=5) as stream:
        server = await listener.accept()
        async with server:
            await stream.send_all(b"hello")
            assert await server.receive_some(100) == b"hello"
            await server.send_all(b"you")
            assert await stream.receive_some(100) == b"you"


async def test_nobody_listens():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.raises(TransportError, match=f"cannot connect to 127.0.0.1:{port}: .*refused"):
        await SocketNetwork().connect("127.0.0.1", port, tls=None, timeout_sec=5)


async def test_a_server_that_speaks_no_tls():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    ended = trio.Event()

    async def serve() -> None:
        server = await listener.accept()
        async with server:
            await server.send_all(b"220 smtp ready\r\n")
            while await server.receive_some(1_000):
                pass
        ended.set()

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(TransportError, match=f"cannot connect to 127.0.0.1:{port}: .+"):
            await SocketNetwork().connect("127.0.0.1", port, tls=ssl.create_default_context(), timeout_sec=5)
        with trio.fail_after(5):
            await ended.wait()  # nothing was left open


async def test_a_server_that_never_finishes_the_tls_handshake(autojump_clock):
    """The deadline covers the handshake, and the socket is closed."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    network = SocketNetwork()
    async with listener:
        with pytest.raises(TransportError, match=f"127.0.0.1:{port} did not answer within 3 s"):
            await network.connect("127.0.0.1", port, tls=ssl.create_default_context(), timeout_sec=3)
        server = await listener.accept()
        async with server:
            while await server.receive_some(10_000):
                pass


def test_one_tls_context_for_all(monkeypatch):
    trusted.cache_clear()
    made = []

    def make() -> ssl.SSLContext:
        made.append(1)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    monkeypatch.setattr(ssl, "create_default_context", make)
    transports = [SocketNetwork().http_transport() for _ in range(2)]
    assert trusted() is trusted()
    assert made == [1]
    assert [transport._pool._ssl_context for transport in transports] == [trusted()] * 2
    trusted.cache_clear()
