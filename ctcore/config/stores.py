"""No two sinks write to the same place, and the embedded engine (a process has one) opens one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ctcore.config.document import Document
from ctcore.config.schema import Config
from ctcore.config.values import KeyPath

_PORTS = {"http": 8123, "https": 8443}


def apart(document: Document, config: Config) -> None:
    """Report sinks that would get into each other's way.

    Asks for the keys that the built-in sinks have, which a plugin's may have, too: ``directory``, and ``url``
    with ``database``.
    """
    taken: dict[Any, str] = {}
    engine: tuple[str, str] | None = None
    for name, sink in config.sinks.items():
        path: KeyPath = ("sinks", name)
        key, place = _place(sink.options)
        if place is None:
            continue
        if place in taken:
            document.report((*path, key), f"{taken[place]} writes there already; choose another place")
            continue
        taken[place] = document.name_of(path)
        folder = place[1] if place[0] == "chdb" else ""
        if folder and engine is not None and engine[0] != folder:
            why = "has another folder, and the embedded engine opens one; give both the same url"
            document.report((*path, key), f"{engine[1]} {why}")
        elif folder:
            engine = engine or (folder, document.name_of(path))


def _place(options: Any) -> tuple[str, tuple[str, ...] | None]:
    """The key that says where a sink writes, and where that is; None for a sink that says nothing of it."""
    directory, url = getattr(options, "directory", None), getattr(options, "url", None)
    if isinstance(directory, Path):
        return "directory", ("directory", str(directory.absolute().resolve()))
    if not isinstance(url, str):
        return "", None
    database = str(getattr(options, "database", ""))
    parts = urlsplit(url)
    if parts.scheme == "chdb":
        return "url", ("chdb", str(Path(parts.path).absolute().resolve()), database)
    server = f"{parts.hostname}:{parts.port or _PORTS.get(parts.scheme, 0)}{parts.path.rstrip('/')}"
    return "url", ("server", server, database)
