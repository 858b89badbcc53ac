"""The plugin manager, with packages made up on the spot: good ones, broken ones, and both together."""

import json
import subprocess
import sys
import textwrap

import pytest
import starlette.routing  # noqa: F401  # before the path is emptied
import typer

from ctcore import __version__
from ctcore.contracts.plugin import builtin
from ctcore.contracts.plugin.manager import DISABLE_VARIABLE, PluginManager
from ctcore.contracts.plugin.requirement import refused_by

DRIVER = """
from ctcore.contracts.driver import Capabilities, DriverInfo, DriverPlugin, Endpoints
from ctcore.contracts.plugin import SecretBackend, hookimpl
from ctcore.contracts.sink import SinkPlugin
from ctcore.model.ids import Channel, Market
import attrs

CTCORE_API_VERSION = 1
LIVE = {"live": Endpoints({}, {})}
SPOT = {Market.SPOT: Capabilities(frozenset({Channel.TRADE}), ())}

@attrs.frozen(kw_only=True)
class Section:
    pace_sec: float = 1.0

def info(id, environments=LIVE, capabilities=SPOT):
    return DriverInfo(id=id, title=id, environments=environments, capabilities=capabilities, rate_limits=())

def driver(id, config_type=Section, create=print, **facts):
    return DriverPlugin(info=info(id, **facts), create=create, config_type=config_type)

def sink(name, config_type=Section):
    return SinkPlugin(name=name, config_type=config_type, create=print)
"""


@pytest.fixture(autouse=True)
def no_builtins(monkeypatch):
    """The packages of these tests only, until a test wants ctcore's own."""
    monkeypatch.delenv(DISABLE_VARIABLE, raising=False)
    monkeypatch.setattr("ctcore.contracts.plugin.manager.BUILTIN_MODULES", {})


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Make a distribution with one module an entry point, on a path that holds nothing else."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    before = set(sys.modules)

    def made(package, *, version="1.0", requires=(), metadata=None, **modules):
        folder = tmp_path / f"{package.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = [f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}",
                 *(f"Requires-Dist: {line}" for line in requires)]
        (folder / "METADATA").write_text("\n".join(lines) + "\n" if metadata is None else metadata)
        points = []
        for name, source in modules.items():
            module = f"made_{package.replace('-', '_')}_{name}"
            (tmp_path / f"{module}.py").write_text(DRIVER + textwrap.dedent(source))
            points.append(f"{name} = {module}")
        (folder / "entry_points.txt").write_text("[ctcore]\n" + "\n".join(points) + "\n")

    # Everything the fakes import must come from the real path, before it is hidden.
    yield made
    for name in set(sys.modules) - before:
        if name.startswith("made_"):
            del sys.modules[name]


def hook(name, returned):
    """Source of one hook."""
    return f"\n@hookimpl\ndef {name}():\n    return {returned}\n"


def drivers(returned):
    """Source of the drivers' hook."""
    return hook("ctcore_register_drivers", returned)


GOOD = drivers("[driver('good')]") + hook("ctcore_register_sinks", "(sink('drain'),)") + hook(
    "ctcore_register_secret_backends", "iter([SecretBackend(scheme='safe', read=str)])")


def test_a_good_package_registers_everything(install):
    install("ctdaemon-good", version="2.1", requires=["ctcore>=0.1,<0.2", "attrs"], good=GOOD)
    manager = PluginManager()
    (report,) = manager.plugins()
    assert (report.name, report.package, report.version) == ("good", "ctdaemon-good", "2.1")
    assert report.status == "active"
    assert report.registers == ("driver good", "sink drain", "secrets safe")
    assert report.problems == ()
    assert list(manager.drivers) == ["good"]
    assert list(manager.sinks) == ["drain"]
    assert list(manager.secret_backends) == ["safe"]
    assert manager.driver_config_types["good"].__name__ == "Section"
    with pytest.raises(TypeError):
        manager.drivers["other"] = manager.drivers["good"]


