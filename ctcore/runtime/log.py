"""Logging: coloured text on standard error, ``ctcore.log``, ``error.log`` and ``trade.log``, without secrets.

Modules log through loguru's ``logger``; :func:`setup_logging` decides once where that goes. Records bound
with ``logger.bind(trade=True)`` also go to ``trade.log``. Third parties' standard logging joins the same
stream.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

import attrs
from loguru import logger

from ctcore.errors import ConfigError
from ctcore.runtime.log_file import ConsoleSink, LogFile, LogFileStatistics, complain
from ctcore.runtime.redact import REDACTOR, Redactor

if TYPE_CHECKING:
    from loguru import Record

LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "warning": "WARNING", "error": "ERROR"}
"""The original's names of levels, and Python's where it differs."""

_FORMAT = (
    "<green>{time:YYYY-MM-DD HH:mm:ss.SSSSSS!UTC}</green> <level>{level: <8}</level> <cyan>{name}</cyan> "
    "<level>{message}</level>{extra[_fields]}"
)
_CHATTY = {"httpx": logging.WARNING, "httpcore": logging.WARNING, "hypercorn.access": logging.WARNING,
           "hypercorn.error": logging.INFO, "websockets": logging.WARNING}
_ESCAPED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@attrs.frozen(kw_only=True)
class LogSettings:
    """``directory`` None: no files. ``keep`` rotated files of ``max_file_size_mb`` remain beside each current
    one.

    ``colour`` None: when ``stream`` is a terminal and ``NO_COLOR`` is not set.
    """

    level: str = "info"
    directory: Path | None = None
    max_file_size_mb: float = 100.0
    keep: int = 5
    colour: bool | None = None


@attrs.frozen
class LogStatistics:
    """Of the process's logs."""

    files: tuple[LogFileStatistics, ...]
    console_failed: int
    masked_secrets: int


class Logs:
    """The log outputs that are open; made by :func:`setup_logging`, closed at the very end."""

    def __init__(self, redactor: Redactor, console: ConsoleSink, files: tuple[LogFile, ...]) -> None:
        self._redactor = redactor
        self._console = console
        self._files = files

    def statistics(self) -> LogStatistics:
        """Counts so far."""
        files = tuple(file.statistics() for file in self._files)
        return LogStatistics(files, self._console.failed, self._redactor.masked)

    def close(self) -> None:
        """Close the files; nothing is logged from here on."""
        logger.remove()
        logging.root.handlers = [kept for kept in logging.root.handlers if not isinstance(kept, _ToLoguru)]

    def __enter__(self) -> Logs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def setup_logging(
    settings: LogSettings, *, stream: TextIO | None = None, redactor: Redactor = REDACTOR
) -> Logs:
    """Send everything logged from now on where ``settings`` say; replaces what was set up before.

    Raises :class:`~ctcore.errors.ConfigError` for an unknown level or a directory that cannot be made.
    """
    level = LEVELS.get(settings.level.lower())
    if level is None:
        raise ConfigError(f"log level {settings.level!r}: choose one of debug, info, warn, error")
    if settings.max_file_size_mb <= 0 or settings.keep < 0:
        raise ConfigError("log files: max_file_size_mb must be above 0 and the number kept at least 0")
    stream = stream or sys.stderr
    console = ConsoleSink(stream, clean=redactor.redact)
    logger.remove()
    logger.configure(patcher=_patcher(redactor))
    _add(console, level, colour=_wants_colour(stream) if settings.colour is None else settings.colour)
    files: tuple[LogFile, ...] = ()
    if settings.directory is not None:
        files = everything, errors, trades = _files(settings, settings.directory, redactor)
        _add(everything, level)
        _add(errors, "ERROR")
        _add(trades, "DEBUG", only=lambda record: bool(record["extra"].get("trade")))
    _intercept(level)
    return Logs(redactor, console, files)


class LogOnce:
    """Logging by kind, at most once per kind and interval; says how many were held back.

    For what the outside world can cause at any rate: junk frames, refused requests. At most ``max_keys``
    kinds are remembered, the one silent for longest is forgotten first. ``now_sec`` is any clock that never
    steps.
    """

    def __init__(
        self,
        *,
        interval_sec: float = 60.0,
        max_keys: int = 1_000,
        now_sec: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_sec = interval_sec
        self._max_keys = max_keys
        self._now_sec = now_sec
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()
        self.suppressed = 0

    def __call__(self, level: str, key: str, message: str, *args: object) -> bool:
        """Log ``message`` (with loguru's braces) unless ``key`` was within the interval; True when logged."""
        now = self._now_sec()
        kind = self._kinds.get(key)
        if kind is not None and now - kind.logged_at < self._interval_sec:
            kind.held_back += 1
            self.suppressed += 1
            return False
        held_back = 0 if kind is None else kind.held_back
        self._kinds[key] = _Kind(now)
        self._kinds.move_to_end(key)
        if len(self._kinds) > self._max_keys:
            self._kinds.popitem(last=False)
        text = message.format(*args) if args else message
        if held_back:
            text += f" (and {held_back} more like it since)"
        logger.opt(depth=1).log(level, "{}", text)
        return True


@attrs.define
class _Kind:
    logged_at: float
    held_back: int = 0


class _ToLoguru(logging.Handler):
    """Hands standard logging's records to loguru, under the name of the logger they came from."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # the third party's format does not fit its arguments
            message = f"{record.msg} {record.args}"
        named = logger.patch(lambda patched: patched.update({"name": record.name}))
        named.opt(exception=record.exc_info).log(level, "{}", message)


def _patcher(redactor: Redactor) -> Callable[[Record], None]:
    # The sinks redact whole lines; this does the same for the record itself, which plugins' own sinks would
    # see.
    def patch(record: Record) -> None:
        extra = record["extra"]
        for name, value in extra.items():
            if not isinstance(value, bool | int | float):
                extra[name] = _printable(redactor.redact(str(value)))
        fields = (f"{name}={value}" for name, value in extra.items() if name != "trade")
        record["message"] = _printable(redactor.redact(record["message"]))
        extra["_fields"] = "".join(f" {field}" for field in fields if not field.startswith("_"))

    return patch


def _printable(text: str) -> str:
    """No text from outside may pose as another log line or steer the terminal."""
    return _ESCAPED.sub(lambda found: f"\\x{ord(found[0]):02x}", text).replace("\n", "\n    ")


def _add(
    sink: ConsoleSink | LogFile,
    level: str,
    *,
    colour: bool = False,
    only: Callable[[Record], bool] | None = None,
) -> None:
    logger.add(sink, level=level, format=_FORMAT, colorize=colour, filter=only,
               backtrace=False, diagnose=False, catch=False)


def _files(settings: LogSettings, directory: Path, redactor: Redactor) -> tuple[LogFile, LogFile, LogFile]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"log directory {directory}: {error.strerror}; choose a writable one") from None
    if not os.access(directory, os.W_OK):
        complain(f"log directory {directory} cannot be written: there will be no log files")

    def file(name: str) -> LogFile:
        max_bytes = int(settings.max_file_size_mb * 1024 * 1024)
        return LogFile(directory / name, max_bytes=max_bytes, keep=settings.keep, clean=redactor.redact)

    return file("ctcore.log"), file("error.log"), file("trade.log")


def _intercept(level: str) -> None:
    logging.root.handlers = [_ToLoguru()]
    logging.root.setLevel(level)
    for name, floor in _CHATTY.items():
        logging.getLogger(name).setLevel(max(floor, logging.root.level))


def _wants_colour(stream: TextIO) -> bool:
    return not os.environ.get("NO_COLOR") and stream.isatty()
