"""Recordings: the wire of one market as lines of JSON, one event a line, in time order. Knows no venue.

Every line has ``us`` (the recorder's clock, integer microseconds since 1970 UTC) and ``kind``::

    {"us":1723161255319702,"kind":"open","url":"wss://..."}    a WebSocket was opened
    {"us":...,"kind":"out","text":"{...}"}                      text frame sent by the client
    {"us":...,"kind":"in","text":"{...}"}                       text frame received
    {"us":...,"kind":"in","b64":"H4sI..."}                      binary frame received, still compressed
    {"us":...,"kind":"http","method":"GET","url":"https://...","status":200,"text":"{...}"}
                                                                REST exchange, at its answer; text is the body
    {"us":...,"kind":"close"}                                   the WebSocket ended

``http`` without ``url`` is the order book of the recording's only symbol.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from ctcore.errors import ConfigError, DecodeError, StorageError

MAX_LINE_BYTES = 64 * 1024 * 1024
"""A longer line is no recorded frame; it bounds what reading one line can cost."""

_SUFFIX = ".jsonl"


class _Line(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True, kw_only=True):
    us: Annotated[int, msgspec.Meta(ge=0, lt=10**18)]


class OpenLine(_Line, frozen=True, tag="open"):
    """A WebSocket was opened."""

    url: str = ""


class CloseLine(_Line, frozen=True, tag="close"):
    """The WebSocket ended."""


class _FrameLine(_Line, frozen=True):
    text: str | None = None
    b64: bytes | None = None

    def frame(self) -> bytes:
        """The frame's bytes as they crossed the wire."""
        return self.text.encode() if self.text is not None else self.b64 or b""


class OutLine(_FrameLine, frozen=True, tag="out"):
    """A frame sent by the client."""


class InLine(_FrameLine, frozen=True, tag="in"):
    """A frame received; ``b64`` holds binary ones."""


class HttpLine(_Line, frozen=True, tag="http"):
    """A REST exchange, at the arrival of its answer; ``text`` is the body."""

    status: int
    text: str
    method: str = "GET"
    url: str | None = None


RecordedLine: TypeAlias = OpenLine | CloseLine | OutLine | InLine | HttpLine

_DECODER = msgspec.json.Decoder(RecordedLine)
_ENCODER = msgspec.json.Encoder()


class RecordedMessage(msgspec.Struct, frozen=True):
    """A file that holds one raw message and nothing else."""

    frame: bytes


def parse_line(data: bytes, place: str) -> RecordedLine:
    """Read one line; raises :class:`DecodeError` that starts with ``place`` (``file:line``)."""
    try:
        line: RecordedLine = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"{place}: not a line of a recording: {error}", kind="recording") from None
    if isinstance(line, OutLine | InLine) and (line.text is None) == (line.b64 is None):
        raise DecodeError(f"{place}: a frame needs either text or b64", kind="recording")
    return line


def parse_lines(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, RecordedLine | DecodeError]]:
    """Number lines from 1 and read them; a bad line comes as its error, and reading goes on.

    Empty lines are skipped.
    """
    for number, data in enumerate(lines, 1):
        if not data.strip():
            continue
        try:
            yield number, parse_line(data, f"{name}:{number}")
        except DecodeError as error:
            yield number, error


def read_recording(path: Path) -> Iterator[tuple[int, RecordedLine | DecodeError]] | RecordedMessage:
    """Open a file of either kind: a recording, read as it is iterated, or one raw message.

    A recording is named ``*.jsonl`` or begins with a line of one. Raises :class:`ConfigError` when the file
    cannot be read or is too big for one message.
    """
    try:
        with path.open("rb") as file:
            first = file.readline(MAX_LINE_BYTES)
            if path.suffix == _SUFFIX or _is_line(first):
                return parse_lines(_file_lines(path), path.name)
            data = first + file.read(MAX_LINE_BYTES - len(first) + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_LINE_BYTES:
        raise ConfigError(f"{path}: over {MAX_LINE_BYTES} bytes, and no recording (name those *{_SUFFIX})")
    return RecordedMessage(_unhex(data.strip()))


class RecordingWriter:
    """Append lines to a recording, each flushed, so that a killed recorder loses at most its last.

    Raises :class:`StorageError` when the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from None

    def opened(self, us: int, url: str) -> None:
        """A WebSocket was opened."""
        self._write(OpenLine(us=us, url=url))

    def closed(self, us: int) -> None:
        """The WebSocket ended."""
        self._write(CloseLine(us=us))

    def sent(self, us: int, data: str | bytes) -> None:
        """A frame was sent: text as ``str``, binary as ``bytes``."""
        self._write(OutLine(us=us, text=data) if isinstance(data, str) else OutLine(us=us, b64=data))

    def received(self, us: int, data: str | bytes) -> None:
        """A frame came in, not decompressed: text as ``str``, binary as ``bytes``."""
        self._write(InLine(us=us, text=data) if isinstance(data, str) else InLine(us=us, b64=data))

    def answered(self, us: int, method: str, url: str, status: int, body: bytes) -> None:
        """A REST call was answered."""
        text = body.decode("utf-8", "replace")
        self._write(HttpLine(us=us, method=method, url=url, status=status, text=text))

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        self._file.close()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: RecordedLine) -> None:
        try:
            self._file.write(_ENCODER.encode(line) + b"\n")
            self._file.flush()
        except (OSError, ValueError) as error:
            raise StorageError(f"{self.path}: cannot be written: {error}") from None
        self.lines += 1


def _is_line(data: bytes) -> bool:
    try:
        _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def _file_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES):
                yield line
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None


class _HexMessage(msgspec.Struct):
    encoding: str
    hex: str


def _unhex(data: bytes) -> bytes:
    """Binary frames are kept in text files as ``{"encoding": ..., "hex": ...}``."""
    try:
        return bytes.fromhex(msgspec.json.decode(data, type=_HexMessage).hex)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return data