BROKEN = [
    ("import no_such_module", ("made_bad_bad cannot be imported (ModuleNotFoundError: No module named "
     "'no_such_module'); install it again or uninstall it")),
    ("def f(:", "made_bad_bad cannot be imported (SyntaxError: "),
    ("raise SystemExit(3)", "made_bad_bad cannot be imported (SystemExit: it tried to end the process); "),
    ("class Own(BaseException): pass\nraise Own('x')", "made_bad_bad cannot be imported (Own: x); "),
    ("raise BaseExceptionGroup('g', [ValueError(1)])", "made_bad_bad cannot be imported (ExceptionGroup: g"),
    ("class Mute(Exception):\n    def __str__(self): raise OSError\nraise Mute",
     "made_bad_bad cannot be imported (Mute)"),
    ("CTCORE_API_VERSION = 2",
     "it is written for plugin API 2, this ctcore speaks 1; install matching versions"),
    (drivers("[]").replace("drivers", "driver"),
     "ctcore_register_driver is not a hook; did you mean ctcore_register_drivers?"),
    ("def ctcore_register_drivers(): return []",
     "ctcore_register_drivers is not marked; put @ctcore.contracts.plugin.hookimpl above it"),
    ("@hookimpl(specname='ctcore_nothing')\ndef f(): pass", "a hook has the wrong arguments (unknown hook "),
    ("@hookimpl\ndef ctcore_register_drivers(app): return []", "a hook has the wrong arguments (Plugin "),
    ("@hookimpl(wrapper=True)\ndef ctcore_register_drivers(): return (yield)",
     "ctcore_register_drivers is a hook wrapper"),
    (drivers("1 / 0"),
     "ctcore_register_drivers failed (ZeroDivisionError: division by zero); ask the package's author"),
    ("import sys" + drivers("sys.exit()"),
     "ctcore_register_drivers failed (SystemExit: it tried to end the process)"),
    (drivers("None"), "ctcore_register_drivers returned nothing; return a list of DriverPlugin"),
    (drivers("driver('bad')"),
     "ctcore_register_drivers returned a DriverPlugin; return a list of DriverPlugin"),
    (drivers("'bad'"), "ctcore_register_drivers returned a str; return a list of DriverPlugin"),
    (drivers("[sink('bad')]"),
     "ctcore_register_drivers returned a SinkPlugin in its list; return DriverPlugin only"),
    ("import itertools" + drivers("map(str, itertools.count())"),
     "ctcore_register_drivers returned more than 256 items; return what the package serves"),
    (drivers("(1 / 0 for _ in '1')"), "ctcore_register_drivers failed (ZeroDivisionError: division by zero)"),
    (drivers("[driver('Bad')]"), "ctcore_register_drivers: 'Bad' cannot be an exchange's id; use lower-case"),
    (drivers("[driver('bad', environments={})]"),
     "ctcore_register_drivers: the environments of bad must map names"),
    (drivers("[driver('bad', capabilities={})]"),
     "ctcore_register_drivers: the capabilities of bad must map each"),
    (drivers("[driver('bad', create=None)]"),
     "ctcore_register_drivers: create (and simulator, if any) of bad must be"),
    (drivers("[driver('bad', config_type=dict)]"), "ctcore_register_drivers: config_type of bad is a type"),
    (drivers("[driver('bad'), driver('bad')]"), "it registers driver bad twice; ask the package's author"),
    ("@attrs.frozen\nclass S:\n    rest: int = 1\n" + hook("ctcore_register_drivers", "[driver('bad', S)]"),
     "ctcore_register_drivers: key 'rest' of S is taken by ctcore; choose another name"),
    ("@attrs.frozen\nclass S:\n    x: 'Nowhere' = 1\n" + hook("ctcore_register_sinks", "[sink('bad', S)]"),
     "ctcore_register_sinks: the annotations of S do not resolve (NameError: "),
    (hook("ctcore_register_secret_backends", "[SecretBackend(scheme='A B', read=str)]"),
     "ctcore_register_secret_backends: 'A B' cannot be a scheme"),
]


@pytest.mark.parametrize(("source", "problem"), BROKEN, ids=[problem[:50] for _, problem in BROKEN])
def test_a_broken_package_is_disabled_with_one_line_and_the_rest_goes_on(install, source, problem):
    install("bad", bad=source)
    install("good", good=GOOD)
    manager = PluginManager()
    bad, good = manager.plugins()
    assert (bad.package, bad.status, bad.registers) == ("bad", "disabled", ())
    (line,) = bad.problems
    assert line.startswith(f"bad: {problem}")
    assert "\n" not in line
    assert manager.problems == [line]
    assert good.status == "active"
    assert list(manager.drivers) == ["good"]


@pytest.mark.parametrize("error", ["KeyboardInterrupt()", "BaseExceptionGroup('g', [KeyboardInterrupt()])"])
def test_ctrl_c_during_an_import_is_not_the_packages_failure(install, error):
    install("bad", bad=f"raise {error}")
    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
        PluginManager()


def test_one_broken_module_disables_its_whole_package(install):
    install("half", first=drivers("[driver('first')]"), second="raise ValueError('no')", third=drivers("[]"))
    manager = PluginManager()
    assert [report.status for report in manager.plugins()] == ["disabled"] * 3
    assert len(manager.problems) == 1
    assert manager.drivers == {}


def test_of_two_packages_with_one_id_the_first_by_name_stays(install):
    install("zeta", zeta=drivers("[driver('same'), driver('zeta')]"))
    install("alpha", alpha=drivers("[driver('same')]"))
    manager = PluginManager()
    assert [(report.package, report.status) for report in manager.plugins()] == [
        ("alpha", "active"), ("zeta", "disabled")]
    assert manager.problems == [
        ("zeta: driver same is registered by alpha already; uninstall one of the two, or name one in "
        "CTCORE_DISABLE_PLUGINS")]
    assert list(manager.drivers) == ["same"]


