"""The built-in sinks: ``clickhouse``, ``jsonl`` and ``memory``; and the questions that history answers.

Sinks are made through :mod:`ctcore.sinks.plugin`, which imports a sink's client only when a config names it.
"""

from ctcore.sinks.config import ClickHouseConfig, JsonlConfig, MemoryConfig

__all__ = ["ClickHouseConfig", "JsonlConfig", "MemoryConfig"]
