"""The whole error tree. Imports nothing of ctcore.

::

    CtcoreError
    ├── ConfigError            the operator's files, environment or command line; mend and start again
    │   └── ConfigProblems     several of them, each with its place
    ├── PluginError            a plugin package cannot be used; it is disabled, the rest goes on
    ├── DecodeError            a frame, response or file is not what the venue documents
    │   └── OutdatedFormat     it is a form the venue has given up; refused, never half-read
    ├── VenueError             the venue answered "no"            (.retry tells whether asking again helps)
    │   ├── RateLimited        429, 418 and their like            (.retry_after_sec)
    │   ├── VenueUnavailable   maintenance, overload, 5xx
    │   ├── UnknownInstrument  no such symbol
    │   └── RequestRefused     the request itself is wrong
    ├── TransportError         the network, not the venue: connect, TLS, handshake, timeout, reset
    │   └── ConnectionLost     an open stream ended
    ├── StorageError           a sink or store could not keep what it was given
    │   └── SpoolFull          even the spool has no room left
    ├── MailboxFull            a consumer is too slow for a mailbox that may not drop
    └── ServiceFailed          a supervised service used up its restarts

Whose fault it is, is the class; whether another try can help, is :attr:`CtcoreError.retry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from ctcore.model.ids import Channel, InstrumentId


class CtcoreError(Exception):
    """Base of every error that ctcore raises on purpose. ``retry``: may the same call succeed later?"""

    retry = False


class ConfigError(CtcoreError):
    """The operator's files, environment or command line are wrong; the text names the place and the mend."""


class ConfigProblems(ConfigError):
    """Every problem of a configuration at once.

    ``problems`` are ready-made lines, each ``place: what is wrong; how to mend it``.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class PluginError(CtcoreError):
    """A plugin package cannot be used; the text starts with the package's name."""


class DecodeError(CtcoreError):
    """Bytes from outside are not what the venue documents.

    ``kind`` is a short stable label that counters and once-a-minute logging group by. ``instrument`` and
    ``channel`` name the stream where it is known in spite of the error: what was in the frame is missing
    there, and told as a gap.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "frame",
        instrument: InstrumentId | None = None,
        channel: Channel | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.instrument = instrument
        self.channel = channel


class OutdatedFormat(DecodeError):
    """A form of message that the venue has given up; it is refused rather than half-read."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind="outdated")


class VenueError(CtcoreError):
    """The venue answered, and the answer is no. ``code`` is the venue's own code as text."""

    def __init__(self, message: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class RateLimited(VenueError):
    """The venue wants silence for ``retry_after_sec`` seconds."""

    retry = True

    def __init__(
        self, message: str, *, code: str = "", status: int = 429, retry_after_sec: float = 1.0
    ) -> None:
        super().__init__(message, code=code, status=status)
        self.retry_after_sec = retry_after_sec


class VenueUnavailable(VenueError):
    """Maintenance or overload on the venue's side."""

    retry = True


class UnknownInstrument(VenueError):
    """The venue does not list that symbol."""


class RequestRefused(VenueError):
    """The request itself is wrong; sending it again cannot help."""


class TransportError(CtcoreError):
    """The network failed before the venue could answer."""

    retry = True


class ConnectionLost(TransportError):
    """An open stream ended. ``code`` is the WebSocket close code, 1006 when there was none."""

    def __init__(self, message: str, *, code: int = 1006) -> None:
        super().__init__(message)
        self.code = code


class StorageError(CtcoreError):
    """A sink or store could not keep what it was given."""

    retry = True


class SpoolFull(StorageError):
    """The bounded spool on disk has no room left: rows are being refused, and counted."""


class MailboxFull(CtcoreError):
    """A mailbox that may not drop anything is full: its consumer is too slow."""


class ServiceFailed(CtcoreError):
    """A supervised service used up its restarts."""


def raise_sole(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """Raise the one error that a group of failures stands for.

    Tasks of one nursery that fail together mostly tell one story: the first of our errors is raised alone.
    Where something else is in the group (a cancellation, a mistake of ours), that matters more and is raised
    as it is.
    """
    ours, others = group.split(CtcoreError)
    if others is not None:
        raise others from None
    first: BaseException = ours if ours is not None else group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    raise first from None
