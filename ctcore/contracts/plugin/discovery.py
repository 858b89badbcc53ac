"""Which plugin packages are installed: the entry points of the group ``ctcore``. Imports none of them."""

from __future__ import annotations

import importlib.metadata

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
    """Return every package with entry points in our group, by name; of two copies the first one counts."""
    found: dict[str, Package] = {}
    for distribution in importlib.metadata.distributions():
        if not _concerns_us(distribution):
            continue
        package = _described(distribution)
        found.setdefault(normalized(package.name), package)
    return [found[key] for key in sorted(found)]


def _concerns_us(distribution: importlib.metadata.Distribution) -> bool:
    text = attempt(lambda: distribution.read_text("entry_points.txt"))
    return isinstance(text, str) and f"[{PROJECT}]" in text.replace(" ", "")


def _described(distribution: importlib.metadata.Distribution) -> Package:
    name = attempt(lambda: distribution.metadata["Name"])
    if not isinstance(name, str) or not name:
        where = attempt(lambda: str(distribution.locate_file("")))
        return _broken(f"a package in {where}", "they name no package")
    package = attempt(lambda: _package(distribution, name))
    return _broken(name, str(package)) if isinstance(package, Failure) else package


def _broken(name: str, why: str) -> Package:
    return Package(name, "", (EntryPoint(name, ""),), problem=f"its metadata are broken ({why})")


def _package(distribution: importlib.metadata.Distribution, name: str) -> Package:
    points = tuple(
        EntryPoint(point.name, point.value.strip())
        for point in distribution.entry_points
        if point.group == PROJECT
    )
    ordered = tuple(sorted(points, key=lambda point: point.name))
    return Package(name, distribution.version, ordered, tuple(distribution.requires or ()))
