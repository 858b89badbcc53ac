"""The daemon's API as a block: it serves while the block runs and ends gracefully after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from ctcore.api.app import build_app
from ctcore.api.daemon_target import DaemonTarget
from ctcore.api.server import serve

if TYPE_CHECKING:
    from ctcore.daemon import Daemon


@asynccontextmanager
async def open_api(daemon: Daemon, *, end_sec: float) -> AsyncIterator[str]:
    """Serve the API of ``daemon``; yields its URL. After the block it ends within ``end_sec``. Raises as
    :func:`~ctcore.api.server.serve`.
    """
    settings = daemon.config.server
    routes = daemon.plugins.routes()
    app = build_app(DaemonTarget(daemon), settings=settings, plugin_routes=routes, clock=daemon.clock)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        url: str = await nursery.start(partial(serve, app, settings.host, settings.port, stop=stop))
        yield url
        stop.set()
        nursery.cancel_scope.deadline = trio.current_time() + end_sec
