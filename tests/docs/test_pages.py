"""Links lead somewhere, indexes are whole, names exist, both READMEs say the same."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import typer

from ctcore.cli.app import command_line

from .pages import ROOT, anchors, blocks, headings, links, pages, prose

PAGES = pages()
OWN = [page for page in PAGES if "plugins" not in page.parts]
ENGLISH, RUSSIAN = ROOT / "README.md", ROOT / "README.ru.md"
WIDEST = 120
EXEMPT = {
    "message_stats", "FULL_EVERY_TIME",  # the design says why they are not there
    "on_stop",  # planned, and said to be
    "api_key",  # an example of a name that is masked by its pattern
}  # fmt: skip


def identifiers() -> set[str]:
    files = [path for folder in ("ctcore", "plugins", "examples") for path in (ROOT / folder).rglob("*")
             if path.suffix in (".py", ".toml", ".ini") and ".venv" not in path.parts]
    files += [ROOT / "Makefile", ROOT / "pyproject.toml"]
    return {word for path in files for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def known() -> set[str]:
    return identifiers()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        name, _, fragment = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        if fragment:
            assert fragment in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("folder", ["how-to", "explanation", "reference", "tutorial"])
def test_every_page_is_in_an_index(folder: str) -> None:
    indexes = [ROOT / "docs" / "README.md", ROOT / "docs" / "reference" / "README.md"]
    linked = {(index.parent / link.partition("#")[0]).resolve() for index in indexes for link in links(index)}
    assert set((ROOT / "docs" / folder).glob("*.md")) <= linked


@pytest.mark.parametrize("page", OWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_one_title_and_no_wide_prose(page: Path) -> None:
    assert [level for level, _ in headings(page)].count(1) == 1
    wide = [line for line in prose(page).splitlines() if len(line) > WIDEST and not line.startswith("|")]
    assert not wide


@pytest.mark.parametrize("page", OWN, ids=lambda page: page.stem)
def test_names_in_code_type_exist(page: Path, known: set[str]) -> None:
    for text in re.findall(r"`([^`\n]+)`", prose(page)):
        for name in re.findall(r"(?<![\w./<-])(?:[A-Za-z]+_\w+|[A-Z][a-z]+[A-Z]\w+)", text):
            table = name.removeprefix("v_")  # views are named by their tables
            assert {name, table} & (known | EXEMPT), f"{page.name}: {text}"


@pytest.mark.parametrize("page", OWN, ids=lambda page: page.stem)
def test_dotted_names_can_be_imported(page: Path) -> None:
    for name in re.findall(r"`(ctcore(?:\.\w+)+)", prose(page)):
        module, found = name, None
        while found is None:
            try:
                found = importlib.import_module(module)
            except ImportError:
                module = module.rpartition(".")[0]
        for part in name.removeprefix(module).split(".")[1:]:
            assert hasattr(found, part), f"{page.name}: {name}"
            found = getattr(found, part)


def test_flags_in_prose_exist() -> None:
    top = typer.main.get_command(command_line())
    commands = [top, *getattr(top, "commands", {}).values()]
    commands += [inner for command in commands for inner in getattr(command, "commands", {}).values()]
    flags = {flag for command in commands for parameter in command.params for flag in parameter.opts}
    for page in PAGES:
        told = set(re.findall(r"`[^`\n]*?(--[a-z][a-z-]+)", prose(page)))
        assert told <= flags | {"--help"}, page.name


def test_the_readmes_are_in_step() -> None:
    assert [level for level, _ in headings(ENGLISH)] == [level for level, _ in headings(RUSSIAN)]
    there = {"README.md", "README.ru.md"}
    assert [link for link in links(ENGLISH) if link not in there] == [
        link for link in links(RUSSIAN) if link not in there]
    ours, theirs = blocks(ENGLISH), blocks(RUSSIAN)
    assert [block.language for block in ours] == [block.language for block in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert _without_comments(one.text) == _without_comments(other.text)
    assert prose(ENGLISH).count("\n|") == prose(RUSSIAN).count("\n|")


def _without_comments(text: str) -> list[str]:
    return [line.partition(" #")[0].rstrip() for line in text.splitlines()]
