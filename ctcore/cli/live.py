"""The live status of a running command: a picture at the foot of the terminal, redrawn every second."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO, cast

import trio
from rich.live import Live
from rich.segment import Segment, Segments
from rich.text import Text

from ctcore.cli.screen import open_console

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REDRAW_SEC = 1.0


class LiveStatus:
    """Shows what ``draw()`` gives while the block runs; what is logged scrolls past above it.

    Does nothing where standard output is no terminal.
    """

    def __init__(self, draw: Callable[[], RenderableType], *, console: Console | None = None) -> None:
        self._draw = draw
        self._console = console or open_console()
        self._live: Live | None = None

    @property
    def log_stream(self) -> TextIO:
        """Where the log goes: above the picture, when both are on the same screen."""
        if self._live is None or not sys.stderr.isatty():
            return sys.stderr
        return cast(TextIO, _Above(self._console))

    def __enter__(self) -> LiveStatus:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True,
                              redirect_stdout=False, redirect_stderr=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    async def keep(self) -> None:
        """Redraw until cancelled. A terminal that stands still (Ctrl+S) holds up a thread, not the daemon."""
        while self._live is not None:
            await trio.to_thread.run_sync(self._show, self._live, self._draw(), abandon_on_cancel=True)
            await trio.sleep(REDRAW_SEC)

    def _show(self, live: Live, picture: RenderableType) -> None:
        # Every line of the log draws the picture again: laid out once, that costs it next to nothing.
        lines = self._console.render_lines(picture, pad=False)
        live.update(Segments([part for line in lines for part in (*line, Segment.line())]), refresh=True)


class _Above(io.TextIOBase):
    """Writes lines above the picture of a console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> int:
        self._console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)
        return len(text)

    def isatty(self) -> bool:
        return True
