"""Compression of whole frames, as some venues send them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Literal

from ctcore.errors import DecodeError

Codec = Literal["plain", "gzip", "deflate"]

MAX_INFLATED_BYTES = 32 * 1024 * 1024
"""Larger than any venue's frame: what inflates beyond it is an attack or an accident."""

_GZIP_MARK = b"\x1f\x8b"
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": -zlib.MAX_WBITS}


def inflater(codec: Codec) -> Callable[[bytes], bytes] | None:
    """The function that undoes ``codec`` on one frame, or None for ``plain``.

    A frame without the mark of gzip (RFC 1952, section 2.3.1) is returned by ``gzip`` as it is: venues that
    compress data send acknowledgements or pings in plain text beside it. Raises :class:`DecodeError` (kind
    ``compression``) on bytes that are not whole or inflate beyond :data:`MAX_INFLATED_BYTES`.
    """
    if codec == "plain":
        return None
    bits = _WINDOW_BITS[codec]

    def inflate(frame: bytes) -> bytes:
        if codec == "gzip" and frame[:2] != _GZIP_MARK:
            return frame
        machine = zlib.decompressobj(bits)
        try:
            data = machine.decompress(frame, MAX_INFLATED_BYTES)
        except zlib.error as error:
            raise DecodeError(f"{codec} frame of {len(frame)} bytes: {error}", kind="compression") from None
        if machine.unconsumed_tail or (len(data) == MAX_INFLATED_BYTES and not machine.eof):
            raise DecodeError(f"{codec} frame inflates beyond {MAX_INFLATED_BYTES} bytes", kind="compression")
        if codec == "gzip" and not machine.eof:
            raise DecodeError(f"{codec} frame of {len(frame)} bytes is cut short", kind="compression")
        return data

    return inflate
