"""What a batcher tells of itself."""

from __future__ import annotations

import attrs


@attrs.frozen
class BatcherStatistics:
    """Gauges and counts. ``down``: the sink's last answer was an error. ``last_write_us`` is None before the
    first.

    ``buffered`` events are in memory and ``buffered_size`` is what they count there (1 each, and 1 for each
    level of an order book); ``refused`` events found no room anywhere; ``lost_streams`` wait to be whole
    again after that. ``put_aside`` batches were refused by the engine itself.
    """

    buffered: int
    buffered_size: int
    pending_batches: int
    spooled_batches: int
    spooled_bytes: int
    written_batches: int
    written_events: int
    refused: int
    put_aside: int
    lost_streams: int
    down: bool
    last_error: str
    last_write_us: int | None
