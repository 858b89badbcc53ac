"""A small market, a small dialect served over a network in memory, and a client for it."""

from __future__ import annotations

from typing import ClassVar

import httpx
import pytest
import trio
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from ctcore.errors import RequestRefused
from ctcore.model.ids import Market
from ctcore.sim import (
    ConnectionRules,
    Faults,
    Row,
    SimClock,
    SimMarket,
    SimResponse,
    VenueServer,
    default_listings,
)
from ctcore.testing.memory_network import MemoryNetwork

START_US = 1_780_000_123_456_789

SPOT = (
    Row(symbol="BTCUSDT", base="BTC", tick="0.01", lot="0.00001"),
    Row(symbol="XRPUSDT", base="XRP", tick="0.0001", lot="0.1"),
)
FUTURES = (
    Row(symbol="BTCUSDT", base="BTC", tick="0.1", lot="1", contract_size="0.01"),
    Row(symbol="ETHUSDT", base="ETH", tick="0.01", lot="0.001"),
)


@pytest.fixture
def start_us():
    return START_US


@pytest.fixture
def make_market(start_us):
    def make(kind=Market.SPOT, *, seed=1, activity=30.0, **options):
        rows = SPOT if kind is Market.SPOT else FUTURES
        listings = default_listings("acme", kind, rows, activity=activity)
        return SimMarket(listings, seed=seed, start_us=start_us, **options)

    return make


class Acme(VenueServer):
    """A venue of one socket: a client sends a topic to subscribe, and gets a numbered frame a tick."""

    rules: ClassVar[ConnectionRules] = ConnectionRules(ping_interval_sec=None)
    notice_grace_us = 2_000_000
    body_limit = 10_000

    def __init__(self, markets, clock, faults=None):
        super().__init__(markets, clock, faults)
        self.number = 0
        self.gone = []

    def accepts(self, path):
        return path == "/ws"

    def handle_http(self, request):
        if request.path == "/refuse":
            raise RequestRefused("no", code="-1", status=403)
        return SimResponse.json({
            "method": request.method, "path": request.path, "query": request.query,
            "body": request.body.decode("latin-1"), "peer": request.peer,
        })

    def on_connect(self, connection):
        connection.send("hello " + connection.query.get("name", "you"))

    def on_disconnect(self, connection):
        self.gone.append(connection.number)

    def on_message(self, connection, data):
        if data == "refuse me":
            raise RequestRefused("go away")
        if data == b"binary" or len(data) > 1_000:
            connection.send(data)
        elif data.startswith("-"):
            self.unsubscribe(connection, data[1:])
        else:
            self.subscribe(connection, data, symbol=data.partition(":")[2])

    def publish(self, now_us):
        self.number += 1
        for topic in self.topics:
            self.broadcast(topic, f"{topic} {self.number}")

    def notice(self, connection):
        return "goodbye"

    def faultable(self, topic):
        return not topic.startswith("safe")


class Client:
    """One WebSocket, read by the test itself."""

    def __init__(self, stream, protocol):
        self.stream = stream
        self.protocol = protocol
        self.frames = []
        self.pings = 0
        self.answers_pings = True

    async def receive(self):
        """The next message; None when the stream has ended."""
        while not self.frames:
            try:
                data = await self.stream.receive_some()
            except trio.BrokenResourceError:
                data = b""
            if not data:
                return None
            self.protocol.receive_data(data)
            self._take()
            await self._flush()
        return self.frames.pop(0)

    async def receive_all(self, seconds):
        """All that comes in a while."""
        found = []
        with trio.move_on_after(seconds):
            while (message := await self.receive()) is not None:
                found.append(message)
        return found

    async def send(self, data):
        if isinstance(data, str):
            self.protocol.send_text(data.encode())
        else:
            self.protocol.send_binary(data)
        await self._flush()

    async def close(self):
        self.protocol.send_close(1000)
        await self._flush()

    @property
    def close_code(self):
        received = self.protocol.close_rcvd
        return received.code if received else 1006

    def _take(self):
        for event in self.protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.frames.append(event.data.decode())
            elif isinstance(event, Frame) and event.opcode is Opcode.BINARY:
                self.frames.append(bytes(event.data))
            elif isinstance(event, Frame) and event.opcode is Opcode.PING:
                self.pings += 1
                if not self.answers_pings:
                    self.protocol.data_to_send()

    async def _flush(self):
        data = b"".join(self.protocol.data_to_send())
        if data:
            await self.stream.send_all(data)


class Venue:
    """The server and the ways to it."""

    def __init__(self, server, network):
        self.server = server
        self.network = network
        self.http = httpx.AsyncClient(
            transport=network.http_transport(), base_url="http://acme", timeout=30, trust_env=False
        )

    async def connect(self, target="/ws"):
        """A client whose greeting has been read, or the refusing response."""
        stream = await self.network.connect("acme", 80)
        protocol = ClientProtocol(parse_uri(f"ws://acme{target}"))
        protocol.send_request(protocol.connect())
        client = Client(stream, protocol)
        await client._flush()
        while True:
            data = await stream.receive_some()
            if data:
                protocol.receive_data(data)
            else:
                protocol.receive_eof()
            events = protocol.events_received()
            refused = [event for event in events if isinstance(event, Response)]
            if protocol.state is OPEN:
                client.greeting = await client.receive() if len(events) == 1 else events[1].data.decode()
                return client
            if refused or not data:
                return refused[0] if refused else protocol.handshake_exc.response

    async def fault(self, kind, **fields):
        response = await self.http.post("/_sim/faults", json={"kind": kind, **fields})
        assert response.status_code == 200, response.text


@pytest.fixture
async def open_venue(make_market, start_us, nursery):
    """Serve a dialect; the tasks of the server must all have ended with the test."""
    opened = []

    async def serve(kind=Acme, *, speed=1.0, plan=None):
        network = MemoryNetwork()
        markets = {market: make_market(market) for market in Market}
        server = kind(markets, SimClock(speed, start_us), Faults(plan))
        await nursery.start(server.run, [network.listen("acme", 80)])
        venue = Venue(server, network)
        opened.append(venue)
        return venue

    yield serve
    for venue in opened:
        await venue.http.aclose()
    nursery.cancel_scope.cancel()


@pytest.fixture
async def venue(open_venue):
    return await open_venue()


@pytest.fixture
def acme():
    """The dialect, to be varied."""
    return Acme
