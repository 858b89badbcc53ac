"""A daemon that is only what the API sees of it, and a client for the app over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import httpx
import trio
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from ctcore.api import BookView, DaemonStatus, build_app
from ctcore.config.schema import ServerConfig
from ctcore.config.secrets import Secret
from ctcore.errors import UnknownInstrument
from ctcore.feed.streams import StreamStatistics
from ctcore.model.ids import Channel, InstrumentId, Market
from ctcore.model.market import GapReason, Level
from ctcore.runtime.service import ServiceState, ServiceStatus

NOW_US = 1_769_904_000_500_000  # 2026-02-01T00:00:00.5Z
TOKEN = "correct-horse-battery-staple"
BTC = InstrumentId("binance", Market.SPOT, "BTC/USDT")
SWAP = InstrumentId("okx", Market.FUTURES, "BTC/USDT")
BIDS: list[Level] = [(100.0 - n, 1.0 + n) for n in range(50)]
ASKS: list[Level] = [(101.0 + n, 2.0 + n) for n in range(40)]


class FixedClock:
    def now_us(self) -> int:
        return NOW_US


@attrs.define
class FakeTarget:
    """Answers from its fields; ``broken`` is raised by whatever is asked."""

    running: bool = True
    started_us: int | None = NOW_US - 9_000_500_000
    uptime_sec: float = 9_000.0
    shutdown_us: int | None = None
    error: str = ""
    missing: dict[str, Any] = attrs.field(factory=dict)
    broken: BaseException | None = None
    calls: list[str] = attrs.field(factory=list)
    gate: trio.Event | None = None
    asked_to_turn: trio.Event = attrs.field(factory=trio.Event)
    asked: list[tuple[InstrumentId, int | None, int]] = attrs.field(factory=list)

    def status(self) -> DaemonStatus:
        self._break()
        return DaemonStatus(running=self.running, started_us=self.started_us, uptime_sec=self.uptime_sec,
                            shutdown_us=self.shutdown_us, error=self.error)

    async def start(self) -> None:
        await self._turn("start", True)

    async def stop(self) -> None:
        await self._turn("stop", False)

    def ready(self) -> tuple[bool, dict[str, Any]]:
        self._break()
        return not self.missing, self.missing

    def services(self) -> Sequence[ServiceStatus]:
        self._break()
        return [
            ServiceStatus("feed binance spot 1", ServiceState.RUNNING, NOW_US, 0, "", None, None),
            ServiceStatus("sink", ServiceState.BACKING_OFF, NOW_US, 3, "StorageError: full", NOW_US,
                          NOW_US + 5),
        ]

    def streams(self) -> Sequence[StreamStatistics]:
        self._break()
        wanted = [(BTC, Channel.ORDERBOOK), (BTC, Channel.TRADE), (SWAP, Channel.ORDERBOOK)]
        return [_stream(instrument, channel) for instrument, channel in wanted]

    def gauges(self) -> dict[str, Any]:
        self._break()
        return {"bus": {"published": 5, "mailboxes": [{"name": "history", "depth": 0}]}}

    def book(self, instrument: InstrumentId, depth: int) -> BookView:
        return self._book(instrument, None, depth)

    async def history_book(self, instrument: InstrumentId, at_us: int, depth: int) -> BookView:
        if self.gate is not None:
            await self.gate.wait()
        return self._book(instrument, at_us, depth)

    def plugins(self) -> Sequence[dict[str, Any]]:
        self._break()
        return [{"name": "okx", "package": "ctdaemon-okx", "status": "active", "registers": ["driver okx"]}]

    def _book(self, instrument: InstrumentId, at_us: int | None, depth: int) -> BookView:
        self._break()
        self.asked.append((instrument, at_us, depth))
        if instrument not in (BTC, SWAP):
            raise UnknownInstrument(f"{instrument} is not watched")
        levels = depth or None
        return BookView(
            instrument=instrument, symbol="BTCUSDT", source="live" if at_us is None else "history",
            in_sync=True, seq=7, exchange_us=NOW_US - 9, received_us=NOW_US,
            bids=BIDS[:levels], asks=ASKS[:levels], levels=(len(BIDS), len(ASKS)), at_us=at_us)

    async def _turn(self, name: str, running: bool) -> None:
        self._break()
        self.calls.append(name)
        self.asked_to_turn.set()
        if self.gate is not None:
            await self.gate.wait()
        self.running = running

    def _break(self) -> None:
        if self.broken is not None:
            raise self.broken


def _stream(instrument: InstrumentId, channel: Channel) -> StreamStatistics:
    return StreamStatistics(
        instrument=instrument, channel=channel, messages=9, messages_per_sec=0.5, duplicates=1, gaps=2,
        last_exchange_us=NOW_US - 5, last_received_us=NOW_US, lag_us=5,
        open_gap=GapReason.SEQUENCE if channel is Channel.TRADE else None)


def app_over(target: FakeTarget | None = None, *, host: str = "127.0.0.1", port: int = 8080, token: str = "",
             origins: tuple[str, ...] = (),
             plugin_routes: Mapping[str, Sequence[BaseRoute]] | None = None) -> Starlette:
    settings = ServerConfig(host=host, port=port, token=Secret(token), allowed_origins=origins)
    return build_app(target or FakeTarget(), settings=settings, plugin_routes=plugin_routes or {},
                     clock=FixedClock())


def client_of(app: Starlette, url: str = "http://127.0.0.1:8080") -> httpx.AsyncClient:
    """Calls in-process. An error that gets out of the app would be raised in the test."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=url)


async def call(method: str, path: str, target: FakeTarget | None = None, *, app: Starlette | None = None,
               headers: dict[str, str] | None = None, content: bytes | None = None) -> httpx.Response:
    async with client_of(app or app_over(target)) as client:
        return await client.request(method, path, headers=headers, content=content)


def refusal(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and place, once the answer is known to have the one error shape."""
    body = response.json()
    error = body["error"]
    assert {"code", "message", "place"} <= set(error) <= {"code", "message", "place", "id"}
    assert error["message"]
    assert "Traceback" not in response.text
    assert response.headers["content-type"] == "application/json"
    return response.status_code, error["code"], error["place"]
