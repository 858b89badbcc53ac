"""The plugin manager: loads ctcore's own plugins and the installed packages, and shuts out what is broken.

A package is used wholly or not at all: whatever is wrong with one of its modules disables the package with
one line ``package: problem; mend`` in its reports, and the rest goes on.
"""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Literal

import attrs
import pluggy

from ctcore import __version__
from ctcore.contracts.driver import DriverPlugin
from ctcore.contracts.plugin import hookspecs
from ctcore.contracts.plugin.builtin import BUILTIN_MODULES
from ctcore.contracts.plugin.discovery import EntryPoint, Package, installed_packages
from ctcore.contracts.plugin.hookspecs import PROJECT
from ctcore.contracts.plugin.inspection import (
    Contribution,
    bounded_list,
    check_module,
    collect,
    implementation,
)
from ctcore.contracts.plugin.isolation import Failure, attempt
from ctcore.contracts.plugin.requirement import normalized, refused_by
from ctcore.contracts.plugin.secrets import SecretBackend
from ctcore.contracts.sink import SinkPlugin
from ctcore.errors import PluginError

if TYPE_CHECKING:
    import typer
    from starlette.routing import BaseRoute

DISABLE_VARIABLE = "CTCORE_DISABLE_PLUGINS"
"""Environment variable: plugins or packages not to load, separated by commas."""

Status = Literal["active", "disabled", "blocked", "missing"]

_KINDS = ("drivers", "sinks", "secret_backends")


@attrs.frozen
class PluginReport:
    """One plugin as ``ctcore plugins`` shows it.

    ``status``: ``active``; ``disabled`` because of ``problems``; ``blocked`` by the operator, never imported;
    ``missing`` when the operator blocks a name that is not installed. ``registers`` lists ``driver okx``,
    ``sink jsonl``, ``secrets env``, ``commands``, ``routes``; it is empty unless active.
    """

    name: str
    package: str
    version: str
    status: Status
    registers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class PluginManager:
    """Everything the installed plugins register; loaded once, on construction.

    ``disabled`` names plugins or packages not to import, besides those in ``CTCORE_DISABLE_PLUGINS``. The
    order is that of :data:`BUILTIN_MODULES`, then of package names, then of entry points, so that a clash
    always ends alike: the first keeps the name, the later package is disabled.
    """

    def __init__(self, *, disabled: Iterable[str] = ()) -> None:
        self._pluggy = pluggy.PluginManager(PROJECT)
        self._pluggy.add_hookspecs(hookspecs)
        self._hooks = tuple(name for name in vars(hookspecs) if name.startswith(f"{PROJECT}_"))
        self._reports: dict[tuple[str, str], PluginReport] = {}
        self._modules: dict[tuple[str, str], ModuleType] = {}
        self._contributions: dict[tuple[str, str], Contribution] = {}
        blocked = {normalized(name.strip()) for name in (*disabled, *_variable().split(",")) if name.strip()}
        unused = set(blocked)
        for package in (*_builtin_packages(), *installed_packages()):
            self._load(package, blocked, unused)
        for name in sorted(unused):
            line = f"{name}: it is to be disabled but is not installed; correct the name or remove it"
            self._reports["", name] = PluginReport(name, "", "", "missing", problems=(line,))

    def plugins(self) -> list[PluginReport]:
        """Every plugin found, in the order of loading."""
        return list(self._reports.values())

    @property
    def problems(self) -> list[str]:
        """One line for each thing wrong with a package."""
        every = (line for report in self._reports.values() for line in report.problems)
        return list(dict.fromkeys(every))

    @property
    def drivers(self) -> Mapping[str, DriverPlugin]:
        """Drivers by the exchange's id."""
        every = (driver for part in self._contributions.values() for driver in part.drivers)
        return MappingProxyType({driver.info.id: driver for driver in every})

    @property
    def sinks(self) -> Mapping[str, SinkPlugin]:
        """Kinds of sinks by name."""
        every = (sink for part in self._contributions.values() for sink in part.sinks)
        return MappingProxyType({sink.name: sink for sink in every})

    @property
    def secret_backends(self) -> Mapping[str, SecretBackend]:
        """Places to read secrets from, by scheme."""
        every = (backend for part in self._contributions.values() for backend in part.secret_backends)
        return MappingProxyType({backend.scheme: backend for backend in every})

    @property
    def driver_config_types(self) -> Mapping[str, type | None]:
        """The class of each exchange's own configuration keys, None where it has none."""
        return MappingProxyType({name: driver.config_type for name, driver in self.drivers.items()})

    def add_commands(self, app: typer.Typer) -> None:
        """Let the plugins add their commands to ``app``.

        A package whose hook fails or takes a name that exists is disabled, and what it added is taken off.
        """
        for key, module in list(self._modules.items()):
            hook = implementation(self._pluggy, module, "ctcore_add_commands")
            if hook is None or key not in self._modules:
                continue
            commands, groups = list(app.registered_commands), list(app.registered_groups)
            taken = _command_names(app)
            outcome = attempt(lambda call=hook: call(app=app))  # type: ignore[misc]  # bound at once
            clash = [] if isinstance(outcome, Failure) else _repeated(taken, _command_names(app))
            if isinstance(outcome, Failure) or clash:
                app.registered_commands[:], app.registered_groups[:] = commands, groups
                problem = f"ctcore_add_commands failed ({outcome}); ask the package's author"
                if clash:
                    problem = f"the command {clash[0]!r} exists already; the package must choose another name"
                self._disable(key[0], problem)

    def routes(self) -> dict[str, list[BaseRoute]]:
        """The plugins' API routes by package; one whose hook fails is disabled."""
        from starlette.routing import BaseRoute

        routes: dict[str, list[BaseRoute]] = {}
        for key, module in list(self._modules.items()):
            hook = implementation(self._pluggy, module, "ctcore_add_routes")
            if hook is None or key not in self._modules:
                continue
            found = attempt(lambda call=hook: bounded_list(call(), "ctcore_add_routes", BaseRoute))  # type: ignore[misc]
            if isinstance(found, Failure):
                routes.pop(key[0], None)
                self._disable(key[0], _problem_of(found, "ctcore_add_routes failed"))
            else:
                routes.setdefault(key[0], []).extend(found)
        return routes

    def _load(self, package: Package, blocked: set[str], unused: set[str]) -> None:
        name = normalized(package.name)
        unused -= {name, *(normalized(point.name) for point in package.entry_points)}
        points = () if name in blocked else package.entry_points
        wanted = [point for point in points if normalized(point.name) not in blocked]
        for point in package.entry_points:
            status: Status = "active" if point in wanted else "blocked"
            report = PluginReport(point.name, package.name, package.version, status)
            self._reports[package.name, point.name] = report
        if not wanted:
            return
        outcome = attempt(lambda: self._use(package, wanted))
        if isinstance(outcome, Failure):
            self._disable(package.name, _problem_of(outcome, "it failed to load"))

    def _use(self, package: Package, wanted: list[EntryPoint]) -> None:
        if package.problem:
            raise PluginError(f"{package.problem}; install the package again")
        refused = refused_by(package.requires, PROJECT, __version__)
        if refused:
            raise PluginError(f"it requires {refused}, this is {__version__}; install matching versions")
        for point in wanted:
            key = (package.name, point.name)
            module = _import(point)
            check_module(module, self._hooks)
            self._pluggy.register(module, name=f"{package.name}:{point.name}")
            self._modules[key] = module
            self._pluggy.check_pending()
            contribution = collect(self._pluggy, module)
            self._refuse_clash(contribution)
            self._contributions[key] = contribution
            self._reports[key] = attrs.evolve(self._reports[key], registers=contribution.names())

    def _refuse_clash(self, contribution: Contribution) -> None:
        owners = {name: key[0] for key, other in self._contributions.items()
                  for name in other.names() if name not in ("commands", "routes")}
        seen: set[str] = set()
        for name in contribution.names():
            if name in owners:
                mend = f"uninstall one of the two, or name one in {DISABLE_VARIABLE}"
                raise PluginError(f"{name} is registered by {owners[name]} already; {mend}")
            if name in seen:
                raise PluginError(f"it registers {name} twice; ask the package's author")
            seen.add(name)

    def _disable(self, package: str, problem: str) -> None:
        """Take back everything a package has registered, and say why."""
        for key in [key for key in self._reports if key[0] == package]:
            module = self._modules.pop(key, None)
            if module is not None:
                self._pluggy.unregister(module)
            self._contributions.pop(key, None)
            report = self._reports[key]
            if report.status == "active":
                line = (f"{package}: {problem}",)
                self._reports[key] = attrs.evolve(report, status="disabled", registers=(), problems=line)


