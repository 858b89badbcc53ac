"""The API as one Starlette app over an :class:`~ctcore.api.target.ApiTarget`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Router

from ctcore.api.access import Access
from ctcore.api.answers import JsonAnswer
from ctcore.api.errors import answer_refusal
from ctcore.api.gate import Gate
from ctcore.api.openapi import document
from ctcore.api.operations import Operation
from ctcore.api.routes_control import control_operations
from ctcore.api.routes_market import market_operations
from ctcore.api.routes_state import state_operations
from ctcore.api.target import ApiTarget
from ctcore.config.schema import ServerConfig
from ctcore.runtime.clock import Clock, SystemClock

_NO_ROUTES: Mapping[str, Sequence[BaseRoute]] = MappingProxyType({})


def build_app(target: ApiTarget, *, settings: ServerConfig,
              plugin_routes: Mapping[str, Sequence[BaseRoute]] = _NO_ROUTES,
              clock: Clock | None = None) -> Starlette:
    """The app. ``plugin_routes``: routes by package, served below ``/plugins/<package>/``."""
    operations = _operations(target, clock or SystemClock(), plugin_routes, asks_token=bool(settings.token))
    access = Access(settings, public=frozenset(each.path for each in operations if each.public))
    app = Starlette(
        routes=[*(operation.route() for operation in operations), *_mounts(plugin_routes)],
        middleware=[Middleware(Gate, access=access)],
        exception_handlers={HTTPException: answer_refusal},
    )
    # A redirect to the path with or without a slash at its end would be an answer outside the document.
    app.router.redirect_slashes = False
    app.state.asks_token = access.asks_token
    return app


def _operations(target: ApiTarget, clock: Clock, plugin_routes: Mapping[str, Sequence[BaseRoute]], *,
                asks_token: bool) -> list[Operation]:
    async def openapi(_: Request) -> JsonAnswer:
        return JsonAnswer(described)

    operations = [
        *control_operations(target, clock), *state_operations(target), *market_operations(target, clock),
        Operation(path="/openapi.json", endpoint=openapi, answer=None, summary="This document"),
    ]
    described = document(operations, plugin_routes, asks_token=asks_token)
    return operations


def _mounts(plugin_routes: Mapping[str, Sequence[BaseRoute]]) -> list[Mount]:
    return [
        Mount(f"/plugins/{package}", app=Router(routes, redirect_slashes=False))
        for package, routes in plugin_routes.items()
    ]
