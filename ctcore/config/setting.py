"""How a key of the configuration is declared: its meaning, its default and what values are possible."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import attrs

from ctcore.config.secrets import Secret

Check: TypeAlias = Callable[[Any, Any, Any], None]
"""An attrs validator: instance, attribute, value; raises :class:`Bad`."""

MEANING = "meaning"

_SECRET_NAME = re.compile(
    r"pass(word|phrase|wd)|secret|token|credential|(^|_)(api|private|access)_?key$|^key$", re.IGNORECASE
)
_HOST = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
_LONGEST_SHOWN = 60


class Bad(ValueError):
    """A value that cannot be: what is expected, and the value (shown only where it is no secret)."""

    def __init__(self, expected: str, value: Any = attrs.NOTHING) -> None:
        super().__init__(f"{expected}{shown(value)}")
        self.expected = expected
        self.value = value


def shown(value: Any) -> str:
    """``, is 5``: the value as part of a message, bounded; nothing for secrets."""
    if value is attrs.NOTHING or isinstance(value, Secret) or getattr(value, "masked", False):
        return ""
    if isinstance(value, dict):
        return ", is a table"
    if isinstance(value, list | tuple | set | frozenset):
        return ", is a list"
    if isinstance(value, int) and abs(value) >= 10**_LONGEST_SHOWN:
        return ", is far too large a number"
    plain = str(value) if isinstance(value, str) else value
    text = str(value).lower() if isinstance(value, bool) else repr(plain)
    return f", is {text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + '…'}"


def setting(
    meaning: str,
    *,
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
    check: Check | Iterable[Check] = (),
    convert: Callable[[Any], Any] | None = None,
) -> Any:
    """Declare one key of a section; without a default it must be given. The meaning goes to the reference."""
    checks = [check] if callable(check) else list(check)
    return attrs.field(
        default=attrs.Factory(factory) if factory else default,
        validator=attrs.validators.and_(*map(unless_none, checks)) if checks else None,
        converter=convert,
        metadata={MEANING: meaning},
    )


def is_secret(field: attrs.Attribute[Any]) -> bool:
    """Whether a key holds a secret, by its type or its name; its value then appears in no message."""
    return field.type in (Secret, Secret | None) or names_secret(field.alias or field.name)


def names_secret(key: str) -> bool:
    """Whether a key's name alone says that it holds a secret."""
    return _SECRET_NAME.search(key) is not None


def unless_none(check: Check) -> Check:
    """The check for keys that may stay away."""
    return lambda instance, attribute, value: None if value is None else check(instance, attribute, value)


def between(least: float, most: float) -> Check:
    """A number within bounds, both allowed."""
    def check(_: Any, __: Any, value: Any) -> None:
        if not least <= value <= most:
            raise Bad(f"must be {least} to {most}", value)
    return check


def at_least(least: float) -> Check:
    """A number with a lower bound."""
    def check(_: Any, __: Any, value: Any) -> None:
        if not value >= least:
            raise Bad(f"must be at least {least}", value)
    return check


def above_zero(_: Any, __: Any, value: Any) -> None:
    """A number greater than zero."""
    if not value > 0:
        raise Bad("must be above 0", value)


def not_empty(_: Any, __: Any, value: Any) -> None:
    """A text, path or list that holds something."""
    if not str(value).strip() or value in ((), []):
        raise Bad("must not be empty")


def host_name(_: Any, __: Any, value: Any) -> None:
    """A host's name or address, without scheme and port."""
    if not _HOST.match(value) and not is_address(value):
        raise Bad("must be a host name or an IP address, without scheme and port", value)


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a server bound to this host is out of reach of other machines."""
    return ipaddress.ip_address(host).is_loopback if is_address(host) else host.lower() == "localhost"


def url_of(*schemes: str) -> Check:
    """An URL, or a mapping of URLs, with one of the schemes and a host; not repeated, it may hold a key."""
    def check(_: Any, __: Any, value: Any) -> None:
        for url in value.values() if hasattr(value, "values") else (value,):
            if not _is_url(url, schemes):
                raise Bad(f"must be an URL as {schemes[-1]}://host or {schemes[-1]}://host:port/path")
    return check


def _is_url(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        return False
    blank = any(char.isspace() for char in url)
    return parts.scheme in schemes and bool(parts.hostname) and port_fits and not blank
