"""From a file to a :class:`~ctcore.config.schema.Config`; whatever is wrong with it is told at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import attrs

from ctcore.config import checks, stores
from ctcore.config.document import Document, Place
from ctcore.config.original import ClickHouseConfig, DatabaseConfig, TraderConfig
from ctcore.config.read import read_document
from ctcore.config.schema import (
    Config,
    ExchangeConfig,
    ExchangeSection,
    LogConfig,
    MonitorConfig,
    PluginsConfig,
    RoleConfig,
    ServerConfig,
    ShutdownConfig,
    SinkConfig,
    SinkSection,
    SpoolConfig,
    StateConfig,
    SubscriptionConfig,
)
from ctcore.config.secrets import UNREAD, Secret, resolve
from ctcore.config.structure import keys_of, secrets_in, structure, unknown
from ctcore.config.values import KeyPath
from ctcore.contracts.driver import DriverPlugin
from ctcore.contracts.plugin import SecretBackend
from ctcore.contracts.plugin.manager import PluginReport
from ctcore.contracts.sink import SinkPlugin
from ctcore.errors import ConfigError, ConfigProblems

T = TypeVar("T")

SECTIONS: Final[Mapping[str, type]] = {
    "role": RoleConfig,
    "server": ServerConfig,
    "log": LogConfig,
    "state": StateConfig,
    "shutdown": ShutdownConfig,
    "spool": SpoolConfig,
    "plugins": PluginsConfig,
    "monitor": MonitorConfig,
    "trader": TraderConfig,
    "database": DatabaseConfig,
    "clickhouse": ClickHouseConfig,
}
"""Sections with a class of their own; ``exchanges`` and ``sinks`` take theirs from the plugins."""

_ANY_GROUP: Final[Mapping[str, Any]] = {"exchange": "any", "market": "spot", "pairs": ["ANY/ANY"]}
"""Stands in for the keys that a subscription must have."""


class Plugins(Protocol):
    """What the loader asks of :class:`~ctcore.contracts.plugin.manager.PluginManager`."""

    @property
    def drivers(self) -> Mapping[str, DriverPlugin]:
        """Drivers by exchange."""

    @property
    def sinks(self) -> Mapping[str, SinkPlugin]:
        """Sinks by kind."""

    @property
    def secret_backends(self) -> Mapping[str, SecretBackend]:
        """Secret backends by scheme."""

    def plugins(self) -> list[PluginReport]:
        """Every plugin, usable or not."""


def load_config(path: str | os.PathLike[str], plugins: Plugins) -> Config:
    """Read and check a configuration.

    Raises :class:`~ctcore.errors.ConfigError` when the file cannot be read, and
    :class:`~ctcore.errors.ConfigProblems` with everything that is wrong in it. Paths within the file are
    relative to the working directory.
    """
    document = read_document(path)
    document.root = _resolved(document, (), document.root, plugins.secret_backends)
    root = document.root
    parts: dict[str, Any] = {
        name: _section(document, (name,), cls, root[name]) for name, cls in SECTIONS.items() if name in root
    }
    known = (*SECTIONS, "exchanges", "sinks")
    for name in root:
        if name not in known:
            document.report((name,), unknown(name, known, what="section"))
    if "clickhouse" in root:
        _clickhouse_as_sink(document, parts["clickhouse"])
    made: dict[str, Any] = {name: part for name, part in parts.items() if part is not None}
    config = Config(
        path=Path(path),
        **made,
        exchanges=_exchanges(document, plugins),
        sinks=_sinks(document, plugins),
    )
    subscriptions = checks.subscriptions(document, _groups(root, config), config, plugins.drivers)
    checks.role(document, config)
    checks.ports(document, config)
    stores.apart(document, config)
    checks.purpose(document, config)
    if document.problems:
        raise ConfigProblems(document.problems)
    return attrs.evolve(
        config,
        subscriptions=subscriptions,
        notices=tuple(document.notices),
        secrets=tuple(dict.fromkeys((*_held(config), *map(Secret, secrets_in(document.root))))),
    )


def disabled_plugins(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read nothing but ``plugins.disable``, to know what not to load before loading the rest.

    A file with mistakes gives none; :func:`load_config` tells of them.
    """
    try:
        table = read_document(path).root.get("plugins", {})
    except ConfigError:
        return ()
    made = structure(PluginsConfig, table)
    return made.disable if isinstance(made, PluginsConfig) else ()


def _resolved(document: Document, path: KeyPath, value: Any, backends: Mapping[str, SecretBackend]) -> Any:
    """The value with all its ``${...}`` replaced; one that cannot be is reported here and nowhere else."""
    if isinstance(value, dict):
        return {key: _resolved(document, (*path, key), item, backends) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(document, (*path, index), item, backends) for index, item in enumerate(value)]
    if isinstance(value, str):
        try:
            resolved = resolve(value, backends)
        except ConfigError as error:
            document.report(path, str(error))
            return UNREAD
        if getattr(resolved, "masked", False):
            document.hide(resolved)
        return resolved
    return value


