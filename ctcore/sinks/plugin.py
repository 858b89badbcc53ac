"""Registers the built-in sinks, through the same door as any package's. Each is imported when it is made."""

from __future__ import annotations

from collections.abc import Iterable

from ctcore.contracts.plugin import hookimpl
from ctcore.contracts.sink import Sink, SinkPlugin
from ctcore.sinks.config import ClickHouseConfig, JsonlConfig, MemoryConfig


def _clickhouse(config: ClickHouseConfig) -> Sink:
    from ctcore.sinks.clickhouse import ClickHouseSink

    return ClickHouseSink(config)


def _jsonl(config: JsonlConfig) -> Sink:
    from ctcore.sinks.jsonl import JsonlSink

    return JsonlSink(config)


def _memory(config: MemoryConfig) -> Sink:
    from ctcore.sinks.memory import MemorySink

    return MemorySink(config)


@hookimpl
def ctcore_register_sinks() -> Iterable[SinkPlugin]:
    """The kinds of history that come with ctcore."""
    return (
        SinkPlugin(name="clickhouse", config_type=ClickHouseConfig, create=_clickhouse),
        SinkPlugin(name="jsonl", config_type=JsonlConfig, create=_jsonl),
        SinkPlugin(name="memory", config_type=MemoryConfig, create=_memory),
    )
