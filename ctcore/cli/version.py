"""``ctcore version``."""

from __future__ import annotations

import platform

import typer

from ctcore import __version__


def version() -> None:
    """Show the version of ctcore and of Python.

    Example: ctcore version
    """
    typer.echo(f"ctcore {__version__} (Python {platform.python_version()})")


def show_version(wanted: bool) -> None:
    """The option ``--version``."""
    if wanted:
        version()
        raise typer.Exit
