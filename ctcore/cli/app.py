"""The command line put together: ctcore's own commands and those of plugins.

Plugins may add commands. Loading plugins takes longer than all the rest of ``ctcore --help``, so they are
loaded here only when an installed plugin module mentions the hook, and only when the command asked for is
not one of ctcore's own. A module that only gets the hook by ``import *`` is not noticed.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ctcore.cli.books import books
from ctcore.cli.check import check
from ctcore.cli.decode import decode
from ctcore.cli.failing import DEBUG_VARIABLE, PROGRAM, CommandLine
from ctcore.cli.plugins import plugins
from ctcore.cli.record import record
from ctcore.cli.reference import config_app
from ctcore.cli.run import run
from ctcore.cli.simulate import simulate
from ctcore.cli.status import status
from ctcore.cli.version import show_version, version

HOOK = "ctcore_add_commands"

_PANELS = {
    "The daemon": (run, check, status, books),
    "Without a daemon": (simulate, record, decode),
    "About this installation": (plugins, version),
}


def command_line() -> typer.Typer:
    """A new command line with ctcore's own commands."""
    app = typer.Typer(name=PROGRAM, cls=CommandLine, callback=_top, invoke_without_command=True,
                      pretty_exceptions_enable=False, rich_markup_mode="rich",
                      context_settings={"help_option_names": ["--help", "-h"]})
    for panel, commands in _PANELS.items():
        for command in commands:
            app.command(help=_paragraphs(command.__doc__ or ""), rich_help_panel=panel)(command)
    app.add_typer(config_app, name="config", rich_help_panel="About this installation")
    return app


def run_command(given: Sequence[str]) -> NoReturn:
    """Run ``ctcore`` with these arguments and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another
    app = command_line()
    if _may_need_plugins(given) and _plugins_have_commands():
        from ctcore.contracts.plugin.manager import PluginManager

        PluginManager().add_commands(app)
    app(args=list(given), prog_name=PROGRAM)
    raise SystemExit


def _top(
    context: typer.Context,
    debug: Annotated[bool, typer.Option(  # noqa: ARG001  read where errors end
        "--debug", envvar=DEBUG_VARIABLE, help="Show the traceback of an error.")] = False,
    show: Annotated[bool, typer.Option(  # noqa: ARG001  its callback does it
        "--version", callback=show_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """Watch crypto markets and keep their exact history.

    Try it without an account or the internet: ctcore run --config examples/quickstart.toml

    What a command takes: ctcore COMMAND --help
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _paragraphs(text: str) -> str:
    """Each paragraph on one line: the terminal's width breaks it."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _may_need_plugins(given: Sequence[str]) -> bool:
    """Whether the list of commands matters: for help, completion, and a name that is not ours."""
    if f"_{PROGRAM.upper()}_COMPLETE" in os.environ:
        return True
    own = {command.__name__ for commands in _PANELS.values() for command in commands} | {"config"}
    first = next((word for word in given if not word.startswith("-")), None)
    return first not in own


def _plugins_have_commands() -> bool:
    try:
        return any(map(_mentions_hook, _plugin_modules()))
    except Exception:  # noqa: BLE001  a package's metadata are broken; the plugin manager finds out whose
        return True


def _plugin_modules() -> Iterator[str]:
    import importlib.metadata  # takes as long as typer does

    for point in importlib.metadata.entry_points(group=PROGRAM):
        yield point.value.partition(":")[0].partition("[")[0].strip()


def _mentions_hook(module: str) -> bool:
    """Whether a module's source speaks of the hook; nothing of the package is imported.

    A module whose source is not to be found counts as one that does.
    """
    import importlib.util

    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
        if spec is None:
            return False
        roots = [Path(place) for place in spec.submodule_search_locations or ()]
        if not rest and spec.origin is not None:
            return _mentioned_in(Path(spec.origin))
        stems = [root.joinpath(*rest) for root in roots]
        sources = [source for stem in stems for source in (stem.with_suffix(".py"), stem / "__init__.py")]
        found = [source for source in sources if source.is_file()]
        return not found or any(_mentioned_in(source) for source in found)
    except (OSError, ImportError, ValueError):
        return True


def _mentioned_in(source: Path) -> bool:
    return HOOK in source.read_text(encoding="utf-8", errors="replace")
