"""Plain tables into attrs classes, with every problem kept and none of the secrets told."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from ctcore.config.secrets import UNREAD
from ctcore.config.setting import Bad, is_secret, names_secret
from ctcore.config.values import Invalid, KeyPath, Problem, make_converter
from ctcore.contracts.plugin.isolation import Failure, attempt

if TYPE_CHECKING:
    import cattrs

__all__ = ["KeyPath", "Problem", "keys_of", "secrets_in", "structure", "unknown"]

T = TypeVar("T")


def structure(cls: type[T], table: Any, *, also: Iterable[str] = ()) -> T | list[Problem]:
    """Make a ``cls`` of a table, or tell everything that is wrong with it.

    Keys named in ``also`` belong to somebody else: they are passed over, and proposed for misspelt ones.
    """
    try:
        return cast(T, _section(table, cls, frozenset(also)))
    except Invalid as invalid:
        return invalid.problems


def unknown(name: str, known: Iterable[str], *, what: str = "key") -> str:
    """``is not a known key; did you mean 'batch_size'?``."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"is not a known {what}; did you mean {near[0]!r}?"
    return f"is not a known {what}; the {what}s here are {', '.join(names) or 'none'}"


def keys_of(cls: type) -> dict[str, attrs.Attribute[Any]]:
    """The keys that a section's class takes."""
    fields = attrs.fields(attrs.resolve_types(cls))
    return {field.alias: field for field in fields if field.init and field.alias}


def secrets_in(raw: Any, *, known: bool = False) -> Iterator[str]:
    """The secrets within raw values, by the name of their key or because a reference gave them."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield from secrets_in(value, known=known or names_secret(key))
    elif isinstance(raw, list):
        for value in raw:
            yield from secrets_in(value, known=known)
    elif isinstance(raw, str) and raw and (known or _may_be_secret(raw)):
        yield str(raw)


def _may_be_secret(text: str) -> bool:
    # References also serve for ports and switches, which are no secrets and would mask half of every log.
    return getattr(text, "masked", False) and not text.isdecimal() and text.lower() not in ("true", "false")


def _section(table: Any, cls: type, also: frozenset[str] = frozenset()) -> Any:
    if not isinstance(table, dict):
        raise Invalid([Problem((), "must be a section of its own, a table of keys", table)])
    fields = keys_of(cls)
    strange = [key for key in table if key not in fields and key not in also]
    problems = [Problem((key,), unknown(key, {*fields, *also})) for key in strange]
    arguments: dict[str, Any] = {}
    whole = True
    for key, field in fields.items():
        if key not in table or _is_blank(table[key]):
            if field.default is attrs.NOTHING:
                problems.append(Problem((key,), "is missing; add it"))
                whole = False
            continue
        try:
            arguments[key] = _value(table[key], field.type)
        except Invalid as invalid:
            problems += [_below(key, problem, hidden=is_secret(field)) for problem in invalid.problems]
            whole = False
    made = attempt(lambda: cls(**arguments)) if whole else None
    if made is None or isinstance(made, Failure):
        problems += _refusals(cls, arguments, table)
    if isinstance(made, Failure) and not problems:
        problems.append(Problem((), _said(made, table)))
    if problems or made is None:
        raise Invalid(problems)
    return made


def _is_blank(value: Any) -> bool:
    """``key =`` in an INI file leaves the default, as in the original."""
    return value == "" and getattr(value, "loose", False) and not getattr(value, "masked", False)


def _below(key: str, problem: Problem, *, hidden: bool) -> Problem:
    return Problem((key, *problem.path), problem.expected, attrs.NOTHING if hidden else problem.value)


def _refusals(cls: type, arguments: dict[str, Any], table: dict[str, Any]) -> list[Problem]:
    """What each validator of the class says by itself, since a constructor stops at the first."""
    with attrs.validators.disabled():
        bare = attempt(lambda: cls(**arguments))
    problems = []
    for key, field in keys_of(cls).items():
        if field.validator is None or key not in arguments:
            continue
        # Without an instance (its own rules refuse it) the validators of single keys can still be asked.
        instance = None if isinstance(bare, Failure) else bare
        value = arguments[key] if instance is None else getattr(instance, field.name)
        outcome = attempt(functools.partial(field.validator, instance, field, value))
        if isinstance(outcome, Failure) and (instance is not None or isinstance(outcome.error, ValueError)):
            problems.append(Problem((key,), _said(outcome, {key: table[key]}, hidden=is_secret(field))))
    return problems


def _said(failure: Failure, table: dict[str, Any], *, hidden: bool = False) -> str:
    """What a check said, unless a secret is part of it."""
    secrets = [*secrets_in(table), *_masked(table)]
    if isinstance(failure.error, Bad):
        return failure.error.expected if hidden or secrets else str(failure.error)
    # The validators of attrs say what is wrong in the first argument, and add their objects behind it.
    first = failure.error.args[:1]
    text = first[0] if first and isinstance(first[0], str) else failure.text
    if hidden or any(secret in text for secret in secrets):
        return "is refused; why is not shown, it would tell a secret"
    return text or f"is refused ({type(failure.error).__name__})"


def _masked(raw: Any) -> Iterator[str]:
    if isinstance(raw, dict | list):
        for value in raw.values() if isinstance(raw, dict) else raw:
            yield from _masked(value)
    elif raw and getattr(raw, "masked", False):
        yield str(raw)


def _value(value: Any, wanted: Any) -> Any:
    """Structure one value; whatever goes wrong comes out as :class:`Invalid`."""
    if value is UNREAD:
        raise Invalid([])
    outcome = attempt(lambda: _converter().structure(value, wanted))
    if not isinstance(outcome, Failure):
        return outcome
    match outcome.error:
        case Invalid():
            raise outcome.error
        case Bad() as bad:
            raise Invalid([Problem((), bad.expected, bad.value)])
        case _:
            raise Invalid([Problem((), f"must be a {getattr(wanted, '__name__', wanted)}", value)])


@functools.cache
def _converter() -> cattrs.Converter:
    return make_converter(_section)
