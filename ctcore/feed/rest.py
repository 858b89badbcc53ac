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


class RestClient:
    """Performs a driver's requests. Use as an async context manager."""

    def __init__(self, driver: Driver, budget: RateBudget, network: Network) -> None:
        self.budget = budget
        self._driver = driver
        self._client = httpx.AsyncClient(
            transport=network.http_transport(),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
            trust_env=False,
        )

    async def __aenter__(self) -> RestClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def perform(self, request: HttpRequest) -> HttpResponse:
        """Wait for budget, send, and return the venue's answer when it is a good one.

        Raises :class:`~ctcore.errors.VenueError` for an answer that says no and :class:`TransportError` when
        there is none within the request's ``timeout_sec``.
        """
        await self.budget.acquire(request.cost)
        response = await self._send(request)
        notice = self._driver.rate_notice(response)
        for bucket, used in notice.used.items():
            self.budget.observed(bucket, used)
        if notice.parked_sec > 0:
            self.budget.park(notice.parked_sec)
        try:
            self._driver.check(response)
        except RateLimited as error:
            self.budget.park(error.retry_after_sec)
            raise
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
