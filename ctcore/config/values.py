"""What a single value of a configuration may look like: strict in TOML, lenient for loose texts."""

from __future__ import annotations

import collections.abc
import difflib
import enum
import functools
import math
import typing
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from ctcore.config.secrets import UNREAD, Secret, Text
from ctcore.config.setting import Bad, shown

if TYPE_CHECKING:
    import cattrs

KeyPath: TypeAlias = tuple[str | int, ...]

# What the original's INI reader takes, in any case.
_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "n", "no", "off"})

_SEQUENCES: dict[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: tuple,
    collections.abc.Set: frozenset,
}
_MAPPINGS: tuple[Any, ...] = (dict, collections.abc.Mapping)


@attrs.frozen
class Problem:
    """One thing wrong below a table: where, what is expected, and the value unless it is a secret."""

    path: KeyPath
    expected: str
    value: Any = attrs.field(factory=lambda: attrs.NOTHING)

    @property
    def text(self) -> str:
        """``must be at least 1, is 0``."""
        return f"{self.expected}{shown(self.value)}"


class Invalid(Exception):
    """Problems on their way up."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        super().__init__("invalid")
        self.problems = list(problems)


def make_converter(section: Callable[[Any, type], Any]) -> cattrs.Converter:
    """The converter of all configurations; ``section`` makes attrs classes of tables."""
    import cattrs

    converter = cattrs.Converter(detailed_validation=False)
    for wanted, hook in _LEAVES.items():
        converter.register_structure_hook(wanted, functools.partial(_leaf, hook))
    converter.register_structure_hook(enum.Enum, _enum)
    converter.register_structure_hook_func(_is_literal, _literal)
    converter.register_structure_hook_func(attrs.has, section)
    converter.register_structure_hook_func(
        lambda wanted: typing.get_origin(wanted) in _SEQUENCES,
        lambda value, wanted: _sequence(converter, value, wanted),
    )
    converter.register_structure_hook_func(
        lambda wanted: typing.get_origin(wanted) in _MAPPINGS,
        lambda value, wanted: _mapping(converter, value, wanted),
    )
    return converter


def _is_loose(value: Any) -> bool:
    return isinstance(value, Text) and value.loose


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _integer(value: Any, _: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if _is_loose(value):
        try:
            return int(value)
        except ValueError:
            pass
    raise Bad("must be a whole number", value)


def _number(value: Any, _: Any) -> float:
    if _is_number(value) or _is_loose(value):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise Bad("must be a number", value)


def _decimal(value: Any, _: Any) -> Decimal:
    if _is_number(value) or _is_loose(value):
        try:
            number = Decimal(str(value).strip())
        except (InvalidOperation, ValueError):
            number = Decimal("nan")
        if number.is_finite():
            return number
    raise Bad("must be a number", value)


def _boolean(value: Any, _: Any) -> bool:
    if isinstance(value, bool):
        return value
    if _is_loose(value) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise Bad("must be true or false", value)


def _text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise Bad("must be a text in quotes", value)
    if "\0" in value:
        raise Bad("must not hold a null character")
    return str(value)


def _path(value: Any, _: Any) -> Path:
    text = _text(value, str)
    if not text.strip():
        raise Bad("must not be empty")
    return Path(text)


def _secret(value: Any, _: Any) -> Secret:
    if not isinstance(value, str):
        raise Bad("must be a text in quotes")
    return Secret(str(value))


_LEAVES: dict[Any, Callable[[Any, Any], Any]] = {
    int: _integer,
    float: _number,
    Decimal: _decimal,
    bool: _boolean,
    str: _text,
    Path: _path,
    Secret: _secret,
}


def _leaf(hook: Callable[[Any, Any], Any], value: Any, wanted: Any) -> Any:
    # The hook of str also gets the enumerations of texts, by the order of their base classes.
    return (_enum if issubclass(wanted, enum.Enum) else hook)(value, wanted)


def _enum(value: Any, wanted: type[enum.Enum]) -> Any:
    return _choice(value, {str(member.value): member for member in wanted})


def _is_literal(wanted: Any) -> bool:
    return typing.get_origin(wanted) is typing.Literal


def _literal(value: Any, wanted: Any) -> Any:
    return _choice(value, {str(choice): choice for choice in typing.get_args(wanted)})


def _choice(value: Any, choices: dict[str, Any]) -> Any:
    text = str(value).strip().lower() if isinstance(value, str) or type(value) is int else ""
    if text in choices and (isinstance(value, str) or type(choices[text]) is int):
        return choices[text]
    near = difflib.get_close_matches(text, choices, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near and not getattr(value, "masked", False) else ""
    raise Bad(f"must be one of {', '.join(choices)}{hint}", value)


def _sequence(converter: cattrs.Converter, value: Any, wanted: Any) -> Any:
    if _is_loose(value):
        parts = [part.strip() for part in value.split(",")]
        value = [Text(part, loose=True, masked=value.masked) for part in parts if part]
    if not isinstance(value, list):
        raise Bad("must be a list, in square brackets", value)
    item_type = (*typing.get_args(wanted), Any)[0]
    items = _each(converter, enumerate(value), item_type)
    return _SEQUENCES[typing.get_origin(wanted)](item for _, item in items)


def _mapping(converter: cattrs.Converter, value: Any, wanted: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Bad("must be a table of keys", value)
    item_type = (*typing.get_args(wanted), Any, Any)[1]
    return dict(_each(converter, value.items(), item_type))


def _each(
    converter: cattrs.Converter, pairs: Iterable[tuple[Any, Any]], item_type: Any
) -> list[tuple[Any, Any]]:
    """Structure every item, and tell of every item that is wrong."""
    done, problems, unread = [], [], False
    for key, item in pairs:
        if item is UNREAD:
            unread = True
            continue
        try:
            done.append((key, converter.structure(item, item_type)))
        except Bad as bad:
            problems.append(Problem((key,), bad.expected, bad.value))
        except Invalid as invalid:
            problems += [Problem((key, *each.path), each.expected, each.value) for each in invalid.problems]
    if problems or unread:
        raise Invalid(problems)
    return done
