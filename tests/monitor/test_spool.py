"""The spool: in order, bounded, and nothing acknowledged is lost wherever a crash cuts the file."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcore.errors import ConfigError, DecodeError, SpoolFull, StorageError
from ctcore.model.ids import Channel, InstrumentId, Market
from ctcore.model.market import (
    BookDelta,
    BookSnapshot,
    Candle,
    FundingRate,
    Gap,
    GapReason,
    Liquidation,
    MarketEvent,
    MarkPrice,
    OpenInterest,
    Side,
    Ticker,
    Trade,
)
from ctcore.monitor.spool import Spool
from ctcore.monitor.spool_format import pack, unpack

BTC = InstrumentId("binance", Market.SPOT, "BTC/USDT")
SWAP = InstrumentId("okx", Market.FUTURES, "BTC/USDT")

EVERY_KIND: list[MarketEvent] = [
    BookSnapshot(BTC, 1, 2, 3, [(100.5, 1.0)], []),
    BookDelta(SWAP, 1, 2, 3, 2, 4, [(100.5, 0.0)], [(101.0, 2.0), (102.0, 3.0)]),
    Trade(BTC, 1, 2, "7", 100.5, 0.1, Side.SELL),
    Ticker(BTC, 1, 2, 100.5, None, seq=9),
    Candle(BTC, 1, 2, "1m", 0, 1.0, 2.0, 0.5, 1.5, 10.0, 12.0, True),
    MarkPrice(SWAP, 1, 2, 100.5, None),
    FundingRate(SWAP, 1, 2, 0.0001, 99),
    OpenInterest(SWAP, 1, 2, 5.0),
    Liquidation(SWAP, 1, 2, Side.BUY, 1.0, 2.0),
    Gap(BTC, 1, 2, Channel.ORDERBOOK, GapReason.CHECKSUM, 1, None, "x"),
]


NESTED = st.recursive(
    st.integers(-2**60, 2**60) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=5))


def trades(number: int, count: int = 3) -> list[MarketEvent]:
    return [Trade(BTC, number, number, f"{number}-{i}", 100.0, 1.0, Side.BUY) for i in range(count)]


Opened = Callable[..., Spool]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens spools, and closes all of them at the end."""
    spools: list[Spool] = []

    def open_(directory: Path, **keys: int) -> Spool:
        spools.append(Spool(directory, **keys))
        spools[-1].open()
        return spools[-1]

    yield open_
    for spool in spools:
        spool.close()


def drain(spool: Spool) -> list[str]:
    found = []
    while (batch := spool.peek()) is not None:
        found.append(batch.batch_id)
        spool.ack(batch.batch_id)
    return found


def test_every_kind_of_event_comes_back_equal() -> None:
    assert unpack(pack("run-1", EVERY_KIND)) == ("run-1", EVERY_KIND)
    _, back = unpack(pack("run-1", EVERY_KIND))
    assert [type(level) for event in back[:2] for level in event.asks] == [tuple, tuple]  # type: ignore[attr-defined]


@settings(max_examples=200)
@given(junk=st.binary(max_size=40) | NESTED.map(
    lambda rows: msgspec.msgpack.encode([1, "id", [["b", "spot", "p"]], rows])))
def test_junk_is_a_decode_error(junk: bytes) -> None:
    with contextlib.suppress(DecodeError):
        unpack(junk)


def test_integers_beyond_64_bits_are_left_out() -> None:
    huge = BookDelta(BTC, 1, 2, 3, 2, 2**64, [], [])
    assert unpack(pack("run-1", [huge, *EVERY_KIND]))[1] == EVERY_KIND


def test_batches_come_back_in_order_over_restarts_and_segments(opened: Opened, tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=500)
    for number in range(10):
        spool.append(f"run-{number}", trades(number))
    assert len(list(tmp_path.glob("*.seg"))) > 2
    for number in range(4):
        batch = spool.peek()
        assert batch is not None
        assert (batch.batch_id, batch.events) == (f"run-{number}", trades(number))
        spool.ack(batch.batch_id)
    spool.close()
    spool = opened(tmp_path, segment_bytes=500)
    spool.append("run-10", trades(10))
    assert len(spool) == 7
    assert drain(spool) == [f"run-{number}" for number in range(4, 11)]
    assert list(tmp_path.glob("*.seg")) == []
    assert spool.statistics().bytes == 0


