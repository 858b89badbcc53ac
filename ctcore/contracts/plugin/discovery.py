"""Which plugin packages are installed: the entry points of the group ``ctcore``. Imports none of them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

import attrs

from ctcore.contracts.plugin.hookspecs import PROJECT
from ctcore.contracts.plugin.isolation import Failure, attempt
from ctcore.contracts.plugin.requirement import normalized


@attrs.frozen
class EntryPoint:
    """One plugin module that a package offers."""

    name: str
    module: str


@attrs.frozen
class Package:
    """A plugin package as its metadata describe it; ``problem`` says why they cannot be used."""

    name: str
    version: str
    entry_points: tuple[EntryPoint, ...]
    requires: tuple[str, ...] = ()
    problem: str | None = None


def installed_packages() -> list[Package]:
    """Return every package with entry points in our group, by name; of two copies the first on ``sys.path`` counts."""
    found: dict[str, Package] = {}
    for distribution in importlib.metadata.distributions():
        name = attempt(lambda it=distribution: it.metadata["Name"])  # type: ignore[misc]  # bound at once
        if isinstance(name, Failure) or not isinstance(name, str) or normalized(name) in found:
            continue
        text = attempt(lambda it=distribution: it.read_text("entry_points.txt"))  # type: ignore[misc]
        if isinstance(text, Failure) or not text or f"[{PROJECT}]" not in text.replace(" ", ""):
            continue
        package = attempt(lambda it=distribution, known=name: _package(it, known))  # type: ignore[misc]
        if isinstance(package, Failure):
            package = Package(name, "", (EntryPoint(name, ""),), problem=f"its metadata are broken ({package})")
        found[normalized(name)] = package
    return [found[key] for key in sorted(found)]


def _package(distribution: importlib.metadata.Distribution, name: str) -> Package:
    points = tuple(sorted(_points(distribution), key=lambda point: point.name))
    return Package(name, distribution.version or "", points, tuple(distribution.requires or ()))


def _points(distribution: importlib.metadata.Distribution) -> Iterator[EntryPoint]:
    for point in distribution.entry_points:
        if point.group == PROJECT:
            yield EntryPoint(point.name, point.value.strip())
