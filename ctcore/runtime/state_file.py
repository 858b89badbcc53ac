"""What the daemon remembers between runs: one small JSON file, replaced whole, in a directory that one daemon
owns.

A write goes to a temporary file, which is synced, renamed over the old one, and its directory synced: after a
crash there is the old state or the new one. A file that is not such a state is kept aside, never overwritten.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec
from loguru import logger

from ctcore.errors import ConfigError, StorageError
from ctcore.model.time import iso

_MAX_BYTES = 16 * 1024 * 1024  # a state is a few kilobytes; anything this big is another file
_KEEP_CORRUPT = 10


class DaemonState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The state as written. ``clean``: the run before ended by an orderly shutdown.

    ``sections`` holds one dict for each part of the daemon that wants to remember something, under its own
    name.
    """

    format: Literal["ctcore.state"] = "ctcore.state"
    version: Literal[1] = 1
    name: str
    mode: str
    started_us: int
    stopped_us: int | None = None
    clean: bool = False
    sections: dict[str, dict[str, Any]] = {}


_DECODER = msgspec.json.Decoder(DaemonState)


class StateDirectory:
    """The daemon's own directory, locked against a second daemon while it is open.

    The lock is the kernel's: it ends with the process that holds it, however that ends, so none is ever
    stale.
    """

    def __init__(self, path: Path, *, name: str = "daemon") -> None:
        self.path = path
        self.file = path / f"{name}.state"
        self._lock_file = path / f"{name}.lock"
        self._temporary = path / f".{name}.state.tmp"
        self._lock_fd: int | None = None
        self._writing = threading.Lock()

    def open(self) -> None:
        """Make the directory if need be, and lock it.

        Raises :class:`ConfigError` when another daemon has it, or when it cannot be written.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"state directory {self.path}: {error.strerror}; choose another") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise ConfigError(
                f"state directory {self.path} is in use by process {holder}; "
                "stop that daemon or name another directory"
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        self._lock_fd = fd
        self._temporary.unlink(missing_ok=True)

    def close(self) -> None:
        """Let another daemon have the directory."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def __enter__(self) -> StateDirectory:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def load(self, now_us: int) -> DaemonState | None:
        """The state of the run before; None when there is none that can be used.

        A damaged or foreign file is renamed to ``.corrupt-<time>`` with a warning in the log. Raises
        :class:`ConfigError` when the file cannot be read at all.
        """
        try:
            with self.file.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"state file {self.file}: {error.strerror}; mend it or move it away") from None
        if len(data) > _MAX_BYTES:
            self._set_aside(now_us, f"it is larger than {_MAX_BYTES} bytes")
            return None
        try:
            return _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._set_aside(now_us, str(error))
            return None

    def save(self, state: DaemonState) -> None:
        """Replace the state; it is on disk when this returns. Blocks: call it from a worker thread.

        Raises :class:`StorageError`, with the state before still in place.
        """
        if self._lock_fd is None:
            raise StorageError(f"state directory {self.path} is not open")
        try:
            data = msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n"
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise StorageError(f"the state cannot be written as JSON: {error}") from None
        try:
            with self._writing:
                self._replace(data)
        except OSError as error:
            raise StorageError(f"state file {self.file}: {error.strerror}") from error

    def _replace(self, data: bytes) -> None:
        fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        self._temporary.replace(self.file)
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _set_aside(self, now_us: int, why: str) -> None:
        moment = iso(now_us).replace(":", "").replace("-", "")
        aside = self.file.with_name(f"{self.file.name}.corrupt-{moment}")
        try:
            self.file.rename(aside)
            for old in sorted(self.path.glob(f"{self.file.name}.corrupt-*"))[:-_KEEP_CORRUPT]:
                old.unlink()
        except OSError as error:
            raise ConfigError(
                f"state file {self.file} is damaged and cannot be moved away: {error.strerror}"
            ) from None
        logger.warning("{} is no state that this ctcore can read ({}): kept as {}, starting anew",
                       self.file, why, aside.name)
