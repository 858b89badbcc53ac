"""Read a TOML file, and find the lines its keys stand on, which the standard parser does not tell."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from ctcore.config.document import Document, Place
from ctcore.config.values import KeyPath
from ctcore.errors import ConfigError

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"^\s*(\[\[?)\s*({_KEY})\s*\]")
_ASSIGNMENT = re.compile(rf"^\s*({_KEY})\s*=")


def read_toml(file: str, text: str) -> Document:
    """Parse a TOML text; raises :class:`~ctcore.errors.ConfigError` for a text that is none."""
    try:
        root = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not valid TOML: {error}; correct that line") from None
    except (ValueError, RecursionError):
        why = "a value is too long or nested too deeply"
        raise ConfigError(f"{file}: is not valid TOML: {why}; correct it") from None
    return Document(file, root, dict(_places(text)))


def _places(text: str) -> Iterator[tuple[KeyPath, Place]]:
    """Lines of headers and keys. A line of a long text may look like one, at the cost of a wrong number."""
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.split("\n"), start=1):
        header = _HEADER.match(line)
        if header is not None:
            table = _table(counts, _parts(header[2]), repeated=header[1] == "[[")
            yield table, Place(number)
            continue
        assignment = _ASSIGNMENT.match(line)
        if assignment is not None:
            yield (*table, *_parts(assignment[1])), Place(number)


def _table(counts: dict[KeyPath, int], parts: list[str], *, repeated: bool) -> KeyPath:
    """The path of a header's table: below a ``[[list]]`` it goes through the list's last entry."""
    path: KeyPath = ()
    for position, part in enumerate(parts):
        path = (*path, part)
        if repeated and position == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _parts(key: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_PART, key)]
