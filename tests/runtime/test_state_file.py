import json
import os
import subprocess
import sys
import time

import pytest

from ctcore.errors import ConfigError, StorageError
from ctcore.runtime import DaemonState, StateDirectory

NOW_US = 1_700_000_000_000_000
STATE = {"format": "ctcore.state", "version": 1, "name": "d", "mode": "monitor", "started_us": 1}


def state(**changes):
    return DaemonState(**{"name": "d", "mode": "monitor", "started_us": 1, **changes})


@pytest.fixture
def directory(tmp_path):
    with StateDirectory(tmp_path / "state") as directory:
        yield directory


def test_what_is_saved_is_loaded(directory):
    assert directory.load(NOW_US) is None
    first = state(sections={"feeds": {"last": 5, "names": ["a", "ü"]}})
    directory.save(first)
    assert directory.load(NOW_US) == first
    second = state(clean=True, stopped_us=9)
    directory.save(second)
    assert directory.load(NOW_US) == second
    assert json.loads(directory.file.read_text())["version"] == 1
    assert sorted(os.listdir(directory.path)) == ["daemon.lock", "daemon.state"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b'{"hello": "world"}',
        b"[" * 100_000,
        json.dumps({**STATE, "version": 2}).encode(),
        json.dumps({**STATE, "started_us": "x"}).encode(),
        json.dumps({**STATE, "format": "else"}).encode(),
    ],
    ids=["empty", "torn", "binary", "array", "foreign", "deep", "newer", "wrong type", "other format"],
)
def test_a_file_that_is_no_state_is_kept_aside(directory, content):
    directory.file.write_bytes(content)
    assert directory.load(NOW_US) is None
    aside = directory.path / "daemon.state.corrupt-20231114T221320.000000Z"
    assert aside.read_bytes() == content
    assert not directory.file.exists()


def test_the_state_that_the_damaged_ones_are_made_of_is_whole(directory):
    directory.file.write_text(json.dumps(STATE))
    assert directory.load(NOW_US) == state()


def test_a_torn_state_of_any_length_is_kept_aside(directory):
    directory.save(state(sections={"a": {"b": 1}}))
    whole = directory.file.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        directory.file.write_bytes(whole[:length])
        assert directory.load(NOW_US + length) is None


def test_only_ten_damaged_files_are_kept(directory):
    for number in range(15):
        directory.file.write_bytes(b"%d" % number)
        directory.load(NOW_US + number)
    kept = sorted(directory.path.glob("*.corrupt-*"))
    assert [path.read_bytes() for path in kept] == [b"%d" % number for number in range(5, 15)]


def test_a_second_daemon_is_refused_by_name_of_the_first(directory):
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
        StateDirectory(directory.path).open()
    directory.save(state())


def test_closing_hands_the_directory_over(tmp_path):
    with StateDirectory(tmp_path):
        pass
    with StateDirectory(tmp_path) as again:
        again.save(state())


def test_the_lock_of_a_killed_process_is_recovered(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from ctcore.runtime.state_file import StateDirectory\n"
        "d = StateDirectory(Path(sys.argv[1])); d.open(); print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(ConfigError, match=f"process {process.pid}"):
            StateDirectory(tmp_path).open()
        process.kill()
    with StateDirectory(tmp_path) as mine:
        assert int((tmp_path / "daemon.lock").read_text()) == os.getpid()
        mine.save(state())


def test_an_interrupted_write_leaves_the_state_before_and_no_litter(directory):
    directory.save(state())
    (directory.path / ".daemon.state.tmp").write_bytes(b"half")
    directory.close()
    directory.open()
    assert directory.load(NOW_US) == state()
    assert not (directory.path / ".daemon.state.tmp").exists()


def test_what_json_cannot_hold_changes_nothing(directory):
    directory.save(state())
    with pytest.raises(StorageError, match="cannot be written as JSON"):
        directory.save(state(sections={"a": {"b": object()}}))
    assert directory.load(NOW_US) == state()


def test_a_write_that_failed_half_way_does_not_spoil_the_next(directory, monkeypatch):
    def fail(fd):
        raise OSError(28, "No space left on device")

    directory.save(state())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match="No space left on device"):
            directory.save(state(sections={"long": {"text": "x" * 1_000}}))
    assert directory.load(NOW_US) == state()
    directory.save(state(clean=True))
    assert directory.load(NOW_US) == state(clean=True)


def test_a_failing_disk_is_a_storage_error(directory):
    (directory.path / ".daemon.state.tmp").mkdir()
    with pytest.raises(StorageError, match=r"daemon\.state"):
        directory.save(state())


def test_a_path_that_cannot_be_a_directory_is_a_config_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="choose another"):
        StateDirectory(tmp_path / "file").open()


def test_a_directory_in_the_files_place_is_a_config_error(directory):
    directory.file.mkdir()
    with pytest.raises(ConfigError, match="mend it or move it away"):
        directory.load(NOW_US)


def test_nothing_is_saved_without_the_lock(tmp_path):
    with pytest.raises(StorageError, match="not open"):
        StateDirectory(tmp_path).save(state())


def test_saving_is_private_to_the_user(directory):
    directory.save(state())
    assert directory.file.stat().st_mode & 0o077 == 0
    assert time.time() - directory.file.stat().st_mtime < 60
