"""The house stands: imports point down only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ctcore

ROOT = Path(ctcore.__file__).parent
FLOORS = (
    ("errors", "model"),
    ("wire",),
    ("book",),
    ("contracts",),
    ("config",),
    ("runtime",),
    ("feed", "sim", "sinks"),
    ("monitor", "workers"),
    ("api", "cli", "daemon"),
)
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
ABOVE_ALL = {"testing", "__init__", "__main__"}
FILES = sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "ctcore":
            names = [f"ctcore.{alias.name}" for alias in node.names if (ROOT / alias.name).exists()]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        yield from (name.split(".")[1] for name in names if name.startswith("ctcore."))


def test_every_part_has_a_floor():
    assert {part_of(path) for path in FILES} - ABOVE_ALL == set(FLOOR_OF)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    part = part_of(path)
    if part in ABOVE_ALL:
        return
    above = {name for name in imported_parts(path) if FLOOR_OF.get(name, 99) > FLOOR_OF[part]}
    assert not above, f"{path.relative_to(ROOT)} imports from above: {sorted(above)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 400
