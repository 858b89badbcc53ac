"""Reading the parameters of a call: a struct names and bounds them, for reading and for the schema alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request

from ctcore.api.errors import ApiError
from ctcore.model.ids import Channel, InstrumentId, Market

DEPTH_DEFAULT = 20
DEPTH_LARGEST = 5_000

REFERENCE = "#/components/schemas/{name}"
"""Where a schema by this name stands in the OpenAPI document."""

T = TypeVar("T")

_EXCHANGE = r"^[a-z0-9_-]{1,32}$"
_PAIR = r"^[^/\s]{1,32}/[^/\s]{1,64}$"
_FOLD = {"exchange": str.lower, "market": str.lower, "channel": str.lower, "pair": str.upper}
_FIELD = re.compile(r" - at `\$\.(\w+)`$")
_NAMED = re.compile(r"field `(.*)`", re.DOTALL)
_ECHO_LONGEST = 60  # of what the caller wrote, repeated to the caller

Exchange = Annotated[str, Meta(pattern=_EXCHANGE, description="id of an exchange, like binance")]
MarketName = Annotated[Market, Meta(description="spot or futures")]
Pair = Annotated[str, Meta(pattern=_PAIR, description="BASE/QUOTE, like BTC/USDT or BTC/USDT-261225")]


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The call takes no parameters."""


class ControlQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do with the workers."""

    action: Annotated[Literal["start", "stop"], Meta(description="start or stop")]


class StreamsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which streams; a filter left out takes all."""

    exchange: Exchange | UnsetType = UNSET
    market: MarketName | UnsetType = UNSET
    pair: Pair | UnsetType = UNSET
    channel: Annotated[Channel, Meta(description="one of " + ", ".join(Channel))] | UnsetType = UNSET


class BookPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which instrument. The slash of the pair may stand as it is or as ``%2F``."""

    exchange: Exchange
    market: MarketName
    pair: Pair

    def instrument(self) -> InstrumentId:
        """As ctcore names it."""
        return InstrumentId(self.exchange, self.market, self.pair)


class BookQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How deep, and when."""

    depth: Annotated[int, Meta(ge=0, le=DEPTH_LARGEST, description=(
        f"levels a side, 1 to {DEPTH_LARGEST}; 0 is the whole book"))] = DEPTH_DEFAULT
    at: Annotated[str, Meta(min_length=1, max_length=40, description=(
        "a moment: 2026-01-31T12:00:00.5Z (UTC unless an offset is written, its + as %2B) "
        "or an epoch number in s, ms or us; left out: now"))] | UnsetType = UNSET


def read_query(request: Request, shape: type[T]) -> T:
    """The query as a struct; raises :class:`ApiError` 400 that names the parameter and what it may be."""
    pairs = request.query_params.multi_items()
    for name, times in Counter(name for name, _ in pairs).items():
        if times > 1:
            raise ApiError(400, "invalid_parameter", f"{_echo(name)} is given {times} times; give it once",
                           place=f"query.{_echo(name)}")
    return _read(dict(pairs), shape, "query")


def read_path(request: Request, shape: type[T]) -> T:
    """The path's parameters as a struct; raises as :func:`read_query` does."""
    return _read(request.path_params, shape, "path")


@cache
def properties_of(shape: type) -> dict[str, dict[str, Any]]:
    """The JSON schema of each parameter, by name."""
    _, components = msgspec.json.schema_components([shape], ref_template=REFERENCE)
    found: dict[str, dict[str, Any]] = components[shape.__name__]["properties"]
    return found


def _read(raw: Mapping[str, str], shape: type[T], where: str) -> T:
    folded = {name: _FOLD[name](value) if name in _FOLD else value for name, value in raw.items()}
    try:
        return msgspec.convert(folded, shape, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(str(error), shape, where) from None


def _explained(problem: str, shape: type, where: str) -> ApiError:
    known = properties_of(shape)
    field = _FIELD.search(problem)
    if field is not None:
        name = field.group(1)
        what = problem[: field.start()].replace("`", "")
        why = "" if "regex" in what else f" ({_echo(what)})"  # what a pattern means, its description says
        message = f"Invalid {name}{why}; {name} is {known[name].get('description', 'another')}"
        return ApiError(400, "invalid_parameter", message, place=f"{where}.{name}")
    named = _NAMED.search(problem)
    name = _echo(named.group(1)) if named is not None else ""
    if name in known:
        message = f"Missing {name} parameter; {name} is {known[name].get('description', 'needed')}"
        return ApiError(400, "missing_parameter", message, place=f"{where}.{name}")
    takes = f"the call takes {', '.join(known)}" if known else "the call takes none"
    message = f"there is no parameter {name!r}; {takes}"
    return ApiError(400, "unknown_parameter", message, place=f"{where}.{name}")


def _echo(text: str) -> str:
    return text if len(text) <= _ECHO_LONGEST else text[:_ECHO_LONGEST] + "…"
