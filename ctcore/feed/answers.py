"""Recorded REST answers, matched to what a session asks for. Pure; for :mod:`ctcore.feed.replay` only.

A recording was made by somebody else's client: its answers may stand before this session asks, come from
another host and have another limit. So an answer belongs to a :class:`Fetch` with the same path and the same
instrument, and one that comes early is held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import attrs

from ctcore.contracts.driver import Fetch, HttpResponse
from ctcore.errors import DecodeError
from ctcore.model.ids import InstrumentId
from ctcore.wire.recording import HttpLine

HELD_ANSWERS = 256
"""How many unasked answers are kept; the oldest is dropped and counted beyond it."""

SymbolOf = Callable[[InstrumentId], str]
HasBook = Callable[[InstrumentId], bool]


@attrs.frozen
class RecordedAnswer:
    """``path`` is None where the recording names no URL; ``names`` are the words of path and query."""

    status: int
    body: bytes
    path: str | None = None
    names: frozenset[str] = frozenset()

    def to(self, fetch: Fetch) -> HttpResponse:
        """This answer as the answer to ``fetch``."""
        return HttpResponse(fetch.request, self.status, self.body)


class AnswerDesk:
    """Pairs Fetches with answers, whichever comes first; both wait in order.

    ``symbol_of`` gives the venue's name of an instrument, ``has_book`` tells whether the session keeps a book
    of it.
    """

    def __init__(self, symbol_of: SymbolOf, has_book: HasBook) -> None:
        self.dropped = 0
        self._symbol_of = symbol_of
        self._has_book = has_book
        self._pending: list[Fetch] = []
        self._held: deque[RecordedAnswer] = deque()

    @property
    def pending(self) -> int:
        """Fetches that no answer has come to."""
        return len(self._pending)

    @property
    def held(self) -> int:
        """Answers that nobody has asked for."""
        return len(self._held)

    def ask(self, fetch: Fetch) -> RecordedAnswer | None:
        """The oldest held answer to ``fetch``; without one it waits for :meth:`answer`."""
        for index, answer in enumerate(self._held):
            if self._fits(fetch, answer):
                del self._held[index]
                return answer
        self._pending.append(fetch)
        return None

    def answer(self, answer: RecordedAnswer) -> Fetch | None:
        """The oldest waiting Fetch that ``answer`` belongs to; without one it is held."""
        for index, fetch in enumerate(self._pending):
            if self._fits(fetch, answer):
                return self._pending.pop(index)
        if len(self._held) >= HELD_ANSWERS:
            self._held.popleft()
            self.dropped += 1
        self._held.append(answer)
        return None

    def forget_pending(self) -> None:
        """The session that asked is gone."""
        self._pending.clear()

    def _fits(self, fetch: Fetch, answer: RecordedAnswer) -> bool:
        instrument = fetch.instrument
        if answer.path is None:
            return instrument is not None and self._has_book(instrument)
        if answer.path != urlsplit(fetch.request.url).path:
            return False
        return instrument is None or self._symbol_of(instrument).casefold() in answer.names


def read_answer(line: HttpLine) -> RecordedAnswer:
    """An ``http`` line as an answer; raises :class:`DecodeError` when its URL is none."""
    body = line.text.encode()
    if line.url is None:
        return RecordedAnswer(line.status, body)
    try:
        url = urlsplit(line.url)
    except ValueError as error:
        raise DecodeError(f"http line with url {line.url!r}: {error}", kind="recording") from None
    words = [value for _, value in parse_qsl(url.query)] + url.path.split("/")
    return RecordedAnswer(line.status, body, url.path, frozenset(word.casefold() for word in words))
