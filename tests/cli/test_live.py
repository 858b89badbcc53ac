"""The live status: a picture that log lines do not break."""

from __future__ import annotations

import io

import pytest
import trio
from loguru import logger
from rich.console import Console

from ctcore.cli.live import LiveStatus
from ctcore.cli.logs import open_logs
from ctcore.cli.overview import StreamFigures, sinks_table, streams_table
from ctcore.cli.screen import lasting, number, size
from ctcore.runtime.log import LogSettings


def terminal() -> tuple[Console, io.StringIO]:
    screen = io.StringIO()
    return Console(file=screen, force_terminal=True, width=80, height=20, color_system=None), screen


@pytest.fixture
def screen_errors(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)


async def test_log_lines_stand_above_the_picture(screen_errors, monkeypatch):
    monkeypatch.setattr("ctcore.cli.live.REDRAW_SEC", 0.001)
    console, screen = terminal()
    drawn = trio.Event()

    def draw() -> str:
        if screen.getvalue().count("the picture") >= 3:
            drawn.set()
        return "the picture"

    with (
        LiveStatus(draw, console=console) as live,
        open_logs(LogSettings(colour=False), stream=live.log_stream),
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live.keep)
            await drawn.wait()
            logger.info("a line of the log")
            nursery.cancel_scope.cancel()
    before, after = screen.getvalue().split("a line of the log")
    assert after.lstrip("\r\n").startswith("the picture")
    assert "the picture" in before


async def test_without_a_terminal_nothing_is_drawn(autojump_clock):
    screen = io.StringIO()
    with LiveStatus(lambda: pytest.fail("drawn"), console=Console(file=screen)) as live:
        await live.keep()
    assert screen.getvalue() == ""


def test_the_streams_of_a_market_are_one_line():
    streams = [
        StreamFigures("okx", "spot", "orderbook", 5, 1.5, 2_000, 0, None),
        StreamFigures("okx", "spot", "orderbook", 5, 1.5, 4_000, 2, "sequence"),
        StreamFigures("okx", "spot", "trade", 5, 1_000.0, 9_000, 0, None),
        StreamFigures("okx", "futures", "trade", 0, 0.0, None, 0, None),
    ]
    console, screen = terminal()
    console.print(streams_table(streams))
    _, rows = screen.getvalue().replace(" \n", "\n").split("─\n")
    assert rows.split() == [
        "okx", "spot", "3", "1,003.0", "4", "2", "1/2", "books", "okx", "futures", "1", "0.0", "-", "0", "-"]


def test_a_sink_that_is_down_says_why():
    gauge = {"written_events": 1_234_567, "buffered": 3, "spooled_bytes": 1_500_000, "refused": 0,
             "down": True, "last_error": "no route"}
    console, screen = terminal()
    console.print(sinks_table({"sink h": gauge, "bus": {}}, ["h", "other"]))
    assert "h 1,234,567 3 1.5 MB 0 down: no route" in " ".join(screen.getvalue().split())


@pytest.mark.parametrize(("shown", "wanted"), [
    (size(0), "0 B"), (size(999), "999 B"), (size(1_500), "1.5 KB"), (size(2_000_000_000_000), "2000.0 GB"),
    (lasting(3_723.9), "1:02:03"), (lasting(-1), "0:00:00"),
    (number(1e-7), "0.0000001"), (number(64000.0), "64000"),
])
def test_figures_for_people(shown, wanted):
    assert shown == wanted