def _section(
    document: Document, path: KeyPath, cls: type[T], table: Any, *, also: Iterable[str] = ()
) -> T | None:
    made = structure(cls, table, also=also)
    if not isinstance(made, list):
        return made
    for problem in made:
        document.report((*path, *problem.path), problem.text)
    return None


def _groups(root: dict[str, Any], config: Config) -> dict[int, checks.Group]:
    """The subscriptions; of those with mistakes, which have been reported, what is right by itself."""
    if config.monitor.subscriptions:
        return {index: checks.Group(made) for index, made in enumerate(config.monitor.subscriptions)}
    section = root.get("monitor", {})
    raw = section.get("subscriptions", ()) if isinstance(section, dict) else ()
    if not isinstance(raw, list):
        return {}
    made = ((index, _group(table)) for index, table in enumerate(raw))
    return {index: group for index, group in made if group is not None}


def _group(table: Any) -> checks.Group | None:
    """One subscription; keys that are wrong get a value that nothing is asked of."""
    made = structure(SubscriptionConfig, table)
    if isinstance(made, SubscriptionConfig):
        return checks.Group(made)
    wrong = frozenset(str(problem.path[0]) for problem in made if problem.path)
    if not isinstance(table, dict) or not wrong:
        return None
    right = {key: value for key, value in table.items() if key not in wrong}
    made = structure(SubscriptionConfig, {**_ANY_GROUP, **right})
    if isinstance(made, list):
        return None
    return checks.Group(made, wrong & keys_of(SubscriptionConfig).keys())


def _held(value: Any) -> Iterator[Secret]:
    """The secrets within a finished configuration."""
    if isinstance(value, Secret):
        yield from (value,) if value else ()
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _held(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield from _held(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _held(item)


def _tables(document: Document, name: str) -> dict[str, dict[str, Any]]:
    """The tables below ``exchanges`` or ``sinks``, reporting what is none."""
    section = document.root.get(name, {})
    if not isinstance(section, dict):
        document.report((name,), f"must hold sections; write [{name}.<name>]")
        return {}
    for key, table in section.items():
        if not isinstance(table, dict):
            document.report((name, key), f"must be a section of its own; write [{name}.{key}]")
        elif not checks.is_name(key):
            document.report((name, key), f"is not a name for one of the {name}; {checks.NAME_RULE}")
    return {key: table for key, table in section.items() if isinstance(table, dict) and checks.is_name(key)}


def _exchanges(document: Document, plugins: Plugins) -> dict[str, ExchangeConfig]:
    made = {}
    for name, table in _tables(document, "exchanges").items():
        path: KeyPath = ("exchanges", name)
        plugin = plugins.drivers.get(name)
        if plugin is None:
            document.report(path, checks.no_driver(name, plugins))
            continue
        common = keys_of(ExchangeSection)
        own = keys_of(plugin.config_type) if plugin.config_type else {}
        section = _section(document, path, ExchangeSection, table, also=own)
        options: Any = None
        if plugin.config_type:
            rest = {key: value for key, value in table.items() if key in own}
            options = _section(document, path, plugin.config_type, rest, also=common)
        if section is None:
            continue
        checks.environment(document, path, section, plugin)
        made[name] = ExchangeConfig(
            id=name,
            environment=section.environment,
            rest=section.rest,
            stream=section.stream,
            simulator=section.simulator,
            options=options,
        )
    return made


def _sinks(document: Document, plugins: Plugins) -> dict[str, SinkConfig]:
    made: dict[str, SinkConfig] = {}
    for name, table in _tables(document, "sinks").items():
        path: KeyPath = ("sinks", name)
        common = {key: value for key, value in table.items() if key == "kind"}
        section = _section(document, path, SinkSection, {"kind": name, **common})
        if section is None:
            continue
        plugin = plugins.sinks.get(section.kind)
        if plugin is None:
            document.report((*path, "kind"), checks.no_sink(section.kind, plugins))
            continue
        rest = {key: value for key, value in table.items() if key != "kind"}
        options: Any = _section(document, path, plugin.config_type, rest, also=("kind",))
        if options is not None:
            made[name] = SinkConfig(name=name, kind=section.kind, options=options)
    return made


def _clickhouse_as_sink(document: Document, server: ClickHouseConfig | None) -> None:
    """``[clickhouse]`` is one more sink; what its kind refuses is reported under the section's own name."""
    sinks: Any = document.root.setdefault("sinks", {})
    if isinstance(sinks, dict) and "clickhouse" in sinks:
        document.report(("clickhouse",), "says the same as the section sinks.clickhouse; keep one of the two")
        return
    if server is None or not isinstance(sinks, dict):
        return
    section = document.places.get(("clickhouse",), Place())
    document.places["sinks", "clickhouse"] = Place(section.line, "clickhouse")
    for key, place in list(document.places.items()):
        if len(key) == 2 and key[0] == "clickhouse":
            document.places["sinks", *key] = Place(place.line, f"clickhouse.{key[1]}")
    sinks["clickhouse"] = server.sink_options()
    if server.replication_factor != 1:
        document.notice(("clickhouse", "replication_factor"), "has no effect; the server's own tables decide")
