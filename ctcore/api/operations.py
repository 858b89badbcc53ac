"""What a call of the API is: the record that its route and its part of the OpenAPI document are made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias

import attrs
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ctcore.api.parameters import NoQuery, read_query

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


@attrs.frozen(kw_only=True)
class Operation:
    """One call.

    ``answer``: the struct of status 200. ``others``: statuses with a meaning of their own for this call, and
    their structs. ``public`` calls need no token.
    """

    path: str
    endpoint: Endpoint
    summary: str
    answer: type[msgspec.Struct] | None
    method: Literal["GET", "PUT"] = "GET"
    query: type[msgspec.Struct] = NoQuery
    path_parameters: type[msgspec.Struct] = NoQuery
    others: Mapping[int, type[msgspec.Struct]] = attrs.field(factory=dict)
    public: bool = False

    def route(self) -> Route:
        """For Starlette. A call without parameters refuses any."""
        endpoint = _without_query(self.endpoint) if self.query is NoQuery else self.endpoint
        return Route(self.path, endpoint, methods=[self.method])


def _without_query(endpoint: Endpoint) -> Endpoint:
    async def checked(request: Request) -> Response:
        read_query(request, NoQuery)
        return await endpoint(request)
    return checked
