"""The secret backends that come with ctcore: ``${env:NAME}`` and ``${file:/path}``."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ctcore.contracts.plugin import SecretBackend, hookimpl
from ctcore.errors import ConfigError

CTCORE_API_VERSION = 1

_MOST_BYTES = 64 * 1024  # a key, a token or a certificate; anything bigger is another file


def read_environment(name: str) -> str:
    """Read an environment variable; unset and empty both raise :class:`~ctcore.errors.ConfigError`."""
    value = _variable(name)
    if value is None:
        raise ConfigError(f"the environment variable {name!r} is not set; export it before starting")
    if not value:
        raise ConfigError(f"the environment variable {name!r} is empty; give it a value")
    return value


def _variable(name: str) -> str | None:
    """The variable, or None; a name no system could have is not set either."""
    return None if "\0" in name or "=" in name else os.environ.get(name)


def read_file(name: str) -> str:
    """Read a file that others may not read, without its last line break.

    Raises :class:`~ctcore.errors.ConfigError` for what is no small private text file.
    """
    path = Path(name)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{name!r} is not a file; name a file that holds the secret")
        if os.name == "posix" and status.st_mode & stat.S_IROTH:
            raise ConfigError(f"{name!r} can be read by every user of this machine; run chmod 600 on it")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(f"{name!r} cannot be read ({why}); correct the path or its rights") from None
    except ValueError:
        raise ConfigError("a file's name cannot hold a null character; correct the path") from None
    return _text_of(name, data)


def _text_of(name: str, data: bytes) -> str:
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{name!r} is larger than {_MOST_BYTES} bytes; name a file with the secret alone")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{name!r} is not UTF-8 text; save it as such") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ConfigError(f"{name!r} is empty; write the secret into it")
    return text


@hookimpl
def ctcore_register_secret_backends() -> list[SecretBackend]:
    """Register ``env`` and ``file``."""
    return [
        SecretBackend(scheme="env", read=read_environment),
        SecretBackend(scheme="file", read=read_file),
    ]
