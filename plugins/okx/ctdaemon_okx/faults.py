"""What OKX says when it says no: code tables for REST answers and for error events of a stream.

Codes are strings, ``"0"`` is success, and the HTTP status may be 200 all the same
(https://www.okx.com/docs-v5/en/#error-code; cross-checked with the tables of public client libraries).
"""

from __future__ import annotations

import enum

from ctcore.contracts.driver import HttpResponse
from ctcore.errors import (
    RateLimited,
    RequestRefused,
    UnknownInstrument,
    VenueError,
    VenueUnavailable,
)
from ctdaemon_okx.wire import envelope

WINDOW_SEC = 2.0
"""Nearly every limit is "n per 2 s" and no answer carries Retry-After: wait out the window."""

ERROR_CODES: dict[str, type[VenueError]] = {
    "500": VenueUnavailable,    # internal server error, as a number
    "50001": VenueUnavailable,  # service temporarily unavailable
    "50004": VenueUnavailable,  # endpoint request timeout: the outcome is unknown
    "50005": VenueUnavailable,  # API is offline or unavailable
    "50011": RateLimited,       # requests too frequent, per endpoint
    "50013": VenueUnavailable,  # systems are busy
    "50026": VenueUnavailable,  # system error, try again later
    "50061": RateLimited,       # account-wide order rate
    "50000": RequestRefused,    # body can not be empty
    "50002": RequestRefused,    # JSON syntax error
    "50014": RequestRefused,    # a parameter can not be empty
    "50101": RequestRefused,    # API key does not match the environment (live or demo)
    "50102": RequestRefused,    # timestamp expired
    "50105": RequestRefused,    # passphrase
    "50110": RequestRefused,    # address not on the key's list
    "50111": RequestRefused,    # key
    "50112": RequestRefused,    # timestamp format
    "50113": RequestRefused,    # sign
    "51000": RequestRefused,    # parameter error
    "51001": UnknownInstrument,  # instrument does not exist
    "51014": UnknownInstrument,  # index does not exist
    "51015": RequestRefused,    # instrument and instType do not match
}  # fmt: skip
"""REST code to error class; a code that is not here is a plain :class:`VenueError`."""


class StreamFault(enum.Enum):
    """What an error event means for the connection."""

    REFUSED = enum.auto()
    """The named subscription, or every one of the request, will never come."""
    RECONNECT = enum.auto()
    """The connection is of no more use."""


STREAM_CODES: dict[str, StreamFault] = {
    "60012": StreamFault.REFUSED,    # illegal request
    "60018": StreamFault.REFUSED,    # wrong URL or channel does not exist
    "60019": StreamFault.REFUSED,    # invalid op
    "60029": StreamFault.REFUSED,    # channel needs a VIP level
    "60030": StreamFault.REFUSED,    # likewise
    "64003": StreamFault.REFUSED,    # likewise
    "64004": StreamFault.REFUSED,    # two deep books of one instrument on one connection
    "51001": StreamFault.REFUSED,    # instrument does not exist
    "60011": StreamFault.REFUSED,    # please log in
    "60005": StreamFault.RECONNECT,  # no traffic, or a key was refused
    "60014": StreamFault.RECONNECT,  # requests too frequent: this connection's hourly budget is gone
    "60020": StreamFault.RECONNECT,  # no subscription within 30 s
    "50001": StreamFault.RECONNECT,  # service unavailable
    "50026": StreamFault.RECONNECT,  # system error
}  # fmt: skip
"""Code of an ``event: error``; one that is not here refuses what it speaks of."""

MAINTENANCE_NOTICE = "64008"
"""``event: notice`` about 60 s before the venue closes the connection for an upgrade."""


def error_of(response: HttpResponse) -> VenueError | None:
    """The error an answer stands for, or None when it is a success."""
    status = response.status
    if status == 200 and response.body.startswith(b'{"code":"0"'):
        return None
    code, message = envelope(response.body)
    if status == 200 and code in ("0", ""):
        return None
    text = f"{response.request.label}: HTTP {status}, code {code or '-'}: {message or 'no message'}"
    kind = ERROR_CODES.get(code, VenueError)
    if status == 429 or kind is RateLimited:
        return RateLimited(text, code=code, status=status, retry_after_sec=WINDOW_SEC)
    if status >= 500:
        return VenueUnavailable(text, code=code, status=status)
    return kind(text, code=code, status=status)
