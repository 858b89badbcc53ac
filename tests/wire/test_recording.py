"""The recordings' format: what is written reads back, and a bad line is one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import ConfigError, DecodeError, StorageError
from ctcore.wire.recording import (
    CloseLine,
    HttpLine,
    InLine,
    OpenLine,
    OutLine,
    RecordedMessage,
    RecordingWriter,
    parse_line,
    parse_lines,
    read_recording,
)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    with RecordingWriter(path) as writer:
        writer.opened(1, "wss://venue/ws")
        writer.sent(2, '{"op":"subscribe"}')
        writer.received(3, '{"a":"\u20ac"}')
        writer.received(4, b"\x1f\x8b\x00")
        writer.answered(5, "GET", "https://venue/depth?symbol=X", 200, b'{"bids":[]}')
        writer.closed(6)
        assert writer.lines == 6
    recording = read_recording(path)
    assert not isinstance(recording, RecordedMessage)
    assert list(recording) == [
        (1, OpenLine(us=1, url="wss://venue/ws")),
        (2, OutLine(us=2, text='{"op":"subscribe"}')),
        (3, InLine(us=3, text='{"a":"\u20ac"}')),
        (4, InLine(us=4, b64=b"\x1f\x8b\x00")),
        (5, HttpLine(us=5, method="GET", url="https://venue/depth?symbol=X", status=200, text='{"bids":[]}')),
        (6, CloseLine(us=6)),
    ]


def test_a_writer_appends(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    for us in (1, 2):
        with RecordingWriter(path) as writer:
            writer.closed(us)
    assert path.read_bytes() == b'{"kind":"close","us":1}\n{"kind":"close","us":2}\n'


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        RecordingWriter(tmp_path / "missing" / "capture.jsonl")
    writer = RecordingWriter(tmp_path / "capture.jsonl")
    writer.close()
    with pytest.raises(StorageError, match="cannot be written"):
        writer.closed(1)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"us":1}',
        b'{"us":1,"kind":"telepathy"}',
        b'{"us":-1,"kind":"close"}',
        b'{"us":"1","kind":"close"}',
        b'{"us":1,"kind":"in"}',
        b'{"us":1,"kind":"in","text":"a","b64":"YQ=="}',
        b'{"us":1,"kind":"in","b64":"*"}',
        b'{"us":1,"kind":"http","status":200}',
    ],
)
def test_a_bad_line_is_one_error_with_its_place(line: bytes) -> None:
    with pytest.raises(DecodeError, match=r"^day\.jsonl:7: ") as caught:
        parse_line(line, "day.jsonl:7")
    assert caught.value.kind == "recording"


@given(st.binary(max_size=80))
def test_any_bytes_are_a_line_or_a_decode_error(data: bytes) -> None:
    for _, line in parse_lines([data], "x"):
        assert line.us >= 0 if not isinstance(line, DecodeError) else str(line).startswith("x:1: ")


def test_reading_goes_on_after_a_bad_line_and_empty_lines_count() -> None:
    lines = [b'{"us":1,"kind":"close"}\n', b"\n", b"junk\n", b'{"us":2,"kind":"close"}\n']
    found = list(parse_lines(lines, "f"))
    assert [number for number, _ in found] == [1, 3, 4]
    assert isinstance(found[1][1], DecodeError)
    assert str(found[1][1]).startswith("f:3: ")
    assert found[2][1] == CloseLine(us=2)


def test_a_file_of_one_message_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "message.json"
    path.write_bytes(b'{\n "e": "trade",\n "us": 1\n}\n')
    assert read_recording(path) == RecordedMessage(b'{\n "e": "trade",\n "us": 1\n}')
    path.write_bytes(b'{"encoding": "protobuf X", "hex": "0aff", "decoded": {}}')
    assert read_recording(path) == RecordedMessage(b"\x0a\xff")


def test_a_recording_is_known_by_its_first_line_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "capture.txt"
    path.write_bytes(b'{"us":1,"kind":"close"}\n')
    recording = read_recording(path)
    assert not isinstance(recording, RecordedMessage)
    assert list(recording) == [(1, CloseLine(us=1))]


def test_a_file_that_cannot_be_read_is_the_operators_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_recording(tmp_path / "missing.jsonl")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_recording(tmp_path)
