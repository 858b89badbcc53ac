"""SUBSCRIBE frames on their way: what was asked, what was acknowledged, what was refused.

Binance acknowledges a frame as a whole and refuses it as a whole, without telling which stream was wrong. A
refused frame is therefore halved and sent again until the wrong stream stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ctcore.contracts.driver import Send
from ctcore.model.time import US_PER_SEC

STREAMS_PER_FRAME = 100
"""Some 3 KB: what other clients have long sent in one frame."""

ACK_SEC = 10.0
"""How long an acknowledgement may take beyond the pacing of what was sent before it."""


class Subscribing:
    """The open SUBSCRIBE requests of one connection."""

    def __init__(self, send_interval_sec: float) -> None:
        self._interval_us = int(send_interval_sec * US_PER_SEC)
        self._open: dict[int, tuple[str, ...]] = {}
        self._next_id = 1
        self._deadline_us = 0

    @property
    def settled(self) -> bool:
        """Every request was answered."""
        return not self._open

    def ask(self, streams: Sequence[str], now_us: int) -> list[Send]:
        """Subscribe to these, in frames of bounded size."""
        return [
            self._send(tuple(streams[start : start + STREAMS_PER_FRAME]), now_us)
            for start in range(0, len(streams), STREAMS_PER_FRAME)
        ]

    def restart(self, stream: str, now_us: int) -> list[Send]:
        """Unsubscribe and subscribe a stream that died."""
        return [self._send((stream,), now_us, "UNSUBSCRIBE"), self._send((stream,), now_us)]

    def acknowledged(self, request_id: object) -> tuple[str, ...]:
        """The streams that this answer confirms; none for a request that is not ours."""
        return self._open.pop(request_id, ()) if isinstance(request_id, int) else ()

    def refused(self, request_id: object, now_us: int) -> tuple[list[Send], str | None]:
        """What to send again, or the one stream that is refused for good."""
        streams = self.acknowledged(request_id)
        if len(streams) <= 1:
            return [], streams[0] if streams else None
        half = len(streams) // 2
        return [self._send(streams[:half], now_us), self._send(streams[half:], now_us)], None

    def overdue(self, now_us: int) -> bool:
        """A request waits for its answer beyond all patience."""
        return bool(self._open) and now_us > self._deadline_us

    def _send(self, streams: tuple[str, ...], now_us: int, method: str = "SUBSCRIBE") -> Send:
        """An answer to UNSUBSCRIBE confirms and refuses no stream."""
        request_id, self._next_id = self._next_id, self._next_id + 1
        self._open[request_id] = streams if method == "SUBSCRIBE" else ()
        patience_us = int(ACK_SEC * US_PER_SEC) + len(self._open) * self._interval_us
        self._deadline_us = max(self._deadline_us, now_us + patience_us)
        frame = {"method": method, "params": streams, "id": request_id}
        return Send(msgspec.json.encode(frame).decode())
