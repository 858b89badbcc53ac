"""The checksum of OKX books over the digits as sent: signed CRC32 of the best 25 levels of each side.

``bidPx:bidSz:askPx:askSz:...`` best first, the longer side going on alone. The global venue sends 0 since
2026-06-23; other venues that run the same software still send values.
"""

from __future__ import annotations

from zlib import crc32

from ctdaemon_okx.wire import TextRow

_LEVELS = 25


class TextBook:
    """An order book of strings; slow, and kept only where checksums are wanted.

    ``known`` is False until a snapshot came: before that there is nothing to compare.
    """

    def __init__(self) -> None:
        self.known = False
        self._bids: dict[float, str] = {}
        self._asks: dict[float, str] = {}

    def replace(self, row: TextRow) -> None:
        """Stand on a snapshot."""
        self.known = True
        self._bids.clear()
        self._asks.clear()
        self.update(row)

    def update(self, row: TextRow) -> None:
        """Apply absolute sizes; a size of zero deletes."""
        for side, levels in ((self._bids, row.bids), (self._asks, row.asks)):
            for level in levels:
                if float(level.size):
                    side[float(level.price)] = f"{level.price}:{level.size}"
                else:
                    side.pop(float(level.price), None)

    def checksum(self) -> int:
        """The value the venue would send now."""
        bids = [self._bids[price] for price in sorted(self._bids, reverse=True)[:_LEVELS]]
        asks = [self._asks[price] for price in sorted(self._asks)[:_LEVELS]]
        shared = min(len(bids), len(asks))
        parts = [text for pair in zip(bids, asks, strict=False) for text in pair]
        parts += bids[shared:] + asks[shared:]
        value = crc32(":".join(parts).encode())
        return value - (1 << 32) if value >= 1 << 31 else value
