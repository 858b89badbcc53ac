"""The venue's side of the ingest benchmark: a process that sends prepared WebSocket frames as fast as asked.

``python feeder.py VENUE FRAMES PACE_US`` prints its port, serves one client after another, and ends with its
standard input.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import random
import socket
import struct
import sys
import threading
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FIRST_SEQ = 1_000
LEVELS_A_SIDE = 10
BASE_MS = 1_760_000_000_000


def _levels(rng: random.Random, side: int, tail: str) -> str:
    # The wire of both venues: prices around 61,800 with a tick of 0.1, about every fifth level deleted.
    steps = rng.sample(range(1, 120), LEVELS_A_SIDE)
    rows = []
    for step in steps:
        price = f"{61_800 + side * step / 10:.2f}"
        quantity = "0.00000000" if rng.random() < 0.2 else f"{rng.uniform(0.001, 9):.8f}"
        rows.append(f'["{price}","{quantity}"{tail}]')
    return "[" + ",".join(rows) + "]"


def binance_frame(rng: random.Random, number: int) -> str:
    """One combined spot frame of 20 levels."""
    seq = FIRST_SEQ + number
    bids, asks = _levels(rng, -1, ""), _levels(rng, 1, "")
    head = f'{{"e":"depthUpdate","E":{BASE_MS + number},"s":"BTCUSDT","U":{seq},"u":{seq},'
    return f'{{"stream":"btcusdt@depth@100ms","data":{head}"b":{bids},"a":{asks}}}}}'


def okx_frame(rng: random.Random, number: int) -> str:
    """One ``books`` frame of 20 levels; the first is the snapshot."""
    seq = FIRST_SEQ + number
    action, prev = ("snapshot", -1) if number == 0 else ("update", seq - 1)
    asks, bids = _levels(rng, 1, ',"0","3"'), _levels(rng, -1, ',"0","3"')
    if number == 0:
        asks, bids = asks.replace('"0.00000000"', '"1"'), bids.replace('"0.00000000"', '"1"')
    head = f'{{"arg":{{"channel":"books","instId":"BTC-USDT"}},"action":"{action}","data":[{{"asks":{asks},'
    tail = f'"ts":"{BASE_MS + number}","checksum":0,"seqId":{seq},"prevSeqId":{prev}}}]}}'
    return f'{head}"bids":{bids},{tail}'



MAKERS = {"binance": binance_frame, "okx": okx_frame}


def _wrapped(text: str) -> bytes:
    data = text.encode()
    return b"\x81\x7e" + struct.pack("!H", len(data)) + data


def _accept(request: bytes) -> bytes:
    lines = (line.partition(b":") for line in request.split(b"\r\n"))
    key = next(value.strip() for name, _, value in lines if name.lower() == b"sec-websocket-key")
    token = base64.b64encode(hashlib.sha1(key + GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + token + b"\r\n\r\n"
    )


def _serve(client: socket.socket, frames: list[bytes], pace_us: int) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(_accept(client.recv(65536)))
    client.recv(65536)  # the subscription, or whatever stands for it
    client.sendall(b"\x81\x18" + b'{"result":null,"id":1}  ')
    client.sendall(frames[0])
    time.sleep(0.5)  # time for the snapshot
    if pace_us:
        for frame in frames[1:]:
            client.sendall(frame)
            time.sleep(pace_us / 1e6)
    else:
        client.sendall(b"".join(frames[1:]))
    with contextlib.suppress(OSError):
        client.recv(1)
    client.close()


def main() -> None:
    """Prepare the frames, then serve."""
    venue, count, pace_us = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(7)
    frames = [_wrapped(MAKERS[venue](rng, number)) for number in range(count)]
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            client, _ = server.accept()
            try:
                _serve(client, frames, pace_us)
            except OSError:
                client.close()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
