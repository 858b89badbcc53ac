"""Time is an integer of microseconds since 1970-01-01 UTC. No clock is read here."""

from __future__ import annotations

import datetime as dt

from ctcore.errors import ConfigError

US_PER_SEC = 1_000_000
US_PER_MS = 1_000

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def iso(us: int) -> str:
    """``2026-01-31T12:00:00.000001Z``."""
    moment = _EPOCH + dt.timedelta(microseconds=us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def parse_time(text: str) -> int:
    """Read a moment given by a person.

    Accepts ISO 8601 (UTC when no offset is written) and an epoch number in seconds, milliseconds or
    microseconds, told apart by size. Raises :class:`ConfigError` for anything else.
    """
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        return _epoch_us(text, number)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a time; write 2026-01-31T12:00:00.5Z or an epoch number in s, ms or us"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _epoch_us(text: str, number: float) -> int:
    if not 0 <= number < 1e17:
        raise ConfigError(f"{text!r} is out of range for an epoch time")
    if number < 1e11:
        return round(number * US_PER_SEC)
    if number < 1e14:
        return round(number * US_PER_MS)
    return int(text) if text.isdigit() else round(number)
