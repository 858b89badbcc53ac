"""``docs/reference/cli.md`` names every command and every option, and none that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from ctcore.cli.app import command_line

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def commands() -> Iterator[tuple[str, Any]]:
    top: Any = typer.main.get_command(command_line())
    for name, command in top.commands.items():
        for inner, part in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", part
        if not hasattr(command, "commands"):
            yield name, command


COMMANDS = dict(commands())


def options(command: Any) -> set[str]:
    names = {name for parameter in command.params for name in parameter.opts if name.startswith("-")}
    return names - {"--help", "-h"}


def test_every_command_has_its_section():
    assert set(COMMANDS) == set(SECTIONS) - {
        "Exit status and errors", "Options of `ctcore` itself", "Commands of plugins"}
    assert all(f"| [`{name}`](#{name.replace(' ', '-')}) |" in PAGE for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_are_those_of_its_table(name):
    rows = re.findall(r"^\| (`-[^|]*) \|", SECTIONS[name], re.MULTILINE)
    told = {option for row in rows for option in re.findall(r"`(-[\w-]+)`", row)}
    assert told == options(COMMANDS[name])


def test_the_options_of_the_top_are_told():
    top: Any = typer.main.get_command(command_line())
    section = SECTIONS["Options of `ctcore` itself"]
    assert all(f"`{option}`" in section for option in options(top))


def test_kinds_of_faults_are_told():
    from ctcore.sim import FaultKind

    assert all(f"`{kind}`" in SECTIONS["simulate"] for kind in FaultKind)
