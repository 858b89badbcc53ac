"""The client's side of the ingest benchmark, one role a process.

``python ingest_clients.py ROLE VENUE PORT FRAMES`` prints ``{"us": CPU microseconds a message, "rss_mb":
peak}``. Roles: ``bare`` receives bytes over trio and nothing else; ``floor`` splits frames and decodes each
with a typed msgspec decoder; ``shipped`` is ctcore: socket, session, book, bus, a consumer that reads the
best bid and offer at each event, and batches of 500 events encoded into history's columns.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import msgspec
import trio

WARM_UP = 0.1
FIRST_SEQ = 1_000
HEADER = b"\x81~"  # of every frame the feeder sends but its acknowledgement; no JSON holds these bytes


class Meter:
    """CPU time of this process between the end of the warm-up and the last message."""

    def __init__(self, frames: int) -> None:
        self.first, self.last = int(frames * WARM_UP), frames
        self.seen = 0
        self.began = 0.0
        self.done = trio.Event()
        self.us = 0.0

    def count(self, messages: int) -> None:
        """So many messages were handled."""
        before, self.seen = self.seen, self.seen + messages
        if before < self.first <= self.seen:
            self.began = time.process_time()
            self.first = self.seen
        if self.seen >= self.last and not self.done.is_set():
            self.us = (time.process_time() - self.began) / (self.seen - self.first) * 1e6
            self.done.set()


async def open_stream(port: int) -> trio.SocketStream:
    """A WebSocket by hand, for the roles that are not ctcore."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some(1)
    await stream.send_all(b"subscribe")
    return stream


def split(buffer: bytearray) -> list[memoryview]:
    """Whole unmasked text frames at the front of the buffer."""
    frames, at, view = [], 0, memoryview(buffer)
    while len(buffer) - at >= 4:
        length, head = buffer[at + 1], 2
        if length == 126:
            length, head = (buffer[at + 2] << 8) | buffer[at + 3], 4
        if len(buffer) - at - head < length:
            break
        frames.append(view[at + head : at + head + length])
        at += head + length
    rest = bytes(view[at:])
    frames.append(memoryview(rest))
    return frames


class BinanceDepth(msgspec.Struct):
    """Of the floor: the fields any client needs."""

    E: int
    s: str
    U: int
    u: int
    b: list[tuple[float, float]]
    a: list[tuple[float, float]]


class BinanceFrame(msgspec.Struct):
    """A combined frame."""

    data: BinanceDepth


class OkxBook(msgspec.Struct):
    """Of the floor: the fields any client needs."""

    asks: list[tuple[float, float, float, float]]
    bids: list[tuple[float, float, float, float]]
    ts: int
    seqId: int  # noqa: N815  the venue's name
    prevSeqId: int  # noqa: N815  the venue's name


class OkxFrame(msgspec.Struct):
    """A books frame."""

    arg: dict[str, str]
    action: str
    data: list[OkxBook]


FLOOR: dict[str, msgspec.json.Decoder[Any]] = {
    "binance": msgspec.json.Decoder(BinanceFrame, strict=False),
    "okx": msgspec.json.Decoder(OkxFrame, strict=False),
}


async def floor(venue: str, port: int, meter: Meter) -> None:
    """Receive, split, decode."""
    stream, decode, rest = await open_stream(port), FLOOR[venue].decode, b""
    with_ack = True
    while not meter.done.is_set():
        chunk = await stream.receive_some(64 * 1024)
        *frames, tail = split(bytearray(rest + chunk))
        rest = bytes(tail)
        if with_ack and frames:
            frames, with_ack = frames[1:], False
        for frame in frames:
            decode(frame)
        meter.count(len(frames))


async def bare(venue: str, port: int, meter: Meter) -> None:  # noqa: ARG001  one signature for all roles
    """Receive bytes and do no more than count what they hold."""
    stream = await open_stream(port)
    while not meter.done.is_set():
        meter.count((await stream.receive_some(64 * 1024)).count(HEADER))


