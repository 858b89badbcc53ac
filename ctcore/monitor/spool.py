"""A bounded queue of batches on disk, for the time a sink is slow or down. Blocking; one thread at a time.

A directory of segments ``spool-<number>.seg``, each a magic and records ``length, crc32, payload``; they are
written in order, flushed to the disk one by one, and read in order. ``cursor`` holds where reading stands:
two slots written in turn, so that a torn write leaves the other; a batch is acknowledged when its slot is on
the disk.

After a crash the last record may be torn: reading a segment ends at the first record that is cut off, and
goes on with the next segment. A record whose checksum is wrong is skipped. Writing always begins a new
segment after opening, so nothing is ever appended behind a torn record.

What cannot be read or used is kept for a while, for people: segments with damage as ``*.damaged``, batches
that were put aside in ``refused/`` (each a segment of its own: moved back under a free number, it is offered
again). Each of the two may take an eighth of ``max_bytes`` beside the spool; the oldest go first.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

import attrs
from loguru import logger

from ctcore.errors import ConfigError, DecodeError, SpoolFull, StorageError
from ctcore.model.market import MarketEvent
from ctcore.monitor.keepsakes import keep, keep_bytes
from ctcore.monitor.spool_format import pack, unpack

if sys.platform != "win32":
    import fcntl

_MAGIC = b"CTSPOOL1"
_BEGIN = len(_MAGIC)
_RECORD = struct.Struct("<II")
_SLOT = struct.Struct("<QQQI")  # generation, segment, offset, crc32 of the three
_Read: TypeAlias = tuple[bytes, bool]
_NAME = re.compile(r"spool-(\d{10})\.seg")


@attrs.frozen
class SpooledBatch:
    """A batch that waits on the disk."""

    batch_id: str
    events: Sequence[MarketEvent] = attrs.field(repr=False)


@attrs.frozen
class SpoolStatistics:
    """``bytes`` is what the segments take on the disk; ``damaged`` records could not be read.

    ``refused`` appends found no room; ``put_aside`` batches went to ``refused/``.
    """

    batches: int
    bytes: int
    max_bytes: int
    damaged: int
    refused: int
    put_aside: int


class Spool:
    """The batches in ``directory``, at most ``max_bytes`` of them."""

    def __init__(
        self, directory: Path, *, max_bytes: int = 1_000_000_000, segment_bytes: int = 16_000_000
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        # A segment is deleted when all of it is read: small ones give room back early.
        self._segment_bytes = min(segment_bytes, max(1, max_bytes // 8))
        self._lock: BinaryIO | None = None
        self._cursor: BinaryIO | None = None
        self._out: BinaryIO | None = None
        self._sizes: dict[int, int] = {}
        self._writing = 0
        self._generation, self._segment, self._offset = 0, 0, _BEGIN
        self._head: tuple[SpooledBatch, int] | None = None
        self._broken: set[int] = set()
        self._lost: list[MarketEvent] = []
        self._batches = self._damaged = self._refused = self._aside = 0

    def __len__(self) -> int:
        return self._batches

    def open(self) -> None:
        """Take possession of the directory and count what waits in it.

        Raises :class:`ConfigError` when it cannot be used or another process uses it.
        """
        self.close()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock = (self._directory / "lock").open("ab")
            if sys.platform != "win32":
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read_cursor()
            self._count()
        except BlockingIOError as error:
            self.close()
            raise ConfigError(f"spool {self._directory}: in use by another process; give each daemon its own "
                              "folder") from error
        except OSError as error:
            self.close()
            raise ConfigError(f"spool {self._directory}: {error.strerror or error}; name another folder, "
                              "or make it writable") from error

    def append(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
        """Put a batch at the end, durably.

        Raises :class:`SpoolFull` beyond ``max_bytes`` or on a full disk, :class:`StorageError` when the disk
        fails; nothing is kept then.
        """
        payload = pack(batch_id, events)
        size = _RECORD.size + len(payload)
        if sum(self._sizes.values()) + _BEGIN + size > self._max_bytes:
            self._refused += 1
            raise SpoolFull(f"spool {self._directory} is full: {self._max_bytes} bytes")
        try:
            with self._disk():
                out = self._writable(size)
                _write_all(out, _RECORD.pack(len(payload), zlib.crc32(payload)) + payload)
                os.fsync(out.fileno())
        except StorageError:
            self._cut_back()
            self._refused += 1
            raise
        self._sizes[self._writing] += size
        self._batches += 1

    def peek(self) -> SpooledBatch | None:
        """The oldest batch, None when there is none. Records that cannot be read are skipped and counted."""
        with self._disk():
            while self._head is None and self._batches:
                record = self._read()
                if record is None:
                    if not self._next_segment():
                        self._batches = 0
                    continue
                payload, whole = record
                size = _RECORD.size + len(payload)
                try:
                    found = SpooledBatch(*unpack(payload))
                except DecodeError as error:
                    self._skip(size, f"{error}; its streams are not known", counted=whole)
                    continue
                if whole:
                    self._head = found, size
                else:
                    self._lost += found.events  # what of them is wrong is not known; whose they are, mostly
                    self._skip(size, f"its checksum is wrong; {len(found.events)} events", counted=False)
        return self._head[0] if self._head else None

    def take_lost(self) -> list[MarketEvent]:
        """Events of damaged records, as far as they could be read: not to be believed, but to be missed."""
        lost, self._lost = self._lost, []
        return lost

    def put_aside(self, batch_id: str, events: Sequence[MarketEvent]) -> Path:
        """Keep a batch in ``refused/``, where nothing reads it. Returns the file; raises StorageError."""
        payload = pack(batch_id, events)
        record = _RECORD.pack(len(payload), zlib.crc32(payload)) + payload
        name = re.sub(r"[^\w.-]", "_", batch_id) + ".seg"
        with self._disk():
            path = keep_bytes(self._directory / "refused" / name, _MAGIC + record, self._max_bytes // 8)
        self._aside += 1
        return path

    def ack(self, batch_id: str) -> None:
        """The oldest batch is safe elsewhere: forget it, durably. Nothing happens if it is not this one."""
        self.peek()
        if self._head is None or self._head[0].batch_id != batch_id:
            return
        with self._disk():
            self._advance(self._head[1])
        self._head = None

    def close(self) -> None:
        """Let go of the directory; what waits stays."""
        self._stop_writing()
        for file in (self._cursor, self._lock):
            if file is not None:
                file.close()
        self._cursor = self._lock = self._head = None

    def statistics(self) -> SpoolStatistics:
        """What waits, and counts since the spool was made."""
        used = sum(self._sizes.values())
        return SpoolStatistics(
            self._batches, used, self._max_bytes, self._damaged, self._refused, self._aside)

    def _writable(self, size: int) -> BinaryIO:
        if self._out is not None and self._sizes[self._writing] + size > self._segment_bytes:
            self._stop_writing()
        if self._out is None:
            self._writing = max([self._segment, self._writing, *self._sizes]) + 1
            self._out = self._path(self._writing).open("xb", buffering=0)
            self._sizes[self._writing] = _BEGIN
            _write_all(self._out, _MAGIC)
            _sync_directory(self._directory)
        return self._out

    def _stop_writing(self) -> None:
        """End the segment; reading it ends at a record that was not finished."""
        if self._out is not None:
            self._out.close()
            self._out = None

    def _cut_back(self) -> None:
        """After a failed append: leave nothing of it; cutting needs no room on a full disk."""
        self._stop_writing()
        path, size = self._path(self._writing), self._sizes.get(self._writing)
        try:
            if size is None:
                return
            if size > _BEGIN:
                os.truncate(path, size)
            else:
                path.unlink(missing_ok=True)
                del self._sizes[self._writing]
        except OSError as error:
            logger.warning("{}: half a record stays at the end of {}: {}", self._directory, path.name, error)

    def _read(self) -> _Read | None:
        """The payload at the cursor and whether it is whole; None at the end of its segment."""
        try:
            with self._path(self._segment).open("rb") as file:
                file.seek(self._offset)
                return _read_record(file)
        except FileNotFoundError:
            return None

    def _next_segment(self) -> bool:
        """Delete this segment, or keep it as damaged, and go on with the next; False when there is none."""
        if self._segment == self._writing:
            self._stop_writing()
        path = self._path(self._segment)
        left = self._sizes.get(self._segment, self._offset) - self._offset
        if left > 0:
            logger.error("{}: {} bytes at the end of {} cannot be read", self._directory, left, path.name)
        if left > 0 or self._segment in self._broken:
            self._broken.discard(self._segment)
            keep(path, path.with_suffix(".damaged"), self._max_bytes // 8)
        path.unlink(missing_ok=True)
        self._sizes.pop(self._segment, None)
        if not self._sizes:
            return False
        self._save_cursor(min(self._sizes), _BEGIN)
        return True

    def _skip(self, size: int, why: str, *, counted: bool) -> None:
        logger.error("{}: skipped a batch of {} bytes: {}", self._directory, size, why)
        self._damaged += 1
        self._broken.add(self._segment)
        self._advance(size, batches=int(counted))

    def _advance(self, size: int, *, batches: int = 1) -> None:
        self._save_cursor(self._segment, self._offset + size)
        self._batches -= batches
        if not self._batches:
            self._next_segment()

    def _save_cursor(self, segment: int, offset: int) -> None:
        assert self._cursor is not None  # noqa: S101  every caller is inside _disk()
        generation = self._generation + 1
        body = struct.pack("<QQQ", generation, segment, offset)
        self._cursor.seek(generation % 2 * _SLOT.size)
        _write_all(self._cursor, body + struct.pack("<I", zlib.crc32(body)))
        os.fsync(self._cursor.fileno())
        self._generation, self._segment, self._offset = generation, segment, offset

    def _read_cursor(self) -> None:
        path = self._directory / "cursor"
        path.touch()
        self._cursor = path.open("r+b", buffering=0)
        raw = self._cursor.read()
        slots = [_SLOT.unpack_from(raw, at) for at in (0, _SLOT.size) if len(raw) >= at + _SLOT.size]
        whole = [slot[:3] for slot in slots if zlib.crc32(struct.pack("<QQQ", *slot[:3])) == slot[3]]
        self._generation, self._segment, self._offset = max(whole, default=(0, 0, _BEGIN))

    def _count(self) -> None:
        """Find the segments, delete those already read, count the records of the others."""
        names = (_NAME.fullmatch(path.name) for path in self._directory.iterdir())
        found = sorted(int(name[1]) for name in names if name)
        while found and found[0] < self._segment:
            self._path(found.pop(0)).unlink()
        if found and found[0] != self._segment:
            self._segment, self._offset = found[0], _BEGIN
        self._writing = 0
        self._sizes = {number: self._path(number).stat().st_size for number in found}
        self._batches = sum(self._records(number) for number in found)

    def _records(self, number: int) -> int:
        count = 0
        with self._path(number).open("rb") as file:
            end = file.seek(self._offset if number == self._segment else _BEGIN)
            while (record := _read_record(file)) is not None:
                count += record[1]
                end += _RECORD.size + len(record[0])
        if end < self._sizes[number]:
            logger.warning("{}: {} bytes at the end of segment {} are no whole record, as after a crash",
                           self._directory, self._sizes[number] - end, number)
            self._damaged += 1
        return count

    def _path(self, number: int) -> Path:
        return self._directory / f"spool-{number:010}.seg"

    @contextmanager
    def _disk(self) -> Iterator[None]:
        if self._cursor is None:
            raise StorageError(f"spool {self._directory} is not open")
        try:
            yield
        except OSError as error:
            kind = SpoolFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
            raise kind(f"spool {self._directory}: {error.strerror or error}") from error


def _read_record(file: BinaryIO) -> _Read | None:
    """The next payload, and whether its checksum is right; None where the file ends before it does."""
    head = file.read(_RECORD.size)
    if len(head) < _RECORD.size:
        return None
    length, checksum = _RECORD.unpack(head)
    payload = file.read(length)
    if not length or len(payload) < length:
        return None
    return payload, zlib.crc32(payload) == checksum


def _write_all(file: BinaryIO, data: bytes) -> None:
    """A full disk may take a part and say so only by the count."""
    view = memoryview(data)
    while view:
        view = view[file.write(view):]


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