def test_an_ack_of_another_batch_does_nothing(opened: Opened, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append("run-1", trades(1))
    spool.ack("run-2")
    assert len(spool) == 1


def test_the_last_record_torn_at_every_byte(opened: Opened, tmp_path: Path) -> None:
    original = tmp_path / "original"
    spool = opened(original)
    spool.append("run-1", trades(1))
    segment = next(original.glob("*.seg"))
    before = segment.stat().st_size
    spool.append("run-2", trades(2))
    spool.close()
    whole = segment.read_bytes()
    for cut in range(before, len(whole) + 1):
        directory = tmp_path / "crash"
        shutil.copytree(original, directory)
        os.truncate(directory / segment.name, cut)
        spool = opened(directory)
        spool.append("run-3", trades(3))
        complete = cut == len(whole)
        assert drain(spool) == ["run-1", *(["run-2"] if complete else []), "run-3"]
        assert spool.statistics().damaged == (0 if complete or cut == before else 1)
        spool.close()
        shutil.rmtree(directory)


def test_every_flipped_byte_is_noticed(opened: Opened, tmp_path: Path) -> None:
    original = tmp_path / "original"
    spool = opened(original)
    spool.append("run-1", trades(1, 1))
    spool.close()
    segment = next(original.glob("*.seg"))
    whole = segment.read_bytes()
    for at in range(8, len(whole)):
        directory = tmp_path / "crash"
        shutil.copytree(original, directory)
        (directory / segment.name).write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1:])
        spool = opened(directory)
        assert drain(spool) == []
        spool.close()
        shutil.rmtree(directory)


def test_a_torn_cursor_offers_again_but_loses_nothing(opened: Opened, tmp_path: Path) -> None:
    original = tmp_path / "original"
    spool = opened(original)
    for number in range(4):
        spool.append(f"run-{number}", trades(number))
    for number in range(2):
        spool.ack(f"run-{number}")
    spool.close()
    cursor = (original / "cursor").read_bytes()
    left: list[str] = []
    for cut in range(len(cursor) + 1):
        directory = tmp_path / "crash"
        shutil.copytree(original, directory)
        (directory / "cursor").write_bytes(cursor[:cut])
        spool = opened(directory)
        left = drain(spool)
        assert left[-2:] == ["run-2", "run-3"]
        assert left == [f"run-{number}" for number in range(4 - len(left), 4)]
        spool.close()
        shutil.rmtree(directory)
    assert left == ["run-2", "run-3"]


def test_it_is_full_at_its_limit_and_takes_again_after_acks(opened: Opened, tmp_path: Path) -> None:
    spool = opened(tmp_path, max_bytes=2000)
    taken = 0
    while spool.statistics().bytes < 1800:
        spool.append(f"run-{taken}", trades(taken))
        taken += 1
    with pytest.raises(SpoolFull, match="2000 bytes"):
        spool.append("too much", trades(0, 50))
    assert 2 < taken < 20
    assert sum(path.stat().st_size for path in tmp_path.glob("*.seg")) <= 2000
    assert spool.statistics().refused == 1
    for number in range(3):
        spool.ack(f"run-{number}")
    spool.append("later", trades(0))
    assert drain(spool)[-1] == "later"


class Failing:
    """A file that takes ten bytes and then fails."""

    def __init__(self, inner: object, code: int) -> None:
        self.inner, self.code, self.taken = inner, code, False

    def write(self, data: bytes) -> int:
        if self.taken:
            raise OSError(self.code, os.strerror(self.code))
        self.taken = True
        return self.inner.write(bytes(data[:10]))  # type: ignore[attr-defined,no-any-return]

    def close(self) -> None:
        self.inner.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("code", "error"), [(errno.ENOSPC, SpoolFull), (errno.EIO, StorageError)])
