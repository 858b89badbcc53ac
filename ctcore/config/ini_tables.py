"""What an INI file means: its sections and keys as the tables that a TOML file would hold.

Sections keep their names, with two additions for what the original took from its database.
``[exchange.<id>]`` is ``[exchanges.<id>]`` and says what to collect there in the keys ``spot`` and
``futures`` (lists of pairs), ``channels`` (or ``spot_channels`` and ``futures_channels``), ``depth`` and
``candle_interval``; ``[exchange.<id>.simulator]``, ``[exchange.<id>.rest]`` and ``[exchange.<id>.stream]``
are its tables. ``[sink.<name>]`` is ``[sinks.<name>]``.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Final

from ctcore.config.document import Document, Place
from ctcore.config.ini import Entry, read_ini
from ctcore.config.secrets import Text
from ctcore.config.values import KeyPath
from ctcore.model.ids import Market

_PLURALS: Final = {"exchange": "exchanges", "sink": "sinks"}

_OTHER_NAMES: Final = {
    ("log", "max_size_mb"): "max_file_size_mb",
    ("monitor", "save_interval"): "save_interval_sec",
    ("trader", "strategy_update_interval"): "strategy_update_interval_sec",
    ("clickhouse", "connect_timeout"): "connect_timeout_sec",
    ("clickhouse", "user"): "username",
    ("database", "username"): "user",
}
"""Names of keys in various versions of the original, and the name here."""

_WITHOUT_EFFECT: Final = {
    ("trade", "update_interval"): "positions are followed as they change, not polled",
    ("orderbook", "debug_log_raw"): "raw frames are written by 'ctcore record'",
    ("orderbook", "debug_log_msg"): "decoded messages are shown by 'ctcore decode'",
    ("websocket", "ping_interval"): "each driver keeps its exchange's own intervals",
    ("websocket", "reconnect_delay"): "reconnects wait longer each time, by themselves",
}
"""Keys of the original that are accepted and change nothing, and why."""

_SHARED_KEYS: Final = ("depth", "candle_interval")


def read_ini_document(file: str, text: str) -> Document:
    """Read an INI text; lines that cannot be read are problems of the document."""
    ini = read_ini(text)
    document = Document(file)
    for mistake in ini.mistakes:
        document.report_line(mistake.line, mistake.text)
    for section, line in ini.sections.items():
        _open(document, section, line)
    for entry in ini.entries:
        _place(document, entry)
    exchanges = document.root.get("exchanges", {})
    for exchange, table in exchanges.items():
        if isinstance(table, dict):
            _subscribe(document, exchange, table)
    return document


def _path_of(section: str) -> KeyPath:
    parts = section.split(".")
    return (_PLURALS.get(parts[0], parts[0]), *parts[1:]) if len(parts) > 1 else (section,)


def _open(document: Document, section: str, line: int) -> None:
    path = _path_of(section)
    if any(name == section for name, _ in _WITHOUT_EFFECT):
        return
    document.places[path] = Place(line, section)
    _table(document, path, line)


def _table(document: Document, path: KeyPath, line: int) -> dict[str, Any]:
    table = document.root
    for part in map(str, path):
        if not isinstance(table.setdefault(part, {}), dict):
            document.report_line(line, f"{part}: is a key and a section at once; rename one")
            table[part] = {}
        table = table[part]
    return table


def _place(document: Document, entry: Entry) -> None:
    name = f"{entry.section}.{entry.key}"
    if not entry.section:
        document.report_line(entry.line, f"{entry.key}: belongs to no section; move it into one")
        return
    if (entry.section, entry.key) in _WITHOUT_EFFECT:
        why = _WITHOUT_EFFECT[entry.section, entry.key]
        document.notices.append(f"{document.file}:{entry.line}: {name}: has no effect; {why}")
        return
    path = _path_of(entry.section)
    key = _OTHER_NAMES.get((entry.section, entry.key), entry.key)
    if (entry.section, entry.key) == ("server", "state_file"):
        _place_state_file(document, entry)
        return
    if (*path, key) in document.places:
        document.report_line(entry.line, f"{name}: says the same as {key}; keep one")
        return
    table = _table(document, path, entry.line)
    if key in table:
        document.report_line(entry.line, f"{key}: is a key and a section at once; rename one")
        return
    document.places[*path, key] = Place(entry.line, name)
    table[key] = Text(entry.value, loose=True)


def _place_state_file(document: Document, entry: Entry) -> None:
    """``state_file = state/daemon.state`` of the original is a folder and a name here."""
    if not entry.value:
        return
    path = PurePath(entry.value)
    state = _table(document, ("state",), entry.line)
    for key, value in (("dir", str(path.parent)), ("name", path.stem)):
        document.places.setdefault(("state", key), Place(entry.line, "server.state_file"))
        state.setdefault(key, Text(value, loose=True))


def _subscribe(document: Document, exchange: str, table: dict[str, Any]) -> None:
    """Turn the keys of ``[exchange.<id>]`` that name pairs into subscriptions."""
    groups: Any = document.root.setdefault("monitor", {}).setdefault("subscriptions", [])
    if not isinstance(groups, list):
        return
    taken = {key: table.pop(key) for key in (*Market, *(f"{market}_channels" for market in Market),
                                             "channels", *_SHARED_KEYS) if key in table}
    for market in Market:
        if not taken.get(market):
            continue
        group: KeyPath = ("monitor", "subscriptions", len(groups))
        section = document.places.get(("exchanges", exchange), Place())
        document.places[group] = Place(section.line, f"exchange.{exchange}")
        channels = f"{market}_channels" if taken.get(f"{market}_channels") else "channels"
        origins = {"pairs": str(market), "channels": channels, **{key: key for key in _SHARED_KEYS}}
        groups.append({"exchange": exchange, "market": str(market)})
        for key, origin in origins.items():
            if origin in taken:
                groups[-1][key] = taken[origin]
                document.places[*group, key] = document.places["exchanges", exchange, origin]