def _builtin_packages() -> list[Package]:
    # Each module of ctcore is a package of its own here, so that one broken part leaves the others alone.
    return [
        Package(f"{PROJECT}.{name}", __version__, (EntryPoint(name, module),))
        for name, module in BUILTIN_MODULES.items()
    ]


def _import(point: EntryPoint) -> ModuleType:
    name, _, attribute = point.module.partition(":")
    if attribute or not name:
        raise PluginError(f"the entry point {point.name!r} names {point.module!r}; it must name a module")
    module = attempt(lambda: importlib.import_module(name.partition("[")[0].strip()))
    if isinstance(module, Failure):
        raise PluginError(f"{name} cannot be imported ({module}); install it again or uninstall it")
    return module


def _problem_of(failure: Failure, what: str) -> str:
    if isinstance(failure.error, PluginError):
        return str(failure.error)
    if isinstance(failure.error, pluggy.PluginValidationError):
        said = " ".join(str(failure.error).split())
        return f"a hook has the wrong arguments ({said}); ask the package's author"
    return f"{what} ({failure}); ask the package's author"


def _variable() -> str:
    return os.environ.get(DISABLE_VARIABLE, "")


def _command_names(app: typer.Typer) -> list[str]:
    commands: list[Any] = [*app.registered_commands, *app.registered_groups]
    return [_command_name(command) for command in commands]


def _command_name(command: Any) -> str:
    if isinstance(command.name, str):
        return command.name
    callback = getattr(command, "callback", None)
    return callback.__name__.replace("_", "-") if callback else ""


def _repeated(taken: list[str], now: list[str]) -> list[str]:
    """Names that were added although they were taken, or twice."""
    added = Counter(now) - Counter(taken)
    return [name for name, count in added.items() if name and (name in taken or count > 1)]
