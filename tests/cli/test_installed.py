"""``ctcore check`` and ``ctcore plugins``: what would happen, and what is there."""

from __future__ import annotations

import json


def test_check_shows_what_would_happen(ctcore, config):
    config.write_text(config.read_text().replace("[sinks.memory]", """
[sinks.files]
kind = "jsonl"
directory = "messages"

[database]
type = "postgres"
user = "ctcore"
name = "ctcore"
"""))
    result = ctcore("check", "--config", config)
    shown = " ".join(result.stdout.split())
    assert "binance simulated seed 1, speed 1" in shown
    assert "binance spot BTC/USDT orderbook (20 levels), trade" in shown
    assert "files jsonl messages" in shown
    assert "API: 127.0.0.1:1, without a token. Mode: monitor." in shown
    assert "note: " in result.stdout
    assert "database" in shown
    assert result.stdout.endswith("ctcore.toml: nothing is wrong\n")
    assert result.stderr == ""


def test_check_refuses_what_run_would_refuse(ctcore, config):
    config.write_text('[role]\nmode = "trader"\n' + config.read_text())
    assert "role.mode" in ctcore("check", "--config", config, status=2).stderr


def test_check_looks_at_the_places_that_are_named(ctcore, config):
    config.parent.joinpath("file").write_text("")
    config.write_text(config.read_text() + """
[state]
dir = "file/state"
[spool]
dir = "file"
[sinks.files]
kind = "jsonl"
directory = "file"
[sinks.history]
kind = "clickhouse"
url = "https://127.0.0.1:8443"
ca_cert = "absent.pem"
""")
    lines = ctcore("check", "--config", config, status=2).stderr.splitlines()
    assert [line.split(": ")[1] for line in lines[:-1]] == [
        "state.dir", "spool.dir", "sinks.files.directory", "sinks.history.ca_cert"]
    assert "is not a folder; choose another" in lines[0]
    assert "there is no file absent.pem" in lines[3]
    assert not config.parent.joinpath("state").exists()


def test_check_starts_nothing(ctcore, config):
    ctcore("check", "--config", config)
    assert [path.name for path in config.parent.iterdir()] == ["ctcore.toml"]


def test_plugins_fit_80_columns(ctcore):
    shown = ctcore("plugins").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "ctdaemon-binance" in shown
    assert "sink clickhouse" in shown


def test_plugins_as_json(ctcore):
    reports = {report["name"]: report for report in json.loads(ctcore("plugins", "--json").stdout)}
    binance = reports["binance"]
    assert (binance["status"], binance["problems"]) == ("active", [])
    assert binance["registers"] == ["driver binance"]
    offer = binance["capabilities"]["binance"]
    assert offer["simulated"] is True
    assert "orderbook" in offer["markets"]["futures"]["channels"]
    assert reports["sinks"]["capabilities"] == {}


def test_a_configuration_may_leave_plugins_out(ctcore, config):
    config.write_text('[plugins]\ndisable = ["okx"]\n')
    reports = json.loads(ctcore("plugins", "--json", "--config", config).stdout)
    assert {report["name"]: report["status"] for report in reports}["okx"] == "blocked"
