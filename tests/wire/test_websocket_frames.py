"""Frames cut anywhere, junk, bounds: what the WebSocket client makes of bytes."""

from __future__ import annotations

import struct

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.wire import websocket

from .pieces import (
    BINARY,
    CLOSE,
    CONT,
    CONVERSATION,
    MESSAGES,
    PING,
    PONG,
    TEXT,
    everything,
    frames,
)


async def test_frames_cut_anywhere_are_the_same_messages():
    """Every boundary of the small frames, and the whole answer in one piece with the handshake."""
    small = [part for part in CONVERSATION if len(part[1]) < 1_000]
    expected = [message for message in MESSAGES if len(message) < 1_000]
    text = frames(*small)
    assert (await everything(frames(*CONVERSATION), []))[0] == MESSAGES
    head = 200
    for cut in range(len(text) + head):
        got, error, sent = await everything(text, [cut])
        assert got == expected, cut
        assert error.code == 1006
        assert len(sent) == 7, "one pong, masked"
    got, _, _ = await everything(text, list(range(len(text) + head)))
    assert got == expected, "byte by byte"


PARTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([TEXT, BINARY]), st.binary(max_size=200), st.just(1)),
        st.tuples(st.just(TEXT), st.binary(max_size=300), st.integers(2, 4)),
        st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125), st.just(1)),
        st.tuples(st.just(BINARY), st.binary(min_size=1, max_size=3).map(lambda b: b * 30_000), st.just(1)),
    ),
    max_size=10,
)


@settings(deadline=None, max_examples=150)
@given(parts=PARTS, cuts=st.lists(st.integers(0, 100_000), max_size=8), control=st.booleans())
def test_any_conversation_in_any_pieces(parts, cuts, control):
    text, expected = b"", []
    for opcode, data, pieces in parts:
        if opcode in (TEXT, BINARY):
            expected.append(data)
        step = max(1, -(-len(data) // pieces))
        chunks = [data[at : at + step] for at in range(0, len(data), step)] or [b""]
        for index, chunk in enumerate(chunks):
            last = index == len(chunks) - 1
            text += frames((opcode if index == 0 else CONT, chunk, last))
            if control and not last:
                text += frames((PING, b"between", True))
    got, error, _ = trio.run(everything, text, cuts)
    assert got == expected
    assert error.code == 1006


@pytest.mark.parametrize(
    ("junk", "text"),
    [
        (b"\xff\xff\xff\xff\xff\xff", "no WebSocket"),
        (b"\x81\x85abcdhello", "no WebSocket"),
        (b"\x83\x00", "no WebSocket"),
        (b"\xc1\x01x", "no WebSocket"),
        (b"\x80\x01x", "no WebSocket"),
        (frames((TEXT, b"a", False), (TEXT, b"b", True)), "no WebSocket"),
        (b"\x89\x7e\x00\x80" + b"x" * 128, "no WebSocket"),
        (b"\x82\x7f" + struct.pack("!Q", 1 << 40), "no WebSocket"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "without a close frame"),
        (b"\x81\x05hel", "without a close frame"),
        (b"", "without a close frame"),
    ],
    ids=["ones", "masked", "opcode 3", "reserved bit", "continuation of nothing", "fragment in fragment",
         "long ping", "too long", "http", "cut short", "nothing"],
)  # fmt: skip
async def test_junk_ends_the_connection_after_what_was_good(junk, text):
    for good in ([], [b"good", b"too"]):
        before = frames(*((TEXT, message, True) for message in good))
        after = frames((TEXT, b"never read", True))
        got, error, _ = await everything(before + junk + (after if "no WebSocket" in text else b""), [])
        assert got == good
        assert text in str(error)
        assert str(error).startswith("venue:80/: ")
        assert error.code == 1006


async def test_a_message_of_many_fragments_is_bounded(monkeypatch):
    monkeypatch.setattr(websocket, "MAX_MESSAGE_BYTES", 1_000)
    fragments = [(TEXT, b"x" * 400, False)] + [(CONT, b"x" * 400, False)] * 5
    _, error, sent = await everything(frames(*fragments), [])
    assert "no WebSocket" in str(error)
    assert closing_code(sent) == 1009
    _, error, _ = await everything(frames((TEXT, b"x" * 70_000, True)), [])
    assert "no WebSocket" in str(error)


def closing_code(sent: bytes) -> int:
    """The code of a masked close frame."""
    mask, body = sent[2:6], sent[6:]
    return int.from_bytes(bytes(b ^ mask[i] for i, b in enumerate(body[:2])))


async def test_a_close_in_the_same_read_comes_after_the_messages_and_with_its_code():
    close = struct.pack("!H", 4_001) + b"maintenance"
    text = frames((TEXT, b"a", True), (CLOSE, close, True), (TEXT, b"b", True))
    got, error, sent = await everything(text, [])
    assert got == [b"a"]
    assert error.code == 4_001
    assert str(error) == "venue:80/: closed by the venue with code 4001 (maintenance)"
    assert closing_code(sent) == 4_001, "the close is echoed"
