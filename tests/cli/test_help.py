"""What a newcomer sees first, and how long it takes."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ctcore.cli.app import command_line

ROOT = Path(__file__).parents[2]
COMMANDS = ("run", "check", "status", "books", "simulate", "record", "decode", "plugins", "version")
HELP_SEC = 0.4


def ctcore(*arguments: str, path: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    extra = {"PYTHONPATH": str(path)} if path is not None else {}
    return subprocess.run(
        [sys.executable, "-m", "ctcore", *arguments], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "COLUMNS": "80", **extra, **env})


def package(folder: Path, name: str, code: str) -> None:
    """Install a plugin package by hand."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ctcore]\n{name} = {name}\n")


HELLO = """
from ctcore.contracts.plugin import hookimpl

@hookimpl
def ctcore_add_commands(app):
    @app.command()
    def hello(name: str):
        "Greet somebody."
        print("hello", name)
"""


SHOW_IMPORTS = """
import sys
from ctcore.cli.main import main
try:
    main(["--help"])
except SystemExit:
    pass
print(sorted({"trio", "msgspec", "httpx", "pluggy", "loguru", "starlette"} & set(sys.modules)))
"""


def test_the_overview_names_every_command_in_80_columns(ctcore):
    shown = ctcore("--help").stdout
    assert all(re.search(rf"│ {name}\b", shown) for name in (*COMMANDS, "config"))
    assert max(map(len, shown.splitlines())) <= 80
    assert ctcore().stdout == shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(ctcore, name):
    shown = ctcore(name, "--help").stdout
    assert f"Example: ctcore {name}" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_every_option_has_a_text():
    for command in command_line().registered_commands:
        for name, wanted in command.callback.__annotations__.items():
            assert name == "return" or "help" in str(wanted) or wanted in {
                "ConfigFile", "AsJson", "Exchange", "Exchanges", "MarketName"}, (command.callback, name)


def test_help_takes_less_than_it_may_and_imports_nothing_heavy():
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", SHOW_IMPORTS], capture_output=True, text=True, timeout=60, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.stdout.endswith("[]\n")
    assert min(took) < HELP_SEC


def test_versions(ctcore):
    assert ctcore("version").stdout == ctcore("--version").stdout
    assert re.fullmatch(r"ctcore \d+\.\d+\.\d+ \(Python \d+\.\d+\.\d+\)\n", ctcore("version").stdout)


def test_the_reference_tells_every_key(ctcore):
    shown = ctcore("config", "reference").stdout
    assert "[monitor]" in shown
    assert "orderbook_depth" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "| `orderbook_depth` |" in ctcore("config", "reference", "--markdown").stdout
    assert "reference" in ctcore("config").stdout


def test_a_plugin_adds_a_command(tmp_path):
    package(tmp_path, "acme_hello", HELLO)
    assert "Greet somebody." in ctcore("--help", path=tmp_path).stdout
    assert ctcore("hello", "you", path=tmp_path).stdout == "hello you\n"
    assert "commands" in ctcore("plugins", path=tmp_path).stdout


def test_a_plugin_without_commands_is_not_even_imported_for_help(tmp_path):
    package(tmp_path, "acme_quiet", "raise SystemExit('imported')")
    done = ctcore("--help", path=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_plugin_that_takes_a_name_is_told_of_and_stops_nothing(tmp_path):
    package(tmp_path, "acme_taker", HELLO.replace("def hello", "def run"))
    assert "Greet somebody" not in ctcore("--help", path=tmp_path).stdout
    shown = " ".join(ctcore("plugins", path=tmp_path).stdout.split())
    assert "acme_taker: the command 'run' exists already" in shown


def test_broken_metadata_stop_nothing(tmp_path):
    package(tmp_path, "acme_broken", "")
    (tmp_path / "acme_broken-1.0.dist-info" / "entry_points.txt").write_bytes(b"[ctcore]\n= \xff\xfe\n===\n")
    assert ctcore("--help", path=tmp_path).returncode == 0
    assert ctcore("version", path=tmp_path).returncode == 0


def test_completion_proposes_commands_exchanges_and_markets():
    def proposed(words: str) -> str:
        count = str(len(words.split()) - (not words.endswith(" ")))
        done = ctcore(_CTCORE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count)
        return done.stdout

    assert "decode" in proposed("ctcore de")
    assert proposed("ctcore decode bin").split() == ["binance"]
    assert proposed("ctcore decode binance ").split() == ["spot", "futures"]