def test_a_disk_that_fails_keeps_no_half_batch(
    opened: Opened, tmp_path: Path, code: int, error: type[Exception]
) -> None:
    spool = opened(tmp_path)
    spool.append("run-1", trades(1))
    spool._out = Failing(spool._out, code)  # type: ignore[assignment]
    with pytest.raises(error):
        spool.append("run-2", trades(2))
    spool.append("run-2", trades(2))
    assert drain(spool) == ["run-1", "run-2"]


def test_on_a_full_disk_nothing_is_left_however_often_it_is_tried(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path)
    spool.append("run-1", trades(1))
    before = {path.name: path.stat().st_size for path in tmp_path.glob("*.seg")}

    def full(file: BinaryIO, data: bytes) -> None:
        file.write(data[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("ctcore.monitor.spool._write_all", full)
        for _ in range(20):
            with pytest.raises(SpoolFull):
                spool.append("run-2", trades(2))
    assert {path.name: path.stat().st_size for path in tmp_path.glob("*.seg")} == before
    assert spool.statistics().bytes == sum(before.values())
    spool.append("run-2", trades(2))
    assert drain(spool) == ["run-1", "run-2"]


def test_a_damaged_record_costs_itself_and_its_segment_is_kept(opened: Opened, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    sizes = []
    for number in range(3):
        spool.append(f"run-{number}", trades(number))
        sizes.append(spool.statistics().bytes)
    spool.close()
    segment = next(tmp_path.glob("*.seg"))
    whole = bytearray(segment.read_bytes())
    whole[whole.index(b"1-2")] ^= 1  # in a trade's id in the second batch
    segment.write_bytes(whole)
    spool = opened(tmp_path)
    assert drain(spool) == ["run-0", "run-2"]
    assert {event.instrument for event in spool.take_lost()} == {BTC}
    assert spool.take_lost() == []
    assert spool.statistics().damaged == 1
    assert [path.read_bytes() for path in tmp_path.glob("*.damaged")] == [bytes(whole)]
    assert list(tmp_path.glob("*.seg")) == []


def test_a_length_that_leads_nowhere_ends_its_segment_which_is_kept(opened: Opened, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append("run-0", trades(0))
    at = spool.statistics().bytes
    spool.append("run-1", trades(1))
    spool.close()
    segment = next(tmp_path.glob("*.seg"))
    raw = bytearray(segment.read_bytes())
    raw[at + 3] = 0xFF
    segment.write_bytes(raw)
    spool = opened(tmp_path)
    spool.append("run-2", trades(2))
    assert drain(spool) == ["run-0", "run-2"]
    assert [path.read_bytes() for path in tmp_path.glob("*.damaged")] == [bytes(raw)]


def test_what_is_kept_for_a_look_is_bounded(opened: Opened, tmp_path: Path) -> None:
    spool = opened(tmp_path, max_bytes=8000)
    for number in range(20):
        path = spool.put_aside(f"history/run-{number:02}", trades(number))
        os.utime(path, (number, number))
    kept = sorted((tmp_path / "refused").iterdir())
    assert 2 < len(kept) < 20
    assert kept[-1].name == "history_run-19.seg"
    assert sum(path.stat().st_size for path in kept) <= 1000
    assert spool.statistics().put_aside == 20
    spool.close()
    kept[-1].rename(tmp_path / "spool-0000000001.seg")  # the operator's way back
    assert drain(opened(tmp_path)) == ["history/run-19"]


def test_another_process_is_refused(opened: Opened, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    code = f"import pathlib, ctcore.monitor.spool as s; s.Spool(pathlib.Path({str(tmp_path)!r})).open()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "ConfigError" in done.stderr.splitlines()[-1]
    spool.close()
    opened(tmp_path)


def test_a_folder_that_is_a_file_is_a_config_error(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(ConfigError, match="name another folder"):
        opened(tmp_path / "x")


def test_a_closed_spool_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(StorageError, match="not open"):
        spool.append("run-1", trades(1))
    assert list(tmp_path.iterdir()) == []
