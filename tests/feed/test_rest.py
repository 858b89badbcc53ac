"""REST calls: their time is the wire's, one place each, and one silence for one refusal."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest
import trio

from ctcore.contracts.driver import HttpRequest, RateLimit
from ctcore.errors import RateLimited
from ctcore.feed import rest as rest_module
from ctcore.feed.venue import _request_budget
from ctcore.testing.fakes import FakeDriver


def request(path: str = "/x", **options: Any) -> HttpRequest:
    cost = options.pop("cost", {"weight": 1})
    return HttpRequest("GET", f"http://fake.venue:8080{path}", f"GET {path}", cost=cost, **options)


async def test_no_time_is_spent_in_a_queue(autojump_clock, stage):
    """Eight at a time take 0.8 s each: the last of forty begins late, and has its whole second."""
    under_way = most = 0

    async def answer(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        charged.append(stage.budget.statistics().buckets[0].used)
        await trio.sleep(0.8)
        under_way -= 1
        return httpx.Response(200, text="ok")

    charged: list[int] = []
    stage.network.answer = answer
    async with trio.open_nursery() as nursery:
        for _ in range(40):
            nursery.start_soon(stage.rest.perform, request(timeout_sec=1.0))
    assert most == rest_module.MAX_CONNECTIONS
    assert charged[0] <= 8, "nothing is charged before it can be sent"


async def test_a_bucket_that_is_used_up_holds_no_other_back(autojump_clock, stage):
    free = request(cost={})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.rest.perform, request(cost={"weight": 100}))
        for _ in range(20):
            nursery.start_soon(stage.rest.perform, request())
        await trio.sleep(1)
        began = trio.current_time()
        await stage.rest.perform(free)
        assert trio.current_time() == began
        nursery.cancel_scope.cancel()


async def test_priority_goes_first(autojump_clock, stage):
    order: list[str] = []

    async def perform(name: str, *, priority: bool) -> None:
        await stage.rest.perform(request(cost={"weight": 60}), priority=priority)
        order.append(name)

    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(lambda n=number: perform(str(n), priority=False))
        await trio.sleep(1)
        nursery.start_soon(lambda: perform("catalogue", priority=True))
        await trio.sleep(90)
        nursery.cancel_scope.cancel()
    assert order[1] == "catalogue"


async def test_one_refusal_is_one_silence(autojump_clock, stage):
    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"retry-after": "7", "x-park": "5"})

    stage.network.answer = answer
    with pytest.raises(RateLimited):
        await stage.rest.perform(request())
    statistics = stage.budget.statistics()
    assert (statistics.parked_times, statistics.parked_sec) == (1, 7.0)


async def test_the_queue_is_bounded(autojump_clock, stage, monkeypatch):
    monkeypatch.setattr(rest_module, "MAX_WAITING", 2)

    async def answer(_: httpx.Request) -> httpx.Response:
        await trio.sleep(5)
        return httpx.Response(200)

    stage.network.answer = answer
    async with trio.open_nursery() as nursery:
        for _ in range(rest_module.MAX_CONNECTIONS + 2):
            nursery.start_soon(stage.rest.perform, request())
        await trio.sleep(1)
        with pytest.raises(RateLimited, match="2 requests wait already"):
            await stage.rest.perform(request())


async def test_not_all_that_is_allowed_is_used():
    class Limited(FakeDriver):
        info = attrs.evolve(FakeDriver.info, rate_limits=(RateLimit("a", 20, 2.0), RateLimit("b", 1, 1.0)))

    budget = _request_budget(Limited())
    assert [bucket.capacity for bucket in budget.statistics().buckets] == [17, 1]
