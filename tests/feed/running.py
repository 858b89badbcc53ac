"""A connection at work in a task of its own, and sessions that say what a test wants."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing

from ctcore.contracts.driver import Fetch, HttpRequest
from ctcore.errors import ConnectionLost
from ctcore.testing.fakes import FakeSession


class Running:
    """A connection in a task of its own, and how it ended."""

    def __init__(self, stage: Any, connection: Any) -> None:
        self.stage = stage
        self.connection = connection
        self.error: BaseException | None = None
        self.ended = trio.Event()
        self.ended_at = 0.0
        self.scope = trio.CancelScope()
        self.server: Any = None

    async def run(self) -> None:
        with self.scope:
            try:
                await self.connection.run()
            except ConnectionLost as error:
                self.error = error
        self.ended_at = trio.current_time()
        self.ended.set()


async def start(stage: Any, plan: Any = None, **options: Any) -> Running:
    """Connect to the venue and run; the venue has not read anything yet."""
    connection = stage.connection(plan, **options)
    running = Running(stage, connection)

    async def accept() -> None:
        running.server = await stage.venue()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await connection.connect()
    stage.nursery.start_soon(running.run)
    return running


async def settle() -> None:
    """Everything on its way arrives."""
    for _ in range(5):
        await trio.testing.wait_all_tasks_blocked()


class Scripted(FakeSession):
    """Says on connecting what a test wants it to say."""

    def __init__(self, effects: list[Any]) -> None:
        self._effects = effects
        self.answers = []
        self.ticks = 0

    ready = acknowledged = False

    def connected(self, now_us: int) -> Any:
        return self._effects

    def tick(self, now_us: int) -> Any:
        return ()


def fetch(path: str = "/a", **options: Any) -> Fetch:
    delay_sec = options.pop("delay_sec", 0.0)
    request = HttpRequest("GET", f"http://fake.venue:8080{path}", f"GET {path}", **options)
    return Fetch(request, path, None, delay_sec)
