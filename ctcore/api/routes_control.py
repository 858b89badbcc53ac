"""The three calls of the original: control, status, version."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import trio
from starlette.requests import Request

from ctcore import __version__
from ctcore.api.answers import ControlAnswer, ErrorAnswer, JsonAnswer, StatusAnswer, VersionAnswer
from ctcore.api.operations import Operation
from ctcore.api.parameters import ControlQuery, read_query
from ctcore.api.target import ApiTarget
from ctcore.model.time import iso
from ctcore.runtime.clock import Clock

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def control_operations(target: ApiTarget, clock: Clock) -> Sequence[Operation]:
    """``/control``, ``/status`` and ``/version``."""
    turn = trio.Lock()  # one after the other, or both of two stops would say that it was theirs

    async def control(request: Request) -> JsonAnswer:
        action = read_query(request, ControlQuery).action
        async with turn:
            ran = target.status().running
            if action == "start":
                await target.start()
                return JsonAnswer(ControlAnswer("already started" if ran else "started"))
            await target.stop()
            return JsonAnswer(ControlAnswer("stopped" if ran else "already stopped"))

    async def status(_: Request) -> JsonAnswer:
        now = target.status()
        return JsonAnswer(StatusAnswer(
            running=now.running, uptime=uptime_text(now.uptime_sec),
            start_time=_moment_or_null(now.started_us), shutdown_time=_moment_or_null(now.shutdown_us),
            error=now.error or None))

    async def version(_: Request) -> JsonAnswer:
        now = _moment_text(clock.now_us())
        return JsonAnswer(VersionAnswer(__version__, platform.python_version(), now))

    return (
        Operation(path="/control", method="PUT", endpoint=control, query=ControlQuery, answer=ControlAnswer,
                  summary="Start or stop the workers; the API stays",
                  others={409: ErrorAnswer, 503: ErrorAnswer}),
        Operation(path="/status", endpoint=status, answer=StatusAnswer, summary="Whether the workers run"),
        Operation(path="/version", endpoint=version, answer=VersionAnswer, summary="What is running"),
    )


def uptime_text(seconds: float) -> str:
    """``1d 2h 23m 45s``, from the largest unit on; ``2h 30m``, ``5s``: zeros at the end are left out."""
    rest = max(0, int(seconds))
    counts = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        counts.append((count, unit))
    while len(counts) > 1 and not counts[0][0]:
        del counts[0]
    while len(counts) > 1 and not counts[-1][0]:
        del counts[-1]
    return " ".join(f"{count}{unit}" for count, unit in counts)


def _moment_text(us: int) -> str:
    """RFC 3339 in UTC without zeros at the end, as the original writes it: ``2026-01-31T12:00:00.5Z``."""
    return iso(us).removesuffix("Z").rstrip("0").rstrip(".") + "Z"


def _moment_or_null(us: int | None) -> str | None:
    return None if us is None else _moment_text(us)
