"""What crosses between a driver and whoever performs its I/O: requests, responses and effects, all plain
data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs
import msgspec

from ctcore.model.ids import InstrumentId
from ctcore.model.market import MarketEvent


@attrs.frozen
class HttpRequest:
    """One REST call, ready to be sent.

    ``cost`` says what it takes from each of the venue's rate buckets (names as in
    :class:`~ctcore.contracts.driver.facts.RateLimit`). ``label`` names it in logs, without secrets.
    """

    method: str
    url: str
    label: str
    cost: Mapping[str, int] = attrs.field(factory=dict)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    timeout_sec: float = 10.0


@attrs.frozen
class HttpResponse:
    """A venue's answer, of any status; header names are lower case."""

    request: HttpRequest
    status: int
    body: bytes = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)


class Send(msgspec.Struct, frozen=True):
    """Send a frame. The runner paces frames by the plan's ``send_interval_sec``, in order.

    An ``urgent`` one, such as the answer to a venue's ping, overtakes those that wait, and is not paced.
    """

    data: str | bytes
    urgent: bool = False


class Fetch(msgspec.Struct, frozen=True):
    """Perform a REST call after ``delay_sec`` and hand the answer to ``session.fetched``.

    ``purpose`` and ``instrument`` are the session's own notes on what it asked for.
    """

    request: HttpRequest
    purpose: str
    instrument: InstrumentId | None = None
    delay_sec: float = 0.0


class Retire(msgspec.Struct, frozen=True):
    """The venue announced the end of this connection: open its successor first, then close this one."""

    reason: str


class Close(msgspec.Struct, frozen=True):
    """This connection is of no use any more: close it and connect anew."""

    reason: str


class Control(msgspec.Struct, frozen=True):
    """The venue said something that is no market data: an ack, a pong, a notice, a refusal.

    Nothing has to be done about it; it is counted, shown by ``decode`` and logged at debug level (``error``
    kinds as warnings).
    """

    kind: str
    data: Mapping[str, Any]


Effect: TypeAlias = MarketEvent | Send | Fetch | Retire | Close | Control
"""What a session wants done: a market event is to be published, the rest performed, in the order given."""
