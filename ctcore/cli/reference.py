"""``ctcore config reference``: every key of a configuration, from the classes that read it."""

from __future__ import annotations

from typing import Annotated

import typer

config_app = typer.Typer(invoke_without_command=True)


@config_app.callback()
def _group(context: typer.Context) -> None:
    """About configurations: what keys there are and what they mean."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@config_app.command()
def reference(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables instead.")] = False,
) -> None:
    """List every key a configuration may have: its type, its default and its meaning.

    The keys of the installed exchanges and sinks are among them.

    Example: ctcore config reference
    """
    from ctcore.config import describe, reference_tables

    if markdown:
        for section, text in reference_tables().items():
            typer.echo(f"### `{section}`\n\n{text}\n")
        return
    from rich.table import Table

    from ctcore.cli.screen import open_console, table
    from ctcore.contracts.plugin.manager import PluginManager

    sections: dict[str, Table] = {}
    for key in describe(PluginManager()):
        made = sections.setdefault(key.section, table("key", "type", "default", "meaning", title=key.section))
        made.add_row(key.key, key.type.replace("`", ""), key.default.replace("`", ""), key.meaning)
    open_console().print(*sections.values())
