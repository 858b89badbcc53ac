"""Read an INI file the way the original's reader (Go's ``go-ini/ini``) does.

1. A line that starts with ``#`` or ``;`` is a comment; so is the rest of a value from the first of these
   signs on, with or without a blank before it. Quotes or backquotes around a value keep these signs.
2. ``key = value`` and ``key: value``; blanks around both are dropped, and one pair of quotes around a value.
3. ``%(other)s`` stands for another key of the section, else of the keys before all sections; any other ``%``
   for itself.
4. A value in backquotes or in three double quotes is taken as it is and may span lines; a line that ends in
   ``\\`` goes on in the next.
5. A section may be opened again. Keys and sections are case-sensitive.

Unlike there, a key written twice is a problem instead of a silent choice, and quotes protect comment signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

_REFERENCE = re.compile(r"%\(([^)]+)\)s")
_QUOTED = re.compile(r"""^(["'])(.*?)\1\s*(?:[#;].*)?$""")
_MOST_REFERENCES = 99
_LONGEST_VALUE = 65_536


@attrs.frozen
class Entry:
    """One key of an INI file; ``section`` is empty for keys before all sections."""

    section: str
    key: str
    value: str
    line: int


@attrs.frozen
class Mistake:
    """A line that cannot be read; its text is not repeated, it may hold a password."""

    line: int
    text: str


@attrs.frozen
class IniText:
    """What was read: entries and sections (with their first lines) in the order of the file."""

    entries: tuple[Entry, ...]
    sections: dict[str, int]
    mistakes: tuple[Mistake, ...]


def read_ini(text: str) -> IniText:
    """Read every line that can be read, and tell which cannot. Never raises."""
    entries: dict[tuple[str, str], Entry] = {}
    sections: dict[str, int] = {}
    mistakes: list[Mistake] = []
    section = ""
    lines = _Lines(text)
    for line in lines:
        stripped = line.strip()
        number = lines.number
        if not stripped or stripped[0] in "#;":
            continue
        if stripped[0] == "[":
            name, bracket, _comment = stripped[1:].rpartition("]")
            if not bracket or not name.strip():
                mistakes.append(Mistake(number, "a section is written [name]; close the bracket"))
                continue
            section = name.strip()
            sections.setdefault(section, number)
            continue
        entry = _entry(section, stripped, lines)
        if isinstance(entry, Mistake):
            mistakes.append(entry)
        elif (section, entry.key) in entries:
            first = entries[section, entry.key].line
            text = f"{entry.key} is written twice (first in line {first}); keep one"
            mistakes.append(Mistake(number, text))
        else:
            entries[section, entry.key] = entry
    return IniText(tuple(_expanded(entries, mistakes)), sections, tuple(mistakes))


class _Lines:
    """Lines with their numbers, which a value may go on reading."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        while (line := self.take()) is not None:
            yield line

    def take(self) -> str | None:
        """The next line, or None at the end."""
        if self.number >= len(self._lines):
            return None
        self.number += 1
        return self._lines[self.number - 1].rstrip("\r")


def _entry(section: str, line: str, lines: _Lines) -> Entry | Mistake:
    number = lines.number
    ends = [position for sign in "=:" if (position := line.find(sign)) >= 0]
    if not ends:
        return Mistake(number, "there is no '=' in this line; write key = value")
    key, value = line[: min(ends)].strip(), line[min(ends) + 1:].strip()
    if not key:
        return Mistake(number, "there is no key before the '='; write key = value")
    for quote in ('"""', "`"):
        if value.startswith(quote):
            taken = _raw(value[len(quote):], quote, lines)
            if taken is None:
                return Mistake(number, f"the value of {key} starts with {quote} and never ends; close it")
            return Entry(section, key, taken, number)
    while value.endswith("\\"):
        value = value[:-1] + (lines.take() or "").strip()
        if len(value) > _LONGEST_VALUE:
            return Mistake(number, f"the value of {key} is too long; end its lines without a backslash")
    return Entry(section, key, _plain(value), number)


def _raw(value: str, quote: str, lines: _Lines) -> str | None:
    while (end := value.rfind(quote)) < 0:
        line = lines.take()
        if line is None:
            return None
        value += "\n" + line
    return value[:end]


def _plain(value: str) -> str:
    quoted = _QUOTED.match(value)
    if quoted is not None:
        return quoted[2]
    comment = min((position for sign in "#;" if (position := value.find(sign)) >= 0), default=len(value))
    return value[:comment].strip()


def _expanded(entries: dict[tuple[str, str], Entry], mistakes: list[Mistake]) -> Iterator[Entry]:
    for entry in entries.values():
        value = entry.value
        for _ in range(_MOST_REFERENCES):
            found = _REFERENCE.search(value)
            other = _referred(entries, entry, found[1].strip()) if found else None
            if found is None or other is None:
                break
            value = value.replace(found[0], other.value)
            if len(value) > _LONGEST_VALUE:
                break
        else:
            text = f"the %(...)s in {entry.key} lead in a circle; write the value"
            mistakes.append(Mistake(entry.line, text))
            continue
        if len(value) > _LONGEST_VALUE:
            text = f"the %(...)s in {entry.key} make it too long; write the value"
            mistakes.append(Mistake(entry.line, text))
        else:
            yield attrs.evolve(entry, value=value)


def _referred(entries: dict[tuple[str, str], Entry], entry: Entry, key: str) -> Entry | None:
    other = entries.get((entry.section, key))
    return entries.get(("", key)) if other is None or other is entry else other
