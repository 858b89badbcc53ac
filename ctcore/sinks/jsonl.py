"""History as files: unified messages, one JSON line each, rotated by size.

``events-000001.jsonl`` is followed by ``events-000002.jsonl``; closed files may be compressed. Beside them
``batches.jsonl`` notes, after each batch, its id and where the file ended. On opening, bytes after the last
note are cut off: a batch is there as a whole or not at all. Exactly once by batch id is best effort: it
holds across a crash of the process for the last 10,000 batches; a crash of the machine needs ``fsync``, or
may cost the newest batches. ``lock`` keeps other sinks and other daemons out.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import sys
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import attrs
import msgspec

from ctcore.contracts.sink import Sink
from ctcore.errors import ConfigError, StorageError
from ctcore.model.instrument import Instrument
from ctcore.model.market import MarketEvent
from ctcore.model.message import to_json
from ctcore.sinks.config import JsonlConfig

if sys.platform != "win32":
    import fcntl

_IDS_KEPT = 10_000
_NOTES = "batches.jsonl"
_FILE = re.compile(r"events-(\d{6,})\.jsonl(?:\.gz)?")


class _Note(msgspec.Struct):
    id: str
    file: int
    end: int


@attrs.frozen
class JsonlStatistics:
    """Counts since the sink was made; ``file`` is the number of the current file, ``bytes`` its size."""

    batches: int
    lines: int
    repeated: int
    file: int
    bytes: int


class JsonlSink(Sink):
    """Appends batches to files in a directory that no other sink writes to."""

    def __init__(self, config: JsonlConfig) -> None:
        self._config = config
        self._directory = config.directory
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._out: BinaryIO | None = None
        self._notes: BinaryIO | None = None
        self._lock: BinaryIO | None = None
        self._file = 1
        self._end = self._notes_end = 0
        self._batches = self._lines = self._repeated = 0

    def open(self) -> None:
        """Take possession of the directory, find the last whole batch, cut off what a crash left behind it.

        Raises :class:`ConfigError` when the directory cannot be used or another sink has it.
        """
        self.close()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._take_possession()
            self._recover()
            self._notes = (self._directory / _NOTES).open("ab", buffering=0)
            self._notes_end = self._notes.seek(0, os.SEEK_END)
            self._out = self._path(self._file).open("ab", buffering=0)
        except BlockingIOError as error:
            self.close()
            raise ConfigError(f"history directory {self._directory}: in use by another sink or another "
                              "daemon; give each its own") from error
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise ConfigError(f"history directory {self._directory}: {error.strerror}; name another one, "
                              "or make it writable") from error
        except OSError as error:
            raise StorageError(f"history directory {self._directory}: {error}") from error

    def describe(self, instruments: Iterable[Instrument]) -> None:
        """Messages name their instrument in full: nothing to learn."""

    def write_batch(self, batch_id: str, events: Sequence[MarketEvent]) -> None:
        """Append the events, then the note that makes them count."""
        if batch_id in self._ids:
            self._repeated += 1
            return
        if self._out is None or self._notes is None:
            raise StorageError(f"history directory {self._directory} is not open")
        data = b"".join([to_json(event) + b"\n" for event in events])
        try:
            self._append(self._out, data)
            note = msgspec.json.encode(_Note(batch_id, self._file, self._end + len(data))) + b"\n"
            self._append(self._notes, note)
        except OSError as error:
            self._undo()
            raise StorageError(f"history directory {self._directory}: {error}") from error
        self._end += len(data)
        self._notes_end += len(note)
        self._remember(batch_id)
        self._batches += 1
        self._lines += len(events)
        if self._end >= self._config.rotate_bytes:
            self._rotate()

    def close(self) -> None:
        """Close the files and let go of the directory."""
        for file in (self._out, self._notes, self._lock):
            if file is not None:
                try:
                    file.close()
                except OSError:
                    continue
        self._out = self._notes = self._lock = None

    def statistics(self) -> JsonlStatistics:
        """Counts so far."""
        return JsonlStatistics(self._batches, self._lines, self._repeated, self._file, self._end)

    def _append(self, file: BinaryIO, data: bytes) -> None:
        view = memoryview(data)
        while view:  # a full disk may take a part and say so only by the count
            view = view[file.write(view):]
        if self._config.fsync:
            os.fsync(file.fileno())

    def _undo(self) -> None:
        """After a failed append: cut off what was half written; cutting needs no room on the disk."""
        try:
            os.truncate(self._path(self._file), self._end)
            os.truncate(self._directory / _NOTES, self._notes_end)
        except OSError:
            self.close()  # opening anew cuts it off

    def _take_possession(self) -> None:
        self._lock = (self._directory / "lock").open("ab")
        if sys.platform != "win32":
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _recover(self) -> None:
        """Take up after the last note; notes beyond those remembered are forgotten."""
        notes = self._read_notes()
        closed = self._numbers()
        self._file, self._end = (notes[-1].file, notes[-1].end) if notes else (max(closed, default=1), 0)
        newest = max(closed, default=self._file)
        if newest > self._file or not self._path(self._file).exists():
            # The file of the last note is closed: what comes next has no note yet.
            self._file, self._end = max(newest, self._file + bool(notes)), 0
        current = self._path(self._file)
        if not notes and current.exists():
            self._end = current.stat().st_size
        if current.exists() and current.stat().st_size > self._end:
            os.truncate(current, self._end)
        self._ids = OrderedDict((note.id, None) for note in notes[-_IDS_KEPT:])
        temporary = self._directory / (_NOTES + ".new")
        temporary.write_bytes(b"".join(msgspec.json.encode(note) + b"\n" for note in notes[-_IDS_KEPT:]))
        temporary.replace(self._directory / _NOTES)

    def _read_notes(self) -> list[_Note]:
        try:
            raw = (self._directory / _NOTES).read_bytes()
        except FileNotFoundError:
            return []
        notes = []
        for line in raw.splitlines():
            try:
                notes.append(msgspec.json.decode(line, type=_Note))
            except msgspec.DecodeError:
                break  # a torn last note: its batch does not count
        return notes

    def _remember(self, batch_id: str) -> None:
        self._ids[batch_id] = None
        if len(self._ids) > _IDS_KEPT:
            self._ids.popitem(last=False)

    def _rotate(self) -> None:
        """Close the file and begin the next; after a failure here the batch is kept all the same."""
        done = self._path(self._file)
        try:
            if self._out is not None:
                self._out.close()
            self._file, self._end = self._file + 1, 0
            self._out = self._path(self._file).open("ab", buffering=0)
            if self._config.gzip:
                _compress(done)
            self._prune()
        except OSError as error:
            if self._out is None or self._out.closed:
                self.close()
            raise StorageError(f"history directory {self._directory}: {error}") from error

    def _prune(self) -> None:
        if not self._config.keep_files:
            return
        for number in self._numbers()[:-1][:-self._config.keep_files]:
            self._path(number).unlink(missing_ok=True)
            self._path(number).with_suffix(".jsonl.gz").unlink(missing_ok=True)

    def _numbers(self) -> list[int]:
        names = (_FILE.fullmatch(path.name) for path in self._directory.iterdir())
        return sorted({int(name[1]) for name in names if name})

    def _path(self, number: int) -> Path:
        return self._directory / f"events-{number:06}.jsonl"


def _compress(path: Path) -> None:
    packed = path.with_suffix(".jsonl.gz")
    temporary = path.with_suffix(".jsonl.gz.new")
    with path.open("rb") as source, gzip.open(temporary, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    temporary.replace(packed)
    path.unlink()
