"""A small world of plugins, so that these tests depend on no exchange's package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from ctcore.config import Secret, load_config, setting
from ctcore.config.secrets_plugin import ctcore_register_secret_backends
from ctcore.config.setting import above_zero
from ctcore.contracts.driver import Capabilities, DriverInfo, DriverPlugin, Endpoints
from ctcore.contracts.plugin import SecretBackend
from ctcore.contracts.plugin.manager import PluginReport
from ctcore.contracts.sink import SinkPlugin
from ctcore.errors import ConfigProblems
from ctcore.model.ids import FUTURES_ONLY, Channel, Market

LIVE = Endpoints({"spot": "https://api.acme.test"}, {"spot": "wss://ws.acme.test"})


@attrs.frozen(kw_only=True)
class AcmeConfig:
    """A driver's own keys: one with a check of ours, one with attrs' own, one secret."""

    pace_sec: float = setting("seconds between requests", default=1.0, check=above_zero)
    levels: int = attrs.field(default=5, validator=attrs.validators.in_((5, 10)))
    phrase: Secret = attrs.field(default=Secret(""))

    def __attrs_post_init__(self) -> None:
        if self.phrase.reveal() == "wrong-phrase":
            raise RuntimeError(f"cannot use {self.phrase.reveal()}")


@attrs.frozen(kw_only=True)
class TapeConfig:
    """A sink's keys, with a validator that repeats the value."""

    folder: str = "tape"
    api_key: str = attrs.field(default="k", validator=attrs.validators.matches_re("k.*"))
    pin: str = attrs.field(default="1", validator=attrs.validators.matches_re("[0-9]+"))


@attrs.frozen(kw_only=True)
class ClickHouseLike:
    """The keys that ``[clickhouse]`` turns into."""

    url: str
    database: str = "crypto"
    username: str = ""
    password: Secret = attrs.field(default=Secret(""))
    tls_skip_verify: bool = False
    connect_timeout_sec: float = 1.0
    max_retries: int = 1
    compression: bool = True
    max_batch_size: int = 1


ACME = DriverInfo(
    id="acme",
    title="Acme",
    environments={"live": LIVE, "testnet": LIVE},
    capabilities={
        Market.SPOT: Capabilities(frozenset(Channel) - FUTURES_ONLY, ("1m", "1h")),
        Market.FUTURES: Capabilities(frozenset(Channel), ("1m",)),
    },
    rate_limits=(),
)
BARE = attrs.evolve(ACME, id="bare", title="Bare", capabilities={
    Market.SPOT: Capabilities(frozenset({Channel.TRADE}), ()),
})


def _never(*_: Any) -> Any:
    raise AssertionError("a configuration makes nothing")


def _vault(reference: str) -> str:
    if reference == "broken":
        raise RuntimeError("the answer was hunter2-from-vault")
    return f"{reference}-from-vault"


@attrs.frozen
class FakePlugins:
    """What the loader asks of the plugin manager."""

    drivers: Mapping[str, DriverPlugin] = attrs.field(factory=lambda: {
        "acme": DriverPlugin(info=ACME, create=_never, config_type=AcmeConfig, simulator=_never),
        "bare": DriverPlugin(info=BARE, create=_never),
    })
    sinks: Mapping[str, SinkPlugin] = attrs.field(factory=lambda: {
        "tape": SinkPlugin(name="tape", config_type=TapeConfig, create=_never),
        "clickhouse": SinkPlugin(name="clickhouse", config_type=ClickHouseLike, create=_never),
    })
    secret_backends: Mapping[str, SecretBackend] = attrs.field(factory=lambda: {
        backend.scheme: backend
        for backend in (*ctcore_register_secret_backends(), SecretBackend(scheme="vault", read=_vault))
    })
    reports: tuple[PluginReport, ...] = ()

    def plugins(self) -> list[PluginReport]:
        """The reports."""
        return list(self.reports)


@pytest.fixture
def plugins():
    """The small world."""
    return FakePlugins()


@pytest.fixture
def load(tmp_path, monkeypatch, plugins):
    """Load a text as the file ``x.toml`` or ``x.ini`` of the working directory."""
    monkeypatch.chdir(tmp_path)

    def loader(text, *, name="x.toml", plugins=plugins):
        Path(name).write_text(text, encoding="utf-8")
        return load_config(name, plugins)

    return loader


@pytest.fixture
def problems(load):
    """The lines that a bad text is refused with."""

    def refused(text, **options):
        with pytest.raises(ConfigProblems) as caught:
            load(text, **options)
        return caught.value.problems

    return refused
