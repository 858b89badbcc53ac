"""The documentation and the examples agree with the classes."""

from pathlib import Path
from typing import get_args

import attrs
import pytest

from ctcore.config import describe, load_config, reference_tables
from ctcore.config.schema import FaultKind
from ctcore.contracts.plugin import PluginManager
from ctcore.sim import faults
from ctcore.sinks.plugin import ctcore_register_sinks

ROOT = Path(__file__).parents[2]


def test_the_reference_lists_every_key(plugins):
    text = (ROOT / "docs/reference/configuration.md").read_text(encoding="utf-8")
    builtin = {sink.name: sink for sink in ctcore_register_sinks()}
    own = attrs.evolve(plugins, drivers={}, sinks=builtin)
    for section, table in reference_tables(own).items():
        _, heading, after = text.partition(f"### `{section}`\n")
        assert heading, f"docs/reference/configuration.md has no heading for {section}"
        assert after.lstrip("\n").startswith(table + "\n"), f"the table of {section} should be:\n{table}"


def test_every_key_has_a_meaning():
    assert [item for item in describe() if not item.meaning] == []


def test_the_faults_are_those_of_the_simulator():
    assert set(get_args(FaultKind)) == {kind.value for kind in faults.FaultKind}


def test_plugins_describe_their_keys(plugins):
    keys = {(item.section, item.key) for item in describe(plugins)}
    assert ("[exchanges.acme]", "pace_sec") in keys
    assert ('[sinks.<name>] kind = "tape"', "folder") in keys


@pytest.mark.parametrize("name", ["quickstart.toml", "monitor.toml", "seed.ini"])
def test_the_examples_load(name, monkeypatch):
    monkeypatch.setenv("CTCORE_TOKEN", "a-long-token")
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "a-password")
    manager = PluginManager()
    if {"binance", "okx"} - set(manager.drivers):
        pytest.skip("the drivers of both exchanges are not installed")
    config = load_config(ROOT / "examples" / name, manager)
    instruments = {subscription.instrument for subscription in config.subscriptions}
    assert len(instruments) >= 3
    assert config.sinks
    if name == "quickstart.toml":
        assert all(exchange.simulated for exchange in config.exchanges.values())
        assert {str(instrument) for instrument in instruments} == {
            f"{exchange}:{market}:{pair}" for exchange in ("binance", "okx")
            for market in ("spot", "futures") for pair in ("BTC/USDT", "ETH/USDT")}
        assert not Path(config.sinks["history"].options.folder).is_absolute()
