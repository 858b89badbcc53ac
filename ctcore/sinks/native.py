"""ClickHouse's Native format, the writing half: columns of a block as bytes. Knows no tables and no events.

A block is ``columns, rows`` and then for each column ``name, type, data``; numbers in counts are LEB128.
Fixed-width data is the memory of an array, little-endian, which :mod:`array` has ready on every machine
ctcore runs on. Source: https://clickhouse.com/docs/interfaces/formats/Native
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TypeAlias

Column: TypeAlias = tuple[str, str, bytes]
"""``(name, type, data)``."""

TIME = "DateTime64(6, 'UTC')"


def block(rows: int, columns: Sequence[Column]) -> bytes:
    """One block of ``rows`` rows."""
    parts = [_varint(len(columns)), _varint(rows)]
    for name, kind, data in columns:
        parts += (_text(name), _text(kind), data)
    return b"".join(parts)


def int64(values: Iterable[int]) -> bytes:
    """Int64, DateTime64; raises OverflowError for a value of more than 64 bits."""
    return _bytes(array("q", values))


def uint64(values: Iterable[int]) -> bytes:
    """UInt64."""
    return _bytes(array("Q", values))


def uint32(values: Iterable[int]) -> bytes:
    """UInt32."""
    return _bytes(array("I", values))


def uint16(values: Iterable[int]) -> bytes:
    """UInt16."""
    return _bytes(array("H", values))


def uint8(values: Iterable[int]) -> bytes:
    """UInt8, and the null map of a nullable column."""
    return _bytes(array("B", values))


def float64(values: Iterable[float]) -> bytes:
    """Float64."""
    return _bytes(array("d", values))


def strings(values: Iterable[str]) -> bytes:
    """String: each with its length in bytes before it."""
    return b"".join([_text(value) for value in values])


def maybe_float64(values: Sequence[float | None]) -> bytes:
    """Nullable(Float64)."""
    nulls = uint8([value is None for value in values])
    return nulls + float64([0.0 if value is None else value for value in values])


def maybe_int64(values: Sequence[int | None]) -> bytes:
    """Nullable(Int64), Nullable(DateTime64)."""
    nulls = uint8([value is None for value in values])
    return nulls + int64([0 if value is None else value for value in values])


def offsets(lengths: Iterable[int]) -> bytes:
    """Where each row's array ends; an array column is this, then all elements."""
    return uint64(accumulate(lengths))


def repeat_uint64(value: int, rows: int) -> bytes:
    """UInt64, the same in every row."""
    return value.to_bytes(8, "little") * rows


def _bytes(values: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _text(text: str) -> bytes:
    raw = text.encode()
    return _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    if value < 128:
        return value.to_bytes(1, "little")
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
