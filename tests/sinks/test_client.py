"""Connecting: what no retry can mend is a ConfigError that names the mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from ctcore.config.secrets import Secret
from ctcore.config.setting import Bad
from ctcore.errors import ConfigError, StorageError
from ctcore.sinks.clickhouse import ClickHouseSink
from ctcore.sinks.client import HistoryClient, connect
from ctcore.sinks.config import ClickHouseConfig
from ctcore.sinks.migrate import migrate
from ctcore.sinks.schema import MIGRATIONS, Migration


def test_without_chdb_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.startswith("clickhouse_connect.driver._chdbclient")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "clickhouse_connect.driver._backend.chdb_backend", raising=False)
    monkeypatch.setitem(sys.modules, "chdb", None)
    with pytest.raises(ConfigError, match=r"pip install 'ctcore\[embedded\]'"):
        connect(ClickHouseConfig(url=f"chdb://{tmp_path}"))


def test_a_folder_of_another_process_is_refused(engine: str) -> None:
    code = ("from ctcore.sinks.client import connect\nfrom ctcore.sinks.config import ClickHouseConfig\n"
            f"connect(ClickHouseConfig(url={engine!r}))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "ConfigError" in done.stderr.splitlines()[-1]
    assert "in use by another process" in done.stderr.splitlines()[-1]


def test_a_second_folder_in_one_process_is_refused(engine: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="another embedded folder open"):
        connect(ClickHouseConfig(url=f"chdb://{tmp_path}"))


def test_a_server_that_is_not_there_may_come_back() -> None:
    with pytest.raises(StorageError, match=r"http://127\.0\.0\.1:9"):
        connect(ClickHouseConfig(url="http://127.0.0.1:9", connect_timeout_sec=1, max_retries=0))


@pytest.mark.parametrize("url", ["chdb://folder", "chdb:", "ftp://x", "http://", "http://me:secret@host", "https://h:x"])
def test_urls_that_cannot_be(url: str) -> None:
    with pytest.raises(Bad) as caught:
        ClickHouseConfig(url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("database", ["default", "SYSTEM", "a-b", "x; DROP", ""])
def test_databases_that_cannot_be(database: str) -> None:
    with pytest.raises(Bad):
        ClickHouseConfig(database=database)


def test_the_password_is_never_shown() -> None:
    assert "hunter2" not in repr(ClickHouseConfig(password=Secret("hunter2")))


def test_migrations_run_once_each(reader: HistoryClient, config: ClickHouseConfig) -> None:
    assert migrate(reader, config.database) == 0
    statement = "CREATE TABLE IF NOT EXISTS more (a UInt8) ENGINE = MergeTree ORDER BY a"
    second = Migration(2, "one more", (statement,))
    assert migrate(reader, config.database, (*MIGRATIONS, second)) == 1
    assert reader.rows("SELECT version FROM schema_version ORDER BY version") == [(1,), (2,)]
    with pytest.raises(ConfigError, match="upgrade ctcore"):
        migrate(reader, config.database)


def test_a_migration_that_was_cut_off_is_finished(reader: HistoryClient, config: ClickHouseConfig) -> None:
    reader.execute("TRUNCATE TABLE schema_version")
    reader.execute("DROP TABLE v_gap")
    assert migrate(reader, config.database) == 1
    assert reader.rows("SELECT * FROM v_gap") == []


def test_fsync_is_switched_on_and_off(config: ClickHouseConfig, reader: HistoryClient) -> None:
    written = ("SELECT count() FROM system.tables WHERE database = currentDatabase() "
               "AND position(create_table_query, 'fsync_after_insert = 1') > 0")
    for wanted in (True, False):
        sink = ClickHouseSink(attrs.evolve(config, fsync=wanted))
        sink.open()
        sink.close()
        assert (reader.rows(written)[0][0] > 10) is wanted
