"""The network in memory behaves as trio's contract of streams asks, and carries httpx."""

from __future__ import annotations

import ssl

import httpx
import pytest
import trio
import trio.testing

from ctcore.errors import TransportError
from ctcore.testing.memory_network import MemoryNetwork
from ctcore.testing.memory_stream import MemoryStream, memory_stream_pair
from ctcore.wire.network import Network


async def _pair() -> tuple[MemoryStream, MemoryStream]:
    return memory_stream_pair(100_000)


async def _clogged() -> tuple[MemoryStream, MemoryStream]:
    pair = memory_stream_pair(10)
    for stream in pair:
        await stream.send_all(b"x" * 10)
    return pair


async def test_streams_keep_trios_contract():
    await trio.testing.check_half_closeable_stream(_pair, _clogged)


async def test_a_full_buffer_makes_the_sender_wait(autojump_clock):
    ours, theirs = memory_stream_pair(10)
    with trio.move_on_after(5) as scope:
        await ours.send_all(b"x" * 11)
    assert scope.cancelled_caught
    assert await theirs.receive_some(100) == b"x" * 10
    with trio.fail_after(5):
        await ours.wait_send_all_might_not_block()


async def test_connecting_where_nobody_listens():
    network = MemoryNetwork()
    with pytest.raises(TransportError, match="venue:80"):
        await network.connect("venue", 80)
    listener = network.listen("venue", 80)
    with pytest.raises(TransportError, match="taken"):
        network.listen("venue", 80)
    with pytest.raises(TransportError, match="TLS"):
        await network.connect("venue", 80, tls=ssl.create_default_context())
    await listener.aclose()
    with pytest.raises(TransportError):
        await network.connect("venue", 80)
    await network.listen("venue", 80).aclose()


async def test_a_closing_listener_breaks_what_it_did_not_accept():
    network = MemoryNetwork()
    listener = network.listen("venue", 80)
    stream = await network.connect("venue", 80)
    await listener.aclose()
    assert await stream.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"hello")


async def test_is_a_network():
    network: Network = MemoryNetwork()
    assert network.http_transport() is not None


async def _answer(stream: trio.abc.Stream) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some()
    if b"/slow" in data:
        await trio.sleep(60)
    if b"/broken" in data:
        await stream.aclose()
        return
    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
    await trio.sleep(1)


@pytest.fixture
async def client(nursery):
    network = MemoryNetwork()
    await nursery.start(trio.serve_listeners, _answer, [network.listen("venue", 80)])
    async with httpx.AsyncClient(transport=network.http_transport(), timeout=5) as client:
        yield client
    nursery.cancel_scope.cancel()


async def test_httpx_over_it(client, autojump_clock):
    response = await client.get("http://venue/x")
    assert (response.status_code, response.text) == (200, "hello")


async def test_errors_are_those_of_httpx(client, autojump_clock):
    with pytest.raises(httpx.ConnectError):
        await client.get("http://nobody/")
    with pytest.raises(httpx.ReadTimeout):
        await client.get("http://venue/slow")
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("http://venue/broken")
