"""The daemon's own state: alive, ready, services, gauges, plugins."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request

from ctcore.api.answers import (
    ErrorDetail,
    GaugesAnswer,
    HealthAnswer,
    JsonAnswer,
    NotReadyAnswer,
    PluginsAnswer,
    ReadyAnswer,
    ServiceRow,
    ServicesAnswer,
)
from ctcore.api.operations import Operation
from ctcore.api.target import ApiTarget


def state_operations(target: ApiTarget) -> Sequence[Operation]:
    """``/health``, ``/ready``, ``/services``, ``/gauges`` and ``/plugins``."""

    async def health(_: Request) -> JsonAnswer:
        return JsonAnswer(HealthAnswer("alive"))

    async def ready(_: Request) -> JsonAnswer:
        is_ready, missing = target.ready()
        if is_ready:
            return JsonAnswer(ReadyAnswer(True, missing))
        names = f": {', '.join(missing)}" if missing else ""
        error = ErrorDetail("not_ready", f"not ready{names}; see missing, or ask again", "missing")
        return JsonAnswer(NotReadyAnswer(False, missing, error), 503)

    async def services(_: Request) -> JsonAnswer:
        rows = [msgspec.convert(row, ServiceRow, from_attributes=True) for row in target.services()]
        return JsonAnswer(ServicesAnswer(rows))

    async def gauges(_: Request) -> JsonAnswer:
        return JsonAnswer(GaugesAnswer(target.gauges()))

    async def plugins(_: Request) -> JsonAnswer:
        return JsonAnswer(PluginsAnswer(list(target.plugins())))

    return (
        Operation(path="/health", endpoint=health, answer=HealthAnswer, public=True,
                  summary="Whether the process is alive"),
        Operation(path="/ready", endpoint=ready, answer=ReadyAnswer, others={503: NotReadyAnswer},
                  summary="Whether every wanted stream is in sync and every sink is open"),
        Operation(path="/services", endpoint=services, answer=ServicesAnswer, summary="Supervised services"),
        Operation(path="/gauges", endpoint=gauges, answer=GaugesAnswer, summary="Queues, caches, buffers"),
        Operation(path="/plugins", endpoint=plugins, answer=PluginsAnswer, summary="What is installed"),
    )
