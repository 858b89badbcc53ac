"""What a configuration names on this machine: folders that must be writable, certificates to be read.

Looks only: nothing is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctcore.config import Config

_CERTIFICATES = ("ca_cert", "client_cert", "client_key")


def place_problems(config: Config) -> list[str]:
    """Everything that is wrong with the folders and files that the configuration names."""
    folders = {"state.dir": config.state.dir, "log.dir": config.log.dir}
    if config.sinks:
        folders["spool.dir"] = config.spool.dir
    files: dict[str, Path] = {}
    for name, sink in config.sinks.items():
        folders |= dict(_folders(f"sinks.{name}", sink.options))
        for key in _CERTIFICATES:
            path = getattr(sink.options, key, None)
            if isinstance(path, Path):
                files[f"sinks.{name}.{key}"] = path
    found = [*((key, _unwritable(path)) for key, path in folders.items()),
             *((key, _unreadable(path)) for key, path in files.items())]
    return [f"{config.path}: {key}: {problem}" for key, problem in found if problem]


def _folders(section: str, options: object) -> Iterator[tuple[str, Path]]:
    directory, folder = getattr(options, "directory", None), getattr(options, "folder", None)
    if isinstance(directory, Path):
        yield f"{section}.directory", directory
    if getattr(options, "embedded", False) and isinstance(folder, str):
        yield f"{section}.url", Path(folder)


def _unwritable(folder: Path) -> str:
    """Why the folder cannot be written to, or made; empty when it can."""
    there = next((path for path in (folder, *folder.absolute().parents) if os.path.lexists(path)), Path("/"))
    if not there.is_dir():
        return f"{there} is not a folder; choose another"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} may not be written by this user; choose another, or let it"
    return ""


def _unreadable(file: Path) -> str:
    if not file.is_file():
        return f"there is no file {file}; correct the path"
    return "" if os.access(file, os.R_OK) else f"{file} may not be read by this user; let it"
