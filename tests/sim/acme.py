"""A small dialect over :mod:`ctcore.sim`, and clients for it."""

from __future__ import annotations

from typing import ClassVar

import httpx
import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from ctcore.errors import RequestRefused
from ctcore.sim import ConnectionRules, SimResponse, VenueServer


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
        self.greeting = ""
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
            self.take()
            await self.flush()
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
        await self.flush()

    async def close(self):
        self.protocol.send_close(1000)
        await self.flush()

    @property
    def close_code(self):
        received = self.protocol.close_rcvd
        return received.code if received else 1006

    def take(self):
        """Sort what the protocol has received."""
        for event in self.protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.frames.append(bytes(event.data).decode())
            elif isinstance(event, Frame) and event.opcode is Opcode.BINARY:
                self.frames.append(bytes(event.data))
            elif isinstance(event, Frame) and event.opcode is Opcode.PING:
                self.pings += 1
                if not self.answers_pings:
                    self.protocol.data_to_send()

    async def flush(self):
        """Send what the protocol has to say."""
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
        await client.flush()
        while True:
            data = await stream.receive_some()
            if data:
                protocol.receive_data(data)
            else:
                protocol.receive_eof()
            if protocol.state is OPEN:
                client.take()
                client.greeting = await client.receive()
                return client
            if isinstance(protocol.handshake_exc, InvalidStatus):
                return protocol.handshake_exc.response
            assert data, "the server hung up"

    async def fault(self, kind, **fields):
        response = await self.http.post("/_sim/faults", json={"kind": kind, **fields})
        assert response.status_code == 200, response.text
