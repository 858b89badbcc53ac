"""The pages of the documentation, cut into what tests look at."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
OWN = ("README.md", "README.ru.md", "CHANGELOG.md")
_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@attrs.frozen
class Block:
    """A fenced block: ``language`` and ``option`` stand behind the fence, ``line`` is that of the fence."""

    page: Path
    line: int
    language: str
    option: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every page, those of plugins included."""
    return [*(ROOT / name for name in OWN), *sorted((ROOT / "docs").rglob("*.md")),
            *sorted((ROOT / "plugins").glob("*/README.md"))]


def blocks(page: Path, language: str = "") -> list[Block]:
    """The fenced blocks of a page."""
    text, found = page.read_text(encoding="utf-8"), []
    for match in _FENCE.finditer(text):
        indent, info, body = match.groups()
        name, _, option = info.partition(" ")
        dedented = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        line = text.count("\n", 0, match.start()) + 1
        if language in ("", name):
            found.append(Block(page, line, name, option, dedented))
    return found


def every_block(language: str) -> list[Block]:
    """The blocks of a language on all pages."""
    return [block for page in pages() for block in blocks(page, language)]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Where its links lead."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def headings(page: Path) -> list[tuple[int, str]]:
    """Level and text of each heading."""
    return [(len(marks), text) for marks, text in re.findall(r"^(#+) (.+)$", prose(page), re.MULTILINE)]


def anchors(page: Path) -> set[str]:
    """The fragments that links to its headings use, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for _, text in headings(page)}


def section(page: Path, title: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    text = page.read_text(encoding="utf-8")
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,6}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"{page.name} has no heading {title!r}"
    return match[2]


def rows(text: str) -> list[list[str]]:
    """The cells of its tables' rows, heads and rules left out; ``|`` within code is written ``\\|``."""
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        is_rule = set(line) <= set("|- ")
        is_head = number + 1 < len(lines) and lines[number + 1].startswith("|-")
        if line.startswith("|") and not is_rule and not is_head:
            cells = re.split(r"(?<!\\)\|", line.strip()[1:-1])
            found.append([cell.strip().replace("\\|", "|") for cell in cells])
    return found


def code(cell: str) -> str:
    """A cell that is one piece of code, without its marks."""
    return cell.removeprefix("`").removesuffix("`")
