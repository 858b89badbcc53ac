"""Log files that rotate by size and never hurt the daemon: a failing disk costs lines, not the run.

Imports nothing of ctcore.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import attrs

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@attrs.frozen
class LogFileStatistics:
    """``failed`` lines could not be written."""

    path: str
    written: int
    failed: int
    rotations: int


class LogFile:
    """A loguru sink: ``name.log``, after ``max_bytes`` renamed to ``name.log.1`` and so on up to ``keep``.

    Errors of the disk are counted; the first of a series is told on standard error. Every line is one
    unbuffered write, so that nothing piles up in memory and nothing is lost in a crash.
    """

    def __init__(self, path: Path, *, max_bytes: int, keep: int, clean: Callable[[str], str]) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._clean = clean
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._size = 0
        self._written = 0
        self._failed = 0
        self._rotations = 0
        self._failing = False
        self._torn = False

    def write(self, message: str) -> None:
        """Keep one message, secrets removed and control characters made visible."""
        text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", self._clean(str(message)))
        data = text.encode("utf-8", "backslashreplace")
        with self._lock:
            try:
                self._append(data)
            except OSError as error:
                self._failed += 1
                self._tell(error)
            else:
                self._written += 1
                self._failing = False

    def stop(self) -> None:
        """Close the file; loguru calls this."""
        with self._lock:
            self._close()

    def statistics(self) -> LogFileStatistics:
        """Counts so far."""
        return LogFileStatistics(str(self.path), self._written, self._failed, self._rotations)

    def _append(self, data: bytes) -> None:
        fd = self._open()
        if self._size and self._size + len(data) > self._max_bytes:
            fd = self._rotate()
        if self._torn:  # the disk took half of an earlier line: end it, so that this one stands alone
            data = b"\n" + data
        written = os.write(fd, data)
        self._size += written
        self._torn = written < len(data)
        if self._torn:
            raise OSError(f"only {written} of {len(data)} bytes were taken")

    def _open(self) -> int:
        if self._fd is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
            self._size = os.fstat(self._fd).st_size
        return self._fd

    def _rotate(self) -> int:
        self._close()
        if self._keep == 0:
            self.path.unlink()
        else:
            for number in range(self._keep - 1, 0, -1):
                old = self._numbered(number)
                if old.exists():
                    old.replace(self._numbered(number + 1))
            self.path.replace(self._numbered(1))
        self._rotations += 1
        return self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _tell(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            complain(f"log file {self.path}: {error.strerror or error}; lines are being lost (counted)")


class ConsoleSink:
    """A loguru sink on a terminal or pipe; a reader that has gone away costs lines, not the run."""

    def __init__(self, stream: TextIO, *, clean: Callable[[str], str]) -> None:
        self._stream = stream
        self._clean = clean
        self.failed = 0

    def write(self, message: str) -> None:
        """Show one message, secrets removed."""
        try:
            self._stream.write(self._clean(str(message)))
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.failed += 1


def complain(line: str) -> None:
    """One line on standard error, if there still is one."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # AttributeError: a daemon may have no stderr at all (None)
        return
