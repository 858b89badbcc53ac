"""The ``[exchanges.okx]`` section beyond the keys all exchanges share."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs import validators


@attrs.frozen(kw_only=True)
class OkxConfig:
    """What is uncertain or a matter of taste about OKX; the defaults suit the public live environment.

    ``quotes`` is where the best bid and offer of a ticker come from: ``bbo-tbt`` (every 10 ms on change,
    beside ``tickers`` for the rest) or ``tickers`` alone, whose quotes may lag by seconds.
    ``seed_after_sec`` is how long a snapshot in the stream is waited for before the book is seeded by
    REST, with ``seed_depth`` levels a side. ``validate_checksum`` checks non-zero checksums of books
    (slow; the global venue sends 0 since 2026-06-23). ``books_per_connection`` counts deep book channels,
    ``channels_per_connection`` all. ``ping_after_sec`` of silence is followed by a ping: the venue closes
    after 30 s.
    """

    quotes: Literal["bbo-tbt", "tickers"] = attrs.field(
        default="bbo-tbt", validator=validators.in_(("bbo-tbt", "tickers")))
    seed_after_sec: float = attrs.field(default=3.0, validator=[validators.ge(0.5), validators.le(60)])
    seed_depth: int = attrs.field(default=400, validator=[validators.ge(1), validators.le(400)])
    validate_checksum: bool = False
    books_per_connection: int = attrs.field(default=28, validator=[validators.ge(1), validators.le(29)])
    channels_per_connection: int = attrs.field(default=120, validator=[validators.ge(5), validators.le(1000)])
    request_bytes: int = attrs.field(default=16_384, validator=[validators.ge(1_000), validators.le(65_536)])
    send_interval_sec: float = attrs.field(default=0.25, validator=[validators.ge(0), validators.le(5)])
    ping_after_sec: float = attrs.field(default=20.0, validator=[validators.ge(5), validators.le(25)])
    ack_timeout_sec: float = attrs.field(default=15.0, validator=[validators.ge(1), validators.le(60)])
