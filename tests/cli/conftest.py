"""The command line in this process, with what it printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ctcore.cli.app import command_line

CONFIG = """
[exchanges.binance]
environment = "simulated"

[[monitor.subscriptions]]
exchange = "binance"
market = "spot"
pairs = ["BTC/USDT"]
channels = ["orderbook", "trade"]

[sinks.memory]

[server]
port = 1
"""


class CommandLine:
    """Calls ``ctcore`` as a user would."""

    def __init__(self) -> None:
        self._app = command_line()

    def __call__(self, *arguments: object, status: int = 0, env: dict[str, str] | None = None) -> Result:
        """Run it, and insist on its exit status."""
        result = CliRunner().invoke(self._app, [str(each) for each in arguments], prog_name="ctcore", env=env)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result


@pytest.fixture(scope="session")
def ctcore() -> CommandLine:
    """The command line."""
    return CommandLine()


@pytest.fixture
def config(tmp_path, monkeypatch) -> Path:
    """A configuration of one simulated exchange, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    path = Path("ctcore.toml")
    path.write_text(CONFIG)
    return path
