"""What the pages print can be used as it stands: Python runs, configurations load, commands parse."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from ctcore.cli.app import command_line
from ctcore.config import load_config
from ctcore.contracts.plugin import PluginManager
from ctcore.sim.control import control

from .pages import ROOT, Block, blocks, every_block, pages

OTHERS = ("source", "pip")
"""Commands that are not ours."""

MINIMAL = """
[exchanges.binance]
environment = "simulated"
[[monitor.subscriptions]]
exchange = "binance"
market = "spot"
pairs = ["BTC/USDT"]
[sinks.memory]
"""


def copied() -> list[Block]:
    return [block for page in pages() for block in blocks(page) if block.option.startswith("file=")]


def runnable(language: str) -> list[Block]:
    return [block for block in every_block(language) if not block.option]


@pytest.mark.parametrize("block", copied(), ids=str)
def test_excerpts_are_in_their_files(block: Block) -> None:
    source = (ROOT / block.option.removeprefix("file=")).read_text(encoding="utf-8")
    assert block.text in source


def test_options_are_known() -> None:
    options = {block.option for page in pages() for block in blocks(page)}
    assert {option for option in options if not option.startswith("file=")} <= {"", "no-run"}


@pytest.mark.parametrize(
    "page", [p for p in pages() if blocks(p, "python") and p.stem != "ask-history"], ids=lambda p: p.stem)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if page.stem == "record-and-decode" and "binance" not in PluginManager().drivers:
        pytest.skip("the driver of Binance is not installed")
    namespace: dict[str, Any] = {"__name__": "snippet"}
    for block in blocks(page, "python"):
        if not block.option:
            exec(compile(block.text, str(block), "exec", dont_inherit=True), namespace)


@pytest.fixture(scope="module")
def manager() -> PluginManager:
    manager = PluginManager()
    if {"binance", "okx"} - set(manager.drivers):
        pytest.skip("the drivers of both exchanges are not installed")
    return manager


@pytest.mark.parametrize("block", runnable("toml"), ids=str)
def test_configurations_load(
    block: Block, manager: PluginManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CTCORE_TOKEN", "CLICKHOUSE_PASSWORD"):
        monkeypatch.setenv(name, "a-long-secret")
    path = tmp_path / "snippet.toml"
    path.write_text(block.text if "[exchanges." in block.text else block.text + MINIMAL, encoding="utf-8")
    assert load_config(path, manager).subscriptions


def commands() -> list[tuple[str, str]]:
    lines = [(str(block), line) for block in every_block("console") for line in block.text.splitlines()]
    return [(where, line[2:]) for where, line in lines if line.startswith("$ ")]


@pytest.mark.parametrize(("where", "line"), commands())
def test_commands_parse(where: str, line: str) -> None:
    name, *rest = shlex.split(line.partition(" < ")[0])
    match Path(name).name:
        case "ctcore":
            _parse(rest)
        case "make":
            targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            assert set(rest) <= set(targets)
        case "python":
            assert (ROOT / rest[0]).is_file()
        case "curl":
            (url,) = (word for word in rest if word.startswith("http"))
            _is_served(url)
        case other:
            assert other in OTHERS


def _parse(words: list[str]) -> None:
    top: Any = typer.main.get_command(command_line())
    command = top.commands[words[0]]
    context = command.make_context("ctcore", [], resilient_parsing=True)
    values, left, _ = command.make_parser(context).parse_args(list(words[1:]))
    assert not left
    missing = [each.name for each in command.params if each.required and not values.get(each.name)]
    assert not missing
    config = str(values.get("config") or "")
    assert not config.startswith("examples/") or (ROOT / config).is_file()


def _is_served(url: str) -> None:
    parts = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/[^?]*)(\?.*)?", url)
    assert parts, url
    port, path = parts[1], parts[2]
    if path.startswith("/_sim/"):
        assert path in (control.__doc__ or "")
    elif port == "8080":
        reference = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
        first = path.split("/")[1]
        assert re.search(rf"^\| `(GET|PUT) /{first}\b", reference, re.MULTILINE), url
    else:
        assert path.startswith("/api/"), url
