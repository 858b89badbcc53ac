"""Bring a database to the schema of this version of ctcore."""
# ruff: noqa: S608  the texts are made of our own names and of integers

from __future__ import annotations

from ctcore.errors import ConfigError
from ctcore.sinks.client import HistoryClient
from ctcore.sinks.schema import MIGRATIONS, SCHEMA_VERSION_TABLE, Migration


def migrate(client: HistoryClient, database: str, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Create the database and apply the steps it lacks; returns how many were applied.

    A step that was cut off is repeated: its statements create what is missing and leave what is there. Raises
    :class:`ConfigError` when a newer ctcore has already gone further.
    """
    if not client.rows("SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": database}):
        client.execute(f"CREATE DATABASE IF NOT EXISTS {database}")
    client.use(database)
    client.execute(SCHEMA_VERSION_TABLE)
    version = int(client.rows("SELECT max(version) FROM schema_version")[0][0])
    newest = migrations[-1].version
    if version > newest:
        raise ConfigError(f"history database {database!r} has schema {version}, this ctcore knows {newest}; "
                          "upgrade ctcore or name another database")
    due = [step for step in migrations if step.version > version]
    for step in due:
        for statement in step.statements:
            client.execute(statement)
        client.execute(f"INSERT INTO schema_version (version, title) VALUES ({step.version}, '{step.title}')")
    return len(due)


def set_fsync(client: HistoryClient, database: str, wanted: bool) -> None:
    """Make the tables write through to the disk on every insert, or stop doing so; only where it differs."""
    tables = client.rows(
        "SELECT name FROM system.tables WHERE database = {name:String} AND engine LIKE '%MergeTree' "
        "AND (position(create_table_query, 'fsync_after_insert = 1') > 0) != {wanted:UInt8}",
        {"name": database, "wanted": int(wanted)})
    change = f"fsync_after_insert = {int(wanted)}, fsync_part_directory = {int(wanted)}"
    for (table,) in tables:
        client.execute(f"ALTER TABLE {table} MODIFY SETTING {change}")
