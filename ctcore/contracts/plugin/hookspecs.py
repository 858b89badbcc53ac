"""The front door: what a plugin package may register. Coarse, synchronous, at start-up only.

A package names its module in the entry-point group ``ctcore`` and implements any of these with
:data:`ctcore.contracts.plugin.hookimpl`. ctcore registers its own parts through the same door.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer
    from starlette.routing import BaseRoute

    from ctcore.contracts.driver import DriverPlugin
    from ctcore.contracts.plugin.secrets import SecretBackend
    from ctcore.contracts.sink import SinkPlugin

PROJECT = "ctcore"
API_VERSION = 1
"""A plugin module may state ``CTCORE_API_VERSION``; another value than this disables it with a clear line."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def ctcore_register_drivers() -> Iterable[DriverPlugin]:  # type: ignore[empty-body]  # a specification
    """Return the exchanges this package can speak to."""


@hookspec
def ctcore_register_sinks() -> Iterable[SinkPlugin]:  # type: ignore[empty-body]  # a specification
    """Return the kinds of history this package can write."""


@hookspec
def ctcore_register_secret_backends() -> Iterable[SecretBackend]:  # type: ignore[empty-body]  # a specification
    """Return the places this package can read secrets from, each for one ``${scheme:...}`` of a config."""


@hookspec
def ctcore_add_commands(app: typer.Typer) -> None:
    """Add subcommands to the ``ctcore`` command line."""


@hookspec
def ctcore_add_routes() -> Iterable[BaseRoute]:  # type: ignore[empty-body]  # a specification
    """Return Starlette routes to serve below ``/plugins/<package>/`` of the API."""