@pytest.mark.parametrize(("requirement", "fits"), [
    ("ctcore", True),
    ("ctcore>=0.1,<0.2", True),
    ("ctcore (~=0.1.0)", True),
    ("CTCore[embedded]==0.1.*", True),
    ("ctcore!=0.1", False),
    ("ctcore>0.1", False),
    ("ctcore<=0.0.9", False),
    ("ctcore>=0.2; python_version > '3'", False),
    ("ctcore>=9; extra == 'new'", True),
    ("ctcore @ https://example.org/ctcore.whl", True),
    ("ctcore-extras>=9", True),
    ("ctcore~=1.0", False),
    ("ctcore==0.2.*", False),
    ("ctcore!=0.1.*", False),
])
def test_requirements_on_ctcore(requirement, fits):
    assert (refused_by(["attrs>=99", requirement], "ctcore", "0.1.0") is None) is fits


def test_a_package_for_another_ctcore_is_disabled_without_being_imported(install):
    install("new", requires=["ctcore>=99,<100"], new="raise SystemExit")
    assert PluginManager().problems == [
        f"new: it requires ctcore>=99,<100, this is {__version__}; install matching versions"]


def test_broken_metadata_are_the_packages_problem_only(install, tmp_path):
    install("nameless", metadata="Metadata-Version: 2.1\n", bad="")
    install("good", good=GOOD)
    other = tmp_path / "unrelated-1.dist-info"
    other.mkdir()
    (other / "entry_points.txt").write_bytes(b"\xff\xfe")
    manager = PluginManager()
    assert manager.problems[0].startswith(f"a package in {tmp_path}")
    assert "its metadata are broken (they name no package); install the package again" in manager.problems[0]
    assert list(manager.drivers) == ["good"]


def test_an_entry_point_must_name_a_module(install, tmp_path):
    install("bad", bad="")
    (tmp_path / "bad-1.0.dist-info" / "entry_points.txt").write_text("[ctcore]\nbad = made_bad_bad:thing\n")
    assert PluginManager().problems == [
        "bad: the entry point 'bad' names 'made_bad_bad:thing'; it must name a module"]


@pytest.mark.parametrize("name", ["other", "My-Other.Package", "my_other_package"])
def test_what_is_blocked_is_not_even_imported(install, monkeypatch, name):
    install("my-other-package", other="raise SystemExit")
    install("good", good=GOOD)
    monkeypatch.setenv(DISABLE_VARIABLE, f" {name} ,")
    manager = PluginManager()
    found = [(report.name, report.status) for report in manager.plugins()]
    assert found == [("good", "active"), ("other", "blocked")]
    assert manager.problems == []
    assert PluginManager(disabled=["good"]).drivers == {}


def test_blocking_what_is_not_there_is_told(install):
    install("good", good=GOOD)
    manager = PluginManager(disabled=["goood"])
    assert [report.status for report in manager.plugins()] == ["active", "missing"]
    assert manager.problems == [
        "goood: it is to be disabled but is not installed; correct the name or remove it"]


COMMANDS = """
@hookimpl
def ctcore_add_commands(app):
    @app.command()
    def {name}(): pass
    {then}
"""


def test_commands_are_added_and_those_of_a_failing_package_taken_off(install):
    install("a-good", good=COMMANDS.format(name="extra", then="pass"))
    install("b-clash", clash=COMMANDS.format(name="run", then="pass"))
    install("c-fails", fails=COMMANDS.format(name="other", then="1 / 0") + drivers("[driver('gone')]"))
    manager = PluginManager()
    assert list(manager.drivers) == ["gone"]
    app = typer.Typer()
    app.command(name="run")(lambda: None)
    manager.add_commands(app)
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert names == ["run", "extra"]
    assert manager.problems == [
        "b-clash: the command 'run' exists already; the package must choose another name",
        "c-fails: ctcore_add_commands failed (ZeroDivisionError: division by zero); ask the package's author"]
    assert manager.drivers == {}


def test_routes_by_package(install):
    route = "from starlette.routing import Route\n"
    install("good", good=route + hook("ctcore_add_routes", "[Route('/x', print)]"))
    install("wrong", wrong=route + hook("ctcore_add_routes", "['/x']"))
    manager = PluginManager()
    assert manager.plugins()[0].registers == ("routes",)
    routes = manager.routes()
    assert [route.path for route in routes.pop("good")] == ["/x"]
    assert routes == {}
    assert manager.problems == ["wrong: ctcore_add_routes returned a str in its list; return BaseRoute only"]


def test_the_builtins_come_through_the_same_door(monkeypatch):
    monkeypatch.setattr("ctcore.contracts.plugin.manager.BUILTIN_MODULES", builtin.BUILTIN_MODULES)
    manager = PluginManager()
    first, second, *_ = manager.plugins()
    assert (first.package, first.status, first.registers) == (
        "ctcore.secrets", "active", ("secrets env", "secrets file"))
    assert (second.package, second.status) == ("ctcore.sinks", "active")
    assert {"clickhouse", "jsonl", "memory"} <= set(manager.sinks)


def test_loading_is_light():
    heavy = ["chdb", "clickhouse_connect", "psycopg", "mysql", "starlette", "hypercorn", "pandas", "numpy"]
    script = f"""
import json, sys
from ctcore.contracts.plugin.manager import PluginManager
PluginManager()
print(json.dumps([name for name in {heavy} if name in sys.modules]))
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []
