"""Who watches connections: the log, and the recorder that keeps what crosses the wire."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from loguru import logger

from ctcore.contracts.driver import Control, Fetch, HttpResponse
from ctcore.errors import CtcoreError, DecodeError
from ctcore.runtime.log import LogOnce
from ctcore.wire.recording import RecordingWriter

BAD_FRAME_SHOWN = 200


class LoggingObserver:
    """Tells the log; what the outside can cause at any rate is told once a kind and minute."""

    def __init__(self) -> None:
        self._log_once = LogOnce()

    def opened(self, connection: str, url: str) -> None:
        """A socket was opened."""
        logger.info("{}: connected to {}", connection, url.split("?", 1)[0])

    def closed(self, connection: str) -> None:
        """It was closed."""
        logger.info("{}: closed", connection)

    def sent(self, connection: str, data: str | bytes) -> None:
        """Frames sent are the recorder's concern."""

    def received(self, connection: str, frame: bytes) -> None:
        """Frames received are the recorder's concern."""

    def answered(self, connection: str, response: HttpResponse) -> None:
        """Answers are the recorder's concern."""

    def control(self, connection: str, control: Control) -> None:
        """Refusals are warnings, the rest is of interest when looking for a fault."""
        if control.kind == "error":
            self._log_once("WARNING", f"{connection} refused", "{}: refused: {}", connection, control.data)
        else:
            logger.debug("{}: {} {}", connection, control.kind, control.data)

    def undecodable(self, connection: str, error: DecodeError) -> None:
        """A frame could not be read."""
        key = f"{connection} undecodable {error.kind}"
        text = str(error)[:BAD_FRAME_SHOWN]
        self._log_once("WARNING", key, "{}: a frame cannot be read: {}", connection, text)

    def fetch_failed(self, connection: str, fetch: Fetch, error: CtcoreError) -> None:
        """A REST call of the session failed."""
        key = f"{connection} fetch {fetch.purpose}"
        self._log_once("WARNING", key, "{}: {} failed: {}", connection, fetch.request.label, error)


class RecordingObserver(LoggingObserver):
    """Writes every frame and answer besides, one recording ``<connection>.jsonl`` in ``directory`` each.

    Its methods raise :class:`~ctcore.errors.StorageError` when the disk refuses, which ends the connection.
    """

    def __init__(self, directory: Path, now_us: Callable[[], int]) -> None:
        super().__init__()
        self._directory = directory
        self._now_us = now_us
        self._writers: dict[str, RecordingWriter] = {}

    @property
    def lines(self) -> dict[str, int]:
        """Lines written so far, by connection."""
        return {name: writer.lines for name, writer in self._writers.items()}

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()

    def opened(self, connection: str, url: str) -> None:
        """A socket was opened."""
        super().opened(connection, url)
        self._writer(connection).opened(self._now_us(), url)

    def closed(self, connection: str) -> None:
        """It was closed."""
        super().closed(connection)
        self._writer(connection).closed(self._now_us())

    def sent(self, connection: str, data: str | bytes) -> None:
        """A frame left."""
        self._writer(connection).sent(self._now_us(), data)

    def received(self, connection: str, frame: bytes) -> None:
        """A frame came; what is valid UTF-8 is kept as text, which gives the same bytes back."""
        try:
            self._writer(connection).received(self._now_us(), frame.decode())
        except UnicodeDecodeError:
            self._writer(connection).received(self._now_us(), frame)

    def answered(self, connection: str, response: HttpResponse) -> None:
        """A REST call of a session was answered."""
        request = response.request
        self._writer(connection).answered(
            self._now_us(), request.method, request.url, response.status, response.body
        )

    def _writer(self, connection: str) -> RecordingWriter:
        writer = self._writers.get(connection)
        if writer is None:
            name = re.sub(r"[^A-Za-z0-9._-]", "_", connection)
            writer = self._writers[connection] = RecordingWriter(self._directory / f"{name}.jsonl")
        return writer
