"""Secrets in a configuration: the type that hides them, and the ``${...}`` references to them."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Final

from ctcore.contracts.plugin import SecretBackend
from ctcore.contracts.plugin.isolation import Failure, attempt
from ctcore.errors import ConfigError

MASK = "***"

UNREAD: Final = object()
"""Stands for a value whose reference could not be read, which has been reported."""

_REFERENCE = re.compile(r"\$(\$\{)|\$\{([^{}]*)(\}?)")
_SCHEME = re.compile(r"^([a-z][a-z0-9+_-]*):(.*)$", re.DOTALL)
_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


class Secret:
    """A text that never shows itself: printed, formatted and logged it is ``***``.

    :meth:`reveal` is the only way in. Two secrets compare in constant time; an empty one is false; none can
    be pickled.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself, for the one call that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not written anywhere; reveal() it where it is needed")


class Text(str):
    """A text of a configuration file with what must not be forgotten about it.

    ``loose``: it may stand for a number or a boolean, as everything in an INI file does. ``masked``: it came
    from a secret reference and is shown in no message.
    """

    loose: bool
    masked: bool

    def __new__(cls, text: str, *, loose: bool = False, masked: bool = False) -> Text:
        """A text with its marks."""
        made = super().__new__(cls, text)
        made.loose = loose
        made.masked = masked
        return made


def resolve(text: str, backends: Mapping[str, SecretBackend]) -> str:
    """Replace every ``${NAME}`` and ``${scheme:reference}``; ``$${`` is a literal ``${``.

    What comes back after a replacement is a loose and masked :class:`Text`. Raises
    :class:`~ctcore.errors.ConfigError` that names what cannot be read, never what was read.
    """
    if "${" not in text:
        return text
    read = False

    def replaced(found: re.Match[str]) -> str:
        nonlocal read
        escape, reference, end = found.groups()
        if escape:
            return "${"
        if not end:
            raise ConfigError("'${' is not closed; write ${NAME}, or $${ for a literal ${")
        read = True
        return _read(reference, backends)

    result = _REFERENCE.sub(replaced, text)
    return Text(result, loose=read or getattr(text, "loose", False), masked=read)


def _read(reference: str, backends: Mapping[str, SecretBackend]) -> str:
    parts = _SCHEME.match(reference)
    scheme, rest = (parts[1], parts[2]) if parts else ("env", reference)
    backend = backends.get(scheme)
    # A reference that makes no sense may be a piece of a real password, so it is not repeated.
    if backend is None or (parts is None and not _NAME.match(reference)):
        forms = ", ".join(f"${{{known}:...}}" for known in sorted(backends))
        raise ConfigError(f"'${{...}}' is no reference known here; write ${{NAME}} or one of {forms}, "
                          "or $${ for a literal ${")
    value = attempt(lambda: backend.read(rest))
    if isinstance(value, Failure):
        if isinstance(value.error, ConfigError):
            raise value.error
        kind = type(value.error).__name__
        raise ConfigError(f"the secret backend {scheme!r} failed with {kind}; see that its source is there")
    if not isinstance(value, str):
        raise ConfigError(f"the secret backend {scheme!r} returned no text; ask its author")
    return value
