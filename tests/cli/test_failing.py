"""Every error is one clear line on standard error, with a status that says whose mistake it is."""

from __future__ import annotations

import pytest
import trio

from ctcore.cli import failing
from ctcore.cli.logs import open_logs
from ctcore.errors import ConfigError, ConfigProblems, StorageError, TransportError
from ctcore.runtime.log import LogSettings
from ctcore.runtime.redact import register_secret


@pytest.mark.parametrize(("arguments", "told"), [
    (["rnu"], "ctcore: No such command 'rnu'. Did you mean 'run'?; see 'ctcore --help'"),
    (["run"], "ctcore run: Missing option '--config' / '-c'; see 'ctcore run --help'"),
    (["run", "--config", "no.toml"], "ctcore: no.toml: there is no such file; correct the path"),
    (["check", "--config", "no.txt"],
     "ctcore: no.txt: is neither TOML nor INI by its name; name it .toml or .ini"),
    (["simulate", "binanse"],
     "ctcore: no driver for the exchange 'binanse' is installed; did you mean 'binance'?"),
    (["simulate", "binance", "--fault-kind", "gab"],
     "ctcore: --fault-kind: 'gab' is no kind of fault; did you mean 'gap'?"),
    (["simulate", "binance", "okx", "--port", "65535"],
     "ctcore: 2 ports from 65535 on go beyond 65535; choose a lower --port"),
    (["decode", "binance", "swaps", "ctcore.toml"],
     "ctcore: 'swaps' is not a market; the markets are spot and futures"),
    (["books", "--config", "ctcore.toml", "binance", "spot", "BTCUSDT"],
     "ctcore: 'BTCUSDT' is not a pair; write it as BTC/USDT (or BTC/USDT-261225)"),
    (["books", "--config", "ctcore.toml", "binance", "spot", "BTC/USDT", "--at", "noon"],
     "ctcore: 'noon' is not a time; write 2026-01-31T12:00:00.5Z or an epoch number in s, ms or us"),
])
def test_a_mistake_of_the_user_is_one_line_and_status_2(ctcore, config, arguments, told):
    result = ctcore(*arguments, status=2)
    assert result.stderr.splitlines() == [told]
    assert result.stdout == ""


def test_a_failure_has_status_1(ctcore, config):
    result = ctcore("books", "--config", config, "binance", "spot", "BTC/USDT", status=1)
    assert result.stderr == (
        "ctcore: no daemon answers at http://127.0.0.1:1; start it with: ctcore run --config ctcore.toml\n")
    assert ctcore("status", "--config", config, status=1).stderr == result.stderr


def test_a_daemon_on_any_port_cannot_be_found(ctcore, config):
    config.write_text(config.read_text().replace("port = 1", "port = 0"))
    told = ctcore("status", "--config", config, status=2).stderr
    assert told == "ctcore: ctcore.toml: server.port is 0, so nobody knows the daemon's port; set one\n"


def test_every_problem_of_a_configuration_is_listed(ctcore, config):
    config.write_text('[role]\nmod = "monitor"\n[server]\nport = "x"\n')
    for command in ("check", "run"):
        lines = ctcore(command, "--config", config, status=2).stderr.splitlines()
        assert any("role.mod" in line and "did you mean 'mode'?" in line for line in lines)
        assert any("server.port" in line for line in lines)
        assert lines[-1] == f"ctcore: {len(lines) - 1} problems in the configuration"


def test_groups_are_told_by_the_error_that_matters(capsys):
    ours = [StorageError("full"), TransportError("gone")]
    assert failing.tell(ExceptionGroup("g", [ExceptionGroup("h", ours)])) == 1
    assert capsys.readouterr().err == "ctcore: full\n"
    assert failing.tell(ExceptionGroup("g", [*ours, KeyError("x")])) == 1
    assert capsys.readouterr().err == "ctcore: internal error: KeyError: 'x'; --debug tells more\n"
    assert failing.tell(ExceptionGroup("g", [ConfigError("a\nb\x1b[2J")])) == 2
    assert capsys.readouterr().err == "ctcore: a b\\x1b[2J\n"
    assert failing.tell(ConfigProblems(["p: bad; mend"])) == 2
    assert capsys.readouterr().err == "  p: bad; mend\nctcore: 1 problem in the configuration\n"


def test_secrets_stay_out_of_errors_and_tracebacks(capsys):
    register_secret("hunter2-and-more")
    assert failing.tell(ValueError("it was hunter2-and-more"), debug=True) == 1
    told = capsys.readouterr().err
    assert "hunter2" not in told
    assert "Traceback" not in told or "***" in told


def test_a_mistake_of_ours_is_reported_in_the_error_log(tmp_path, capsys):
    settings = LogSettings(directory=tmp_path)
    with pytest.raises(failing.Unexpected) as caught, open_logs(settings):
        raise KeyError("boom")
    assert failing.tell(caught.value) == 1
    report = tmp_path / "error.log"
    shown = capsys.readouterr().err
    assert shown.endswith(f"ctcore: internal error: KeyError: 'boom'; the full report is in {report}\n")
    assert "Traceback" not in shown
    assert "Traceback" in report.read_text()
    with pytest.raises(StorageError), open_logs(settings):
        raise StorageError("expected")


def test_debug_shows_the_traceback(ctcore, config, monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(trio, "run", broken)
    told = ctcore("run", "--config", config, status=1).stderr.splitlines()[-1]
    assert told.startswith("ctcore: internal error: RuntimeError: a bug; the full report")
    for arguments, env in ((["--debug"], {}), ([], {"CTCORE_DEBUG": "1"})):
        with pytest.raises(AssertionError, match="Traceback"):
            ctcore(*arguments, "run", "--config", config, status=1, env=env)
