"""Subscribe and unsubscribe requests of one connection: paced by bytes, counted, and waited for.

The venue acknowledges each argument of a request apart, and allows 480 requests an hour and connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal

from ctcore.contracts.driver import Send
from ctcore.model.time import US_PER_SEC
from ctdaemon_okx.wire import REQUEST, Arg, Request

OPS_PER_HOUR = 480  # subscribe, unsubscribe and login together (docs-v5, "Connection count limit" and below)
_HOUR_US = 3_600 * US_PER_SEC
_REMEMBERED = 64


class Ledger:
    """What was asked of the venue and what is still to be acknowledged.

    ``request_bytes`` bounds one request. The last 64 requests are remembered by id, the oldest forgotten
    first, so that an error event can be traced to its arguments.
    """

    def __init__(self, request_bytes: int, ack_timeout_sec: float) -> None:
        self._request_bytes = request_bytes
        self._timeout_us = int(ack_timeout_sec * US_PER_SEC)
        self._pending: dict[Arg, int] = {}
        self._requests: dict[str, tuple[Arg, ...]] = {}
        self._sent_us: deque[int] = deque(maxlen=OPS_PER_HOUR)
        self._counter = 0

    @property
    def settled(self) -> bool:
        """Every subscription is acknowledged or refused."""
        return not self._pending

    def subscribe(self, args: Sequence[Arg], now_us: int) -> list[Send]:
        """Requests for all of these, none longer than allowed."""
        self._pending.update(dict.fromkeys(args, now_us + self._timeout_us))
        return [self._send("subscribe", part, now_us) for part in self._parts(args)]

    def resubscribe(self, arg: Arg, now_us: int) -> list[Send]:
        """Give one up and ask for it anew; empty when the hour's budget does not allow it."""
        if self._used(now_us) + 2 > OPS_PER_HOUR:
            return []
        return [self._send("unsubscribe", (arg,), now_us), *self.subscribe((arg,), now_us)]

    def settle(self, arg: Arg) -> bool:
        """It is acknowledged or refused; False when nobody waited for it."""
        return self._pending.pop(arg, None) is not None

    def pending_of(self, request_id: str) -> list[Arg]:
        """What is still to be acknowledged of one request."""
        return [arg for arg in self._requests.get(request_id, ()) if arg in self._pending]

    def overdue(self, now_us: int) -> Arg | None:
        """A subscription whose acknowledgement should be here by now."""
        return next((arg for arg, deadline_us in self._pending.items() if now_us >= deadline_us), None)

    def _send(self, op: Literal["subscribe", "unsubscribe"], args: Sequence[Arg], now_us: int) -> Send:
        self._counter += 1
        request_id = f"{op[0]}{self._counter}"
        if len(self._requests) >= _REMEMBERED:
            del self._requests[next(iter(self._requests))]
        self._requests[request_id] = tuple(args)
        self._sent_us.append(now_us)
        return Send(REQUEST.encode(Request(request_id, op, list(args))).decode())

    def _parts(self, args: Sequence[Arg]) -> Iterable[list[Arg]]:
        part: list[Arg] = []
        size = 0
        for arg in args:
            length = len(REQUEST.encode(arg)) + 1
            if part and size + length > self._request_bytes:
                yield part
                part, size = [], 0
            part.append(arg)
            size += length
        if part:
            yield part

    def _used(self, now_us: int) -> int:
        while self._sent_us and self._sent_us[0] <= now_us - _HOUR_US:
            self._sent_us.popleft()
        return len(self._sent_us)
