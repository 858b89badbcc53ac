"""REST calls of one venue: paced by its budget, bounded in time, judged by its driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import trio

from ctcore.contracts.driver import Driver, HttpRequest, HttpResponse
from ctcore.errors import RateLimited, TransportError

if TYPE_CHECKING:
    from ctcore.wire.network import Network
    from ctcore.wire.ratelimit import RateBudget

MAX_CONNECTIONS = 8
"""Requests under way at once, of those that draw on the same buckets, ordinary or with priority each."""
MAX_WAITING = 1_000
"""Requests that may wait for one of those places; beyond it they are refused."""


class RestClient:
    """Performs a driver's requests. Use as an async context manager."""

    def __init__(self, driver: Driver, budget: RateBudget, network: Network) -> None:
        self.budget = budget
        self._driver = driver
        self._client = httpx.AsyncClient(
            transport=network.http_transport(),
            trust_env=False,
        )
        self._places: dict[tuple[bool, frozenset[str]], trio.CapacityLimiter] = {}

    async def __aenter__(self) -> RestClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def perform(self, request: HttpRequest, *, priority: bool = False) -> HttpResponse:
        """Wait for budget, send, and return the venue's answer when it is a good one.

        Raises :class:`~ctcore.errors.VenueError` for an answer that says no, :class:`TransportError` when
        there is none within the request's ``timeout_sec``, which begins when it is sent, and
        :class:`RateLimited` when :data:`MAX_WAITING` requests wait already.
        """
        # The place comes before the budget: what is charged is sent at once, so that the venue counts it when
        # we do and no time of its own is spent in a queue.
        async with self._place(request, priority=priority):
            await self.budget.acquire(request.cost, priority=priority)
            response = await self._send(request)
        return self._judge(response)

    def _place(self, request: HttpRequest, *, priority: bool) -> trio.CapacityLimiter:
        """Of its buckets alone: a bucket that is used up holds nobody else back."""
        key = priority, frozenset(request.cost)
        places = self._places.get(key)
        if places is None:
            places = self._places[key] = trio.CapacityLimiter(MAX_CONNECTIONS)
        if places.statistics().tasks_waiting >= MAX_WAITING:
            raise RateLimited(f"{request.label}: {MAX_WAITING} requests wait already", status=0)
        return places

    def _judge(self, response: HttpResponse) -> HttpResponse:
        notice = self._driver.rate_notice(response)
        for bucket, used in notice.used.items():
            self.budget.observed(bucket, used)
        parked_sec = notice.parked_sec
        try:
            self._driver.check(response)
        except RateLimited as error:
            parked_sec = max(parked_sec, error.retry_after_sec)
            raise
        finally:
            if parked_sec > 0:
                self.budget.park(parked_sec)
        return response

    async def _send(self, request: HttpRequest) -> HttpResponse:
        try:
            with trio.fail_after(request.timeout_sec):
                answer = await self._client.request(
                    request.method,
                    request.url,
                    headers=dict(request.headers),
                    content=request.body or None,
                    timeout=request.timeout_sec,
                )
        except (trio.TooSlowError, httpx.TimeoutException):
            raise TransportError(f"{request.label}: no answer within {request.timeout_sec:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise TransportError(f"{request.label}: {reason}") from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return HttpResponse(request, answer.status_code, answer.content, headers)