async def shipped(venue: str, port: int, meter: Meter) -> None:
    """The path of ``ctcore run`` from the socket to history's columns."""
    from ctcore.contracts.driver import Endpoints, Fetch, HttpRequest, HttpResponse
    from ctcore.contracts.plugin.manager import PluginManager
    from ctcore.feed.connection import Connection
    from ctcore.feed.keeper import BookKeeper
    from ctcore.feed.observer import LoggingObserver
    from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
    from ctcore.model.instrument import Catalogue, Instrument, InstrumentKind
    from ctcore.model.market import BookDelta, MarketEvent
    from ctcore.runtime.bus import Bus
    from ctcore.runtime.clock import MonotonicStamp, SystemClock
    from ctcore.runtime.garbage import settle_garbage_collector
    from ctcore.sinks.encode import encode
    from ctcore.sinks.scales import Written
    from ctcore.wire.network import SocketNetwork

    url = f"ws://127.0.0.1:{port}"
    plugin = PluginManager().drivers[venue]
    live = plugin.info.environments["live"]
    driver = plugin.create(Endpoints(live.rest, dict.fromkeys(live.stream, url)), None)
    instrument = InstrumentId(venue, Market.SPOT, "BTC/USDT")
    symbol = {"binance": "BTCUSDT", "okx": "BTC-USDT"}[venue]
    row = Instrument(
        id=instrument, symbol=symbol, kind=InstrumentKind.SPOT, base="BTC", quote="USDT", settle="USDT",
        tick_size=Decimal("0.01"), lot_size=Decimal("0.00000001"),
    )  # fmt: skip
    catalogue = Catalogue(venue, Market.SPOT, [row])
    (plan,) = driver.plan({Subscription(instrument, Channel.ORDERBOOK)}, {Market.SPOT: catalogue})

    class Canned:
        """Answers the one snapshot that Binance's session asks for."""

        async def perform(self, request: HttpRequest) -> HttpResponse:
            body = b'{"lastUpdateId":1000,"bids":[["61799.90","1"]],"asks":[["61800.10","1"]]}'
            return HttpResponse(request, 200, body)

        failed: Fetch | None = None

    bus, batch = Bus(), list[MarketEvent]()
    keeper = BookKeeper(bus.publish)
    keeper.watch(instrument)
    book = keeper.book(instrument)
    assert book is not None
    written = Written(instrument, 1, 1e2, 1e8)
    best: list[object] = [None, None]
    marks = {FIRST_SEQ + meter.first, FIRST_SEQ + meter.last}

    def consumer(event: BookDelta) -> None:
        best[0], best[1] = book.best_bid(), book.best_ask()
        if event.seq in marks:
            meter.count(event.seq - FIRST_SEQ - meter.seen)

    def collect(event: MarketEvent) -> None:
        batch.append(event)
        if len(batch) >= 500:
            encode(batch, [written] * len(batch), 1)
            batch.clear()

    bus.subscribe(collect, types=[BookDelta])
    bus.subscribe(consumer, types=[BookDelta])
    rest: Any = Canned()
    connection = Connection(
        plan, driver.session(plan, catalogue), network=SocketNetwork(), rest=rest, accept=keeper.accept,
        stamp=MonotonicStamp(SystemClock()).now_us, observer=LoggingObserver(),
    )  # fmt: skip
    await connection.connect()
    settle_garbage_collector()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await meter.done.wait()
        nursery.cancel_scope.cancel()
    if not book.valid:
        raise SystemExit(f"the book is not in sync: {connection.session.books()}")


Role = Callable[[str, int, Meter], Awaitable[None]]
ROLES: dict[str, Role] = {"bare": bare, "floor": floor, "shipped": shipped}


async def main() -> None:
    """Run one role."""
    role, venue, port, frames = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    meter = Meter(frames - 1)  # the first frame of a venue may be its snapshot
    with trio.fail_after(120):
        await ROLES[role](venue, port, meter)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"us": meter.us, "rss_mb": peak_mb}))


if __name__ == "__main__":
    trio.run(main)
