"""What can be wrong with a plugin module and with what its hooks return. Calls the hooks, keeps nothing."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import attrs
import pluggy

from ctcore.contracts.driver import Capabilities, DriverInfo, DriverPlugin
from ctcore.contracts.plugin.hookspecs import API_VERSION, PROJECT
from ctcore.contracts.plugin.isolation import Failure, attempt
from ctcore.contracts.plugin.secrets import SecretBackend
from ctcore.contracts.sink import SinkPlugin
from ctcore.errors import PluginError
from ctcore.model.ids import Market

EXCHANGE_KEYS = frozenset({"environment", "rest", "stream", "simulator", "credentials"})
"""Keys of ``[exchanges.<id>]`` that are the same for every exchange."""

SINK_KEYS = frozenset({"kind"})
"""Keys of ``[sinks.<name>]`` that are the same for every sink."""

_ID = re.compile(r"^[a-z][a-z0-9_]{0,31}$")
_SCHEME = re.compile(r"^[a-z][a-z0-9+_-]{0,31}$")
_MOST_ITEMS = 256


@attrs.frozen
class Contribution:
    """What one plugin module registers; ``others`` are its hooks that are called later (commands, routes)."""

    drivers: tuple[DriverPlugin, ...] = ()
    sinks: tuple[SinkPlugin, ...] = ()
    secret_backends: tuple[SecretBackend, ...] = ()
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join(self.names())

    def names(self) -> tuple[str, ...]:
        """Everything registered, as ``driver okx`` or ``sink jsonl``."""
        return (
            *(f"driver {driver.info.id}" for driver in self.drivers),
            *(f"sink {sink.name}" for sink in self.sinks),
            *(f"secrets {backend.scheme}" for backend in self.secret_backends),
            *self.others,
        )


def check_module(module: ModuleType, hooks: Iterable[str]) -> None:
    """Raise :class:`PluginError` for another API version, a misspelt hook or a hook without its marker."""
    version = getattr(module, "CTCORE_API_VERSION", API_VERSION)
    if version != API_VERSION or isinstance(version, bool):
        raise PluginError(
            f"it is written for plugin API {version!r}, this ctcore speaks {API_VERSION}; "
            "install matching versions"
        )
    known = sorted(hooks)
    for name, function in sorted(vars(module).items()):
        if not name.startswith(f"{PROJECT}_") or not callable(function):
            continue
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"did you mean {near[0]}?" if near else f"the hooks are {', '.join(known)}"
            raise PluginError(f"{name} is not a hook; {mend}")
        options = getattr(function, f"{PROJECT}_impl", None)
        if not isinstance(options, dict):
            raise PluginError(f"{name} is not marked; put @ctcore.contracts.plugin.hookimpl above it")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginError(f"{name} is a hook wrapper; ctcore takes plain implementations only")


def collect(manager: pluggy.PluginManager, module: ModuleType) -> Contribution:
    """Call the module's registering hooks; :class:`PluginError` when one raises or returns wrong things."""
    drivers = _items(manager, module, "ctcore_register_drivers", DriverPlugin, _driver_problem)
    sinks = _items(manager, module, "ctcore_register_sinks", SinkPlugin, _sink_problem)
    backends = _items(manager, module, "ctcore_register_secret_backends", SecretBackend, _backend_problem)
    later = (("ctcore_add_commands", "commands"), ("ctcore_add_routes", "routes"))
    others = tuple(word for hook, word in later if implementation(manager, module, hook) is not None)
    return Contribution(tuple(drivers), tuple(sinks), tuple(backends), others)


def implementation(manager: pluggy.PluginManager, module: object, hook: str) -> Callable[..., Any] | None:
    """The module's own function for a hook, or None."""
    for impl in getattr(manager.hook, hook).get_hookimpls():
        if impl.plugin is module:
            function: Callable[..., Any] = impl.function
            return function
    return None


def bounded_list(returned: Any, hook: str, wanted: type) -> list[Any]:
    """What a hook returned, as a list; raises :class:`PluginError` for anything but some ``wanted``."""
    if returned is None or isinstance(returned, wanted | str | bytes) or not isinstance(returned, Iterable):
        raise PluginError(f"{hook} returned {_kind(returned)}; return a list of {wanted.__name__}")
    items = list(itertools.islice(returned, _MOST_ITEMS + 1))
    if len(items) > _MOST_ITEMS:
        raise PluginError(f"{hook} returned more than {_MOST_ITEMS} items; return what the package serves")
    for item in items:
        if not isinstance(item, wanted):
            raise PluginError(f"{hook} returned {_kind(item)} in its list; return {wanted.__name__} only")
    return items


def _items(manager: pluggy.PluginManager, module: ModuleType, hook: str, wanted: type,
           problem: Callable[[Any], Iterator[str]]) -> list[Any]:
    function = implementation(manager, module, hook)
    if function is None:
        return []
    items = attempt(lambda: bounded_list(function(), hook, wanted))
    if isinstance(items, Failure):
        if isinstance(items.error, PluginError):
            raise items.error
        raise PluginError(f"{hook} failed ({items}); ask the package's author")
    for item in items:
        for text in problem(item):
            raise PluginError(f"{hook}: {text}")
    return items


def _driver_problem(driver: Any) -> Iterator[str]:
    info = driver.info
    if not isinstance(info, DriverInfo):
        yield f"info is {_kind(info)}; make it a DriverInfo"
        return
    if not _is_word(info.id, _ID):
        yield f"{info.id!r} cannot be an exchange's id; use lower-case letters, digits and underscores"
    names: Any = info.environments
    if not isinstance(names, Mapping) or "live" not in names or "simulated" in names:
        yield f"the environments of {info.id} must map names, 'live' and never 'simulated', to Endpoints"
    if not _are_capabilities(info.capabilities):
        yield f"the capabilities of {info.id} must map each Market it serves, one at least, to Capabilities"
    if not callable(driver.create) or not (driver.simulator is None or callable(driver.simulator)):
        yield f"create (and simulator, if any) of {info.id} must be callable"
    if driver.config_type is not None:
        yield from _config_type_problem(driver.config_type, info.id, EXCHANGE_KEYS)


def _sink_problem(sink: Any) -> Iterator[str]:
    if not _is_word(sink.name, _ID):
        yield f"{sink.name!r} cannot be a sink's name; use lower-case letters, digits and underscores"
    if not callable(sink.create):
        yield f"create of {sink.name} must be callable"
    yield from _config_type_problem(sink.config_type, sink.name, SINK_KEYS)


def _backend_problem(backend: Any) -> Iterator[str]:
    if not _is_word(backend.scheme, _SCHEME):
        yield f"{backend.scheme!r} cannot be a scheme; use lower-case letters, digits, '+', '-' and '_'"
    if not callable(backend.read):
        yield f"read of {backend.scheme} must be callable"


def _config_type_problem(config_type: Any, owner: str, taken: frozenset[str]) -> Iterator[str]:
    if not isinstance(config_type, type) or not attrs.has(config_type):
        yield f"config_type of {owner} is {_kind(config_type)}; make it an attrs class"
        return
    resolved = attempt(lambda: attrs.resolve_types(config_type))
    if isinstance(resolved, Failure):
        yield f"the annotations of {config_type.__name__} do not resolve ({resolved}); import what they name"
        return
    for field in attrs.fields(config_type):
        if field.init and field.alias in taken:
            yield f"key {field.alias!r} of {config_type.__name__} is taken by ctcore; choose another name"


def _are_capabilities(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(key, Market) and isinstance(offer, Capabilities) for key, offer in value.items())


def _is_word(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.match(value) is not None


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
