"""The driver and the sink of the guides work: the driver passes what real ones pass."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from ctcore.contracts.plugin.inspection import check_module
from ctcore.errors import DecodeError, StorageError
from ctcore.feed.replay import Refused, Replay, Replayed
from ctcore.model.ids import Market
from ctcore.testing import conformance
from ctcore.wire.recording import HttpLine, InLine, OpenLine, RecordedLine

HOOKS = ("ctcore_register_drivers", "ctcore_register_sinks")


@pytest.fixture(scope="module")
def acme() -> Any:
    plugin: Any = importlib.import_module("ctdaemon_acme.plugin")
    check_module(plugin, HOOKS)
    (found,) = plugin.ctcore_register_drivers()
    return found


async def test_acme_without_faults(acme: Any, autojump_clock: MockClock) -> None:
    await conformance.check_clean(acme, seconds=20.0)


@pytest.mark.parametrize("fault", ["gap", "corrupt", "venue_notice"])
async def test_acme_under_faults(acme: Any, fault: str, autojump_clock: MockClock) -> None:
    await conformance.check_fault(acme, fault)


def test_acme_reads_a_recording(acme: Any) -> None:
    replay = Replay(acme.create(acme.info.environments["live"], None), Market.SPOT)
    book = '{"t":"book","s":"X","us":5,"first":%d,"last":%d,"bids":[["%s","1"]],"asks":[]}'
    picture = '{"us":4,"last":1,"bids":[["9","1"]],"asks":[["10","1"]]}'
    lines: list[RecordedLine] = [
        OpenLine(us=1),
        InLine(us=2, text=book % (2, 2, "9.1")),
        HttpLine(us=3, method="GET", url="http://acme/book?symbol=X", status=200, text=picture),
        InLine(us=4, text=book % (3, 3, "9.2")),
        InLine(us=5, text="{"),
        InLine(us=6, text=book % (5, 5, "9.3")),
    ]
    outcomes = list(replay.run(enumerate(lines, 1)))
    assert [outcome.line for outcome in outcomes if isinstance(outcome, Refused)] == [5]
    assert all(isinstance(o.error, DecodeError) for o in outcomes if isinstance(o, Refused))
    assert len([outcome for outcome in outcomes if isinstance(outcome, Replayed)]) >= 5
    (summary,) = replay.summaries(3)
    counts = [summary[name] for name in ("snapshots", "deltas_applied", "gaps", "in_sync")]
    assert counts == [1, 2, 1, False]


def test_a_sink_that_cannot_write_says_so(tmp_path: Path) -> None:
    package: Any = importlib.import_module("ctcore_csv")
    check_module(package, HOOKS)
    (plugin,) = package.ctcore_register_sinks()
    blocked = tmp_path / "file"
    blocked.touch()
    sink = plugin.create(plugin.config_type(directory=blocked / "folder"))
    with pytest.raises(StorageError, match="file"):
        sink.open()
