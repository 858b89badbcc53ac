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

OPS_PER_HOUR = 480
"""Subscribe, unsubscribe and login together. "The total number of 'subscribe'/'unsubscribe'/'login' requests
per connection is limited to 480 times per hour" (docs-v5, "Connect"): a request counts once, however many
arguments it has."""
_HOUR_US = 3_600 * US_PER_SEC
_REMEMBERED = 64


class Ledger:
    """What was asked of the venue and what is still to be acknowledged.

    ``request_bytes`` bounds one request. The last 64 requests are remembered by id, the oldest forgotten
    first, so that an error event can be traced to its arguments. Requests leave ``send_interval_sec`` apart:
    an acknowledgement is due ``ack_timeout_sec`` after its request can have left, not after it was made.
    """

    def __init__(self, request_bytes: int, ack_timeout_sec: float, send_interval_sec: float) -> None:
        self._request_bytes = request_bytes
        self._timeout_us = int(ack_timeout_sec * US_PER_SEC)
        self._interval_us = int(send_interval_sec * US_PER_SEC)
        self._free_us = 0
        self._answered_us: int | None = None
        self._known: set[Arg] = set()
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
        return [self._send("subscribe", part, now_us) for part in self._parts(args)]

    def resubscribe(self, args: Sequence[Arg], now_us: int) -> list[Send]:
        """Give these up and ask for them anew; empty when the hour's budget does not allow it."""
        parts = list(self._parts(args))
        if self._used(now_us) + 2 * len(parts) > OPS_PER_HOUR:
            return []
        return [
            *(self._send("unsubscribe", part, now_us) for part in parts),
            *(self._send("subscribe", part, now_us) for part in parts),
        ]

    def acknowledged(self, arg: Arg, now_us: int) -> None:
        """The venue confirms a subscription."""
        self._known.add(arg)
        self.refused(arg, now_us)

    def refused(self, arg: Arg, now_us: int) -> None:
        """The venue says no, which is an answer too."""
        self._answered_us = now_us
        self._pending.pop(arg, None)

    def give_up(self, arg: Arg) -> None:
        """Wait no longer for an answer that is overdue."""
        self._pending.pop(arg, None)

    def pending_of(self, request_id: str) -> list[Arg]:
        """What is still to be acknowledged of one request."""
        return [arg for arg in self._requests.get(request_id, ()) if arg in self._pending]

    def is_unsubscribe(self, request_id: str) -> bool:
        """Was it a request to give something up? Nothing is waited for then."""
        return request_id in self._requests and request_id.startswith("u")

    def overdue(self, now_us: int) -> list[Arg]:
        """Subscriptions whose acknowledgement should be here by now."""
        return [arg for arg, left_us in self._pending.items() if now_us >= left_us + self._timeout_us]

    def deaf(self, arg: Arg) -> bool:
        """Does the venue answer nothing at all, rather than not this one argument?

        What it has confirmed before, it knows: then only answers since the request left count.
        """
        if self._answered_us is None:
            return True
        return arg in self._known and self._answered_us < self._pending[arg]

    def _send(self, op: Literal["subscribe", "unsubscribe"], args: Sequence[Arg], now_us: int) -> Send:
        self._counter += 1
        request_id = f"{op[0]}{self._counter}"
        if len(self._requests) >= _REMEMBERED:
            del self._requests[next(iter(self._requests))]
        self._requests[request_id] = tuple(args)
        self._sent_us.append(now_us)
        leaves_us = max(now_us, self._free_us)
        self._free_us = leaves_us + self._interval_us
        if op == "subscribe":
            self._pending.update(dict.fromkeys(args, leaves_us))
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
