"""Does a package's ``Requires-Dist`` line allow this ctcore?

Only what such a line can say about a released ctcore is understood: the operators of PEP 440 over release
numbers. A line nobody can read is left to the installer, which has accepted it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest

_LINE = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?$")
_CLAUSE = re.compile(r"^\s*(===|==|~=|!=|<=|>=|<|>)\s*v?(\d+(?:\.\d+)*)(\.\*)?")
_RELEASE = re.compile(r"^\s*v?(\d+(?:\.\d+)*)")

Release = tuple[int, ...]

_COMPARE: Mapping[str, Callable[[int], bool]] = {
    "==": lambda sign: sign == 0,
    "===": lambda sign: sign == 0,
    "!=": lambda sign: sign != 0,
    "<=": lambda sign: sign <= 0,
    ">=": lambda sign: sign >= 0,
    "<": lambda sign: sign < 0,
    ">": lambda sign: sign > 0,
}


def normalized(name: str) -> str:
    """A distribution's name as all registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def refused_by(requirements: Iterable[str], distribution: str, version: str) -> str | None:
    """Return the first requirement on ``distribution`` that ``version`` does not meet, as it is written."""
    release = _release(version)
    for line in requirements:
        parts = _LINE.match(line)
        if parts is None or normalized(parts[1]) != normalized(distribution):
            continue
        if "extra" in (parts[3] or ""):
            continue
        if not all(_meets(release, clause) for clause in parts[2].split(",")):
            return f"{parts[1]}{parts[2].strip()}"
    return None


def _meets(release: Release, clause: str) -> bool:
    parts = _CLAUSE.match(clause)
    if parts is None:
        return True
    operator, wanted = parts[1], _release(parts[2])
    if operator == "~=":
        return _sign(release, wanted) >= 0 and release[: len(wanted) - 1] == wanted[:-1]
    if parts[3]:
        return (release[: len(wanted)] == wanted) is (operator != "!=")
    return _COMPARE[operator](_sign(release, wanted))


def _release(text: str) -> Release:
    found = _RELEASE.match(text)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _sign(left: Release, right: Release) -> int:
    for a, b in zip_longest(left, right, fillvalue=0):
        if a != b:
            return 1 if a > b else -1
    return 0
