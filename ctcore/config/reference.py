"""The reference of all keys, from the classes themselves: the documentation is checked against it."""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs

from ctcore.config.load import SECTIONS, Plugins
from ctcore.config.schema import ExchangeSection, SimulatorConfig, SinkSection, SubscriptionConfig
from ctcore.config.secrets import Secret
from ctcore.config.setting import MEANING
from ctcore.config.structure import keys_of

_WORDS: Final[dict[Any, str]] = {
    int: "whole number", float: "number", Decimal: "number", bool: "true or false", str: "text", Path: "path",
    Secret: "secret", Any: "anything",
}


@attrs.frozen
class KeyReference:
    """One key: its section as written in TOML, its type and default in words (``required`` without one)."""

    section: str
    key: str
    type: str
    default: str
    meaning: str


def describe(plugins: Plugins | None = None) -> Iterator[KeyReference]:
    """Every key of every section; with ``plugins`` also those of their exchanges and sinks."""
    for name, cls in SECTIONS.items():
        yield from _keys(f"[{name}]", cls)
        if name == "monitor":
            yield from _keys("[[monitor.subscriptions]]", SubscriptionConfig)
    yield from _keys("[exchanges.<id>]", ExchangeSection)
    yield from _keys("[exchanges.<id>.simulator]", SimulatorConfig)
    yield from _keys("[sinks.<name>]", SinkSection)
    if plugins is None:
        return
    for exchange, driver in plugins.drivers.items():
        if driver.config_type is not None:
            yield from _keys(f"[exchanges.{exchange}]", driver.config_type)
    for kind, sink in plugins.sinks.items():
        yield from _keys(f'[sinks.<name>] kind = "{kind}"', sink.config_type)


def reference_tables(plugins: Plugins | None = None) -> dict[str, str]:
    """A Markdown table of the keys of each section that :func:`describe` knows."""
    tables: dict[str, list[str]] = {}
    for item in describe(plugins):
        rows = tables.setdefault(item.section, ["| key | type | default | meaning |", "|---|---|---|---|"])
        rows.append(f"| `{item.key}` | {item.type} | {item.default} | {item.meaning} |")
    return {section: "\n".join(rows) for section, rows in tables.items()}


def _keys(section: str, cls: type) -> Iterator[KeyReference]:
    for key, field in keys_of(cls).items():
        meaning = field.metadata.get(MEANING, "")
        yield KeyReference(section, key, _type_words(field.type), _default_words(field), meaning)


def _type_words(wanted: Any) -> str:
    if wanted in _WORDS:
        return _WORDS[wanted]
    if attrs.has(wanted):
        return "table"
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        return ", ".join(f"`{member.value}`" for member in wanted)
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in inner)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type_words(choice) for choice in inner if choice is not type(None))
    if origin in (dict, collections.abc.Mapping):
        return f"table of {_type_words(inner[1])}s"
    words = _type_words(inner[0]) if inner else "anything"
    return f"list of {words if words.startswith('`') else words + 's'}"


def _default_words(field: attrs.Attribute[Any]) -> str:
    default: Any = field.default
    if default is attrs.NOTHING:
        return "required"
    if not isinstance(default, str | Path | bool | int | float | Decimal | tuple) or default in ((), ""):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        items = ", ".join(f'"{item}"' for item in default)
        return f"`[{items}]`"
    return f'`"{default}"`' if isinstance(default, str | Path) else f"`{default}`"
