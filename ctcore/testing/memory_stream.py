"""Streams in memory whose buffers are bounded, so that a slow reader is felt as on a real network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import index

import trio


class _Turn:
    """Lets one task at a time; a second one is a mistake of the caller."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._taken = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        if self._taken:
            raise trio.BusyResourceError(f"another task is {self._doing} this stream")
        self._taken = True
        try:
            yield
        finally:
            self._taken = False


class _Pipe:
    """One direction of a connection, holding at most ``capacity`` bytes."""

    def __init__(self, capacity: int) -> None:
        self.sending = _Turn("sending on")
        self.receiving = _Turn("receiving from")
        self.sender_closed = self.receiver_closed = self.ended = False
        self._buffer = bytearray()
        self._capacity = capacity
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def readable(self) -> bool:
        return bool(self._buffer) or self.ended

    async def send(self, data: memoryview) -> None:
        self._check_sendable()
        await trio.lowlevel.checkpoint()
        self._check_sendable()
        while data:
            room = self._capacity - len(self._buffer)
            self._buffer += data[:room]
            data = data[room:]
            self._changed.unpark_all()
            if data:
                await self._changed.park()
                self._check_sendable()

    async def wait_room(self) -> None:
        await trio.lowlevel.checkpoint()
        while len(self._buffer) >= self._capacity and not self.receiver_closed and not self.sender_closed:
            await self._changed.park()
        if self.sender_closed:
            raise trio.ClosedResourceError

    async def receive(self, max_bytes: int | None) -> bytes:
        await trio.lowlevel.checkpoint()
        while not (self._buffer or self.ended or self.receiver_closed):
            await self._changed.park()
        if self.receiver_closed:
            raise trio.ClosedResourceError
        taken = bytes(self._buffer[:max_bytes])
        del self._buffer[: len(taken)]
        self._changed.unpark_all()
        return taken

    def end(self) -> None:
        """No more will be sent; what is buffered can still be received."""
        self.ended = True
        self._changed.unpark_all()

    def close_sender(self) -> None:
        self.sender_closed = True
        self.end()

    def close_receiver(self) -> None:
        self.receiver_closed = True
        self._buffer.clear()
        self._changed.unpark_all()

    def _check_sendable(self) -> None:
        if self.sender_closed or self.ended:
            raise trio.ClosedResourceError
        if self.receiver_closed:
            raise trio.BrokenResourceError("the other end is closed")


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a connection; made by :func:`memory_stream_pair`."""

    def __init__(self, outward: _Pipe, inward: _Pipe) -> None:
        self._outward = outward
        self._inward = inward

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, waiting while the peer's buffer is full."""
        with self._outward.sending.taken():
            await self._outward.send(memoryview(data))

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for room in the peer's buffer."""
        with self._outward.sending.taken():
            await self._outward.wait_room()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has come; empty at the end of the stream."""
        if max_bytes is not None and index(max_bytes) < 1:
            raise ValueError("max_bytes must be 1 or more")
        with self._inward.receiving.taken():
            return await self._inward.receive(max_bytes)

    @property
    def readable(self) -> bool:
        """Whether receiving would not wait: for data, or for the end of the stream."""
        return self._inward.readable

    async def send_eof(self) -> None:
        """Close the outward direction."""
        with self._outward.sending.taken():
            await trio.lowlevel.checkpoint()
            if self._outward.sender_closed:
                raise trio.ClosedResourceError
            self._outward.end()

    async def aclose(self) -> None:
        """Close both directions."""
        self._outward.close_sender()
        self._inward.close_receiver()
        await trio.lowlevel.checkpoint()


def memory_stream_pair(buffer_bytes: int = 65_536) -> tuple[MemoryStream, MemoryStream]:
    """Two connected streams, each direction holding at most ``buffer_bytes``."""
    one, other = _Pipe(buffer_bytes), _Pipe(buffer_bytes)
    return MemoryStream(one, other), MemoryStream(other, one)
