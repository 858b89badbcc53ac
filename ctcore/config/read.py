"""Open a configuration file and read it in its format; one error when that cannot be."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ctcore.config.document import Document
from ctcore.config.ini_tables import read_ini_document
from ctcore.config.toml import read_toml
from ctcore.errors import ConfigError

_MOST_BYTES = 1024 * 1024
_READERS: Final[Mapping[str, Callable[[str, str], Document]]] = {
    ".toml": read_toml,
    ".ini": read_ini_document,
    ".cfg": read_ini_document,
    ".conf": read_ini_document,
}


def read_document(path: str | os.PathLike[str]) -> Document:
    """Read a file of either format, told by its ending; :class:`~ctcore.errors.ConfigError` if it cannot."""
    file = os.fspath(path)
    reader = _READERS.get(Path(file).suffix.lower())
    if reader is None:
        raise ConfigError(f"{file}: is neither TOML nor INI by its name; name it .toml or .ini")
    return reader(file, _text(file))


def _text(file: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise ConfigError(f"{file}: is not a file; name a configuration file")
        with open(file, "rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file; correct the path") from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(f"{file}: cannot be read ({why}); correct the path or its rights") from None
    except ValueError:
        raise ConfigError(f"{file!r}: no file can have this name; correct the path") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{file}: is larger than {_MOST_BYTES >> 20} MB; this is no configuration")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{file}: is UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}:{line}: is not UTF-8; save it as UTF-8") from None
    if "\0" in text:
        raise ConfigError(f"{file}: is not a text; name a configuration file")
    return text
