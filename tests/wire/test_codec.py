"""Compressed frames: whole ones come back, anything else is one clear error."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import DecodeError
from ctcore.wire import codec
from ctcore.wire.codec import inflater


def raw_deflate(data: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return machine.compress(data) + machine.flush()


PACK: dict[Any, Any] = {"gzip": gzip.compress, "deflate": raw_deflate}


def test_plain_frames_need_nothing():
    assert inflater("plain") is None


@pytest.mark.parametrize("name", PACK)
@given(frames=st.lists(st.binary(max_size=500), max_size=4))
def test_frames_come_back(name, frames):
    inflate = inflater(name)
    assert inflate is not None
    assert [inflate(PACK[name](frame)) for frame in frames] == frames


@pytest.mark.parametrize("name", PACK)
@given(junk=st.binary(min_size=1, max_size=50))
def test_junk_never_raises_anything_else(name, junk):
    inflate = inflater(name)
    assert inflate is not None
    with pytest.raises(DecodeError) as caught:
        inflate((b"\x1f\x8b\xff" if name == "gzip" else b"\xff") + junk)  # a reserved type of block
    assert caught.value.kind == "compression"


def test_a_frame_that_is_no_gzip_passes_as_it_is():
    inflate = inflater("gzip")
    assert inflate is not None
    assert [inflate(frame) for frame in (b'{"ping":1}', b"pong", b"")] == [b'{"ping":1}', b"pong", b""]


@given(cut=st.integers(2, 40))
def test_a_frame_cut_short_is_refused(cut):
    inflate = inflater("gzip")
    assert inflate is not None
    whole = gzip.compress(b"the whole of a frame, nothing less")
    with pytest.raises(DecodeError, match="gzip frame"):
        inflate(whole[: min(cut, len(whole) - 1)])


@pytest.mark.parametrize("name", PACK)
@pytest.mark.parametrize("more", [1, 100, 10_000])
def test_a_bomb_is_refused(name, more, monkeypatch):
    monkeypatch.setattr(codec, "MAX_INFLATED_BYTES", 10_000)
    inflate = inflater(name)
    assert inflate is not None
    assert len(inflate(PACK[name](b"x" * 9_999))) == 9_999
    with pytest.raises(DecodeError, match="beyond 10000 bytes"):
        inflate(PACK[name](b"x" * (10_000 + more)))
