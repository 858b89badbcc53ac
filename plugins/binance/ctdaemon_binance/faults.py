"""Binance's error codes as ctcore's errors.

Source: ``errors.md`` of binance/binance-spot-api-docs; futures codes from the official SDK. Codes of orders
and accounts join with the private side.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from ctcore.contracts.driver import HttpResponse, RateNotice
from ctcore.errors import RateLimited, RequestRefused, UnknownInstrument, VenueError, VenueUnavailable
from ctdaemon_binance.wire import ERROR_BODY, NOT_JSON

ERROR_CODES: dict[int, type[VenueError]] = {
    -1000: VenueUnavailable,  # UNKNOWN
    -1001: VenueUnavailable,  # DISCONNECTED: internal error, try again
    -1002: RequestRefused,  # UNAUTHORIZED
    -1003: RateLimited,  # TOO_MANY_REQUESTS
    -1004: VenueUnavailable,  # SERVER_BUSY
    -1006: VenueUnavailable,  # UNEXPECTED_RESP
    -1007: VenueUnavailable,  # TIMEOUT
    -1008: VenueUnavailable,  # SERVER_BUSY: overloaded
    -1011: RequestRefused,  # this address cannot use the route
    -1015: RateLimited,  # TOO_MANY_ORDERS
    -1016: VenueUnavailable,  # SERVICE_SHUTTING_DOWN
    -1034: RateLimited,  # TOO_MANY_CONNECTIONS
    -1100: RequestRefused,  # ILLEGAL_CHARS
    -1101: RequestRefused,  # TOO_MANY_PARAMETERS
    -1102: RequestRefused,  # MANDATORY_PARAM_EMPTY_OR_MALFORMED
    -1103: RequestRefused,  # UNKNOWN_PARAM
    -1104: RequestRefused,  # UNREAD_PARAMETERS
    -1105: RequestRefused,  # PARAM_EMPTY
    -1120: RequestRefused,  # BAD_INTERVAL
    -1121: UnknownInstrument,  # BAD_SYMBOL
    -1122: UnknownInstrument,  # INVALID_SYMBOLSTATUS (futures: no such symbol in that state)
    -1130: RequestRefused,  # INVALID_PARAMETER
    -4108: VenueUnavailable,  # futures: symbol is closed, settling or being delivered
}
"""Any other code is :class:`RequestRefused` with a status below 500 and :class:`VenueUnavailable` above."""

_PARK_SEC = {429: 60.0, 418: 120.0, 403: 300.0}
"""Silence after a limit without ``Retry-After``: weights are counted by the minute, the shortest ban is two.
403 is the firewall's, which does not say how long: going on would only prolong it."""

_BANNED_UNTIL = re.compile(rb"banned until (\d{13})\b")

_LONGEST_PARK_SEC = 3 * 86_400.0
"""The longest ban that is documented."""


def error_of(response: HttpResponse) -> VenueError | None:
    """The error an answer stands for, or None for a good one."""
    if response.status == 200:
        return None
    try:
        body = ERROR_BODY.decode(response.body)
    except NOT_JSON:
        return _by_status(response, 0, "")
    kind = ERROR_CODES.get(body.code)
    if response.status in _PARK_SEC or kind is None or kind is RateLimited:
        return _by_status(response, body.code, body.msg, kind)
    return kind(_text(response, body.code, body.msg), code=str(body.code), status=response.status)


def rate_notice(response: HttpResponse) -> RateNotice:
    """What ``X-MBX-USED-WEIGHT-1M`` counts for the request's own bucket, and the silence that is asked
    for."""
    used_text = response.headers.get("x-mbx-used-weight-1m", "")
    used = {}
    if used_text.isascii() and used_text.isdigit():
        used = {bucket: int(used_text) for bucket in response.request.cost}
    return RateNotice(used, parked_sec(response) if response.status in _PARK_SEC else 0.0)


def parked_sec(response: HttpResponse) -> float:
    """Seconds of silence an answer 429, 418 or 403 wants: ``Retry-After``, or the ban that the text tells,
    reckoned from the answer's own ``Date``.
    """
    text = response.headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_PARK_SEC)
    least_sec = _PARK_SEC.get(response.status, 1.0)
    until, answered_sec = _BANNED_UNTIL.search(response.body), _answered_sec(response)
    if until is None or answered_sec is None:
        return least_sec
    return min(max(int(until[1]) / 1000 - answered_sec, 1.0), _LONGEST_PARK_SEC)


def _answered_sec(response: HttpResponse) -> float | None:
    """Seconds since 1970 by the venue's clock, which names the end of a ban too; whole seconds, cut off."""
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None


def _by_status(
    response: HttpResponse, code: int, message: str, kind: type[VenueError] | None = None
) -> VenueError:
    text, status = _text(response, code, message), response.status
    number = str(code) if code else ""
    if status in _PARK_SEC or kind is RateLimited:
        return RateLimited(text, code=number, status=status, retry_after_sec=parked_sec(response))
    if status >= 500:
        return VenueUnavailable(text, code=number, status=status)
    return RequestRefused(text, code=number, status=status)


def _text(response: HttpResponse, code: int, message: str) -> str:
    said = f" {code} {message[:200]}" if code else ""
    return f"binance {response.request.label}: HTTP {response.status}{said}"
