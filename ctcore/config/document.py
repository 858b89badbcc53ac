"""A configuration file as read: plain tables, and where in the file each of them stands."""

from __future__ import annotations

import re
from typing import Any

import attrs

from ctcore.config.secrets import MASK
from ctcore.config.values import KeyPath

_BARE = re.compile(r"^[A-Za-z0-9_-]+$")
_SHORT = 4
_USERINFO = re.compile(r"//[^/\s@]*@")


@attrs.frozen
class Place:
    """A line of the file, and the name under which the operator knows what stands there."""

    line: int | None = None
    name: str | None = None


@attrs.define
class Document:
    """The contents of ``file``; ``places`` by the path of keys that lead to a value in ``root``."""

    file: str
    root: dict[str, Any] = attrs.field(factory=dict)
    places: dict[KeyPath, Place] = attrs.field(factory=dict)
    notices: list[str] = attrs.field(factory=list)
    _hidden: dict[str, re.Pattern[str]] = attrs.field(factory=dict, repr=False)
    _problems: list[tuple[int, str]] = attrs.field(factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything reported, in the order of the file."""
        return [text for _, text in sorted(self._problems, key=lambda problem: problem[0])]

    def hide(self, text: str) -> None:
        """Show ``text``, and any item of it if it is a list, in no message."""
        for part in {text.strip(), *(item.strip() for item in text.split(","))}:
            if part:
                # A short one would blot out half of a line, so only where it stands alone.
                edges = (r"(?<!\w)", r"(?!\w)") if len(part) < _SHORT else ("", "")
                self._hidden[part] = re.compile(re.escape(part).join(edges), re.IGNORECASE)

    def report(self, path: KeyPath, text: str) -> None:
        """Note a problem with the value at ``path``."""
        self._problems.append((self.line_of(path), self.line_about(path, text)))

    def report_line(self, line: int, text: str) -> None:
        """Note a problem with a line that leads to no value."""
        self._problems.append((line, f"{self.file}:{line}: {text}"))

    def notice(self, path: KeyPath, text: str) -> None:
        """Note something the operator should know about a value that is accepted."""
        self.notices.append(self.line_about(path, text))

    def line_about(self, path: KeyPath, text: str) -> str:
        """``examples/x.toml:7: monitor.batch_size: must be at least 1, is 0``."""
        line, name = self._located(path)
        place = f"{self.file}:{line}" if line else self.file
        for pattern in self._hidden.values():
            text = pattern.sub(MASK, text)
        text = _USERINFO.sub(f"//{MASK}@", text)
        return f"{place}: {name}: {text}" if name else f"{place}: {text}"

    def name_of(self, path: KeyPath) -> str:
        """The operator's name for what is at ``path``."""
        return self._located(path)[1]

    def line_of(self, path: KeyPath) -> int:
        """The line ``path`` stands on, or 0."""
        return self._located(path)[0] or 0

    def _located(self, path: KeyPath) -> tuple[int | None, str]:
        line: int | None = None
        for length in range(len(path), 0, -1):
            place = self.places.get(path[:length])
            if place is None:
                continue
            line = line or place.line
            if place.name is not None:
                return line, place.name + _dotted(path[length:], after=True)
        return line, _dotted(path)


def _dotted(path: KeyPath, *, after: bool = False) -> str:
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
            continue
        shown = key if _BARE.match(key) else repr(key[:60])
        text += f".{shown}" if text or after else shown
    return text
