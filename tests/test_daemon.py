"""The daemon in this process: what it does when the disk, a plugin or a service fails it."""

from __future__ import annotations

import errno
import json
from contextlib import asynccontextmanager

import attrs
import httpx
import pytest
import trio

from ctcore.config import Config, ExchangeConfig, ServerConfig, ShutdownConfig, SimulatorConfig, SinkConfig
from ctcore.config.schema import SpoolConfig, StateConfig
from ctcore.contracts.driver import DriverPlugin
from ctcore.contracts.sink import Sink, SinkPlugin
from ctcore.daemon import Daemon
from ctcore.errors import ConfigError, PluginError, ServiceFailed, StorageError
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.runtime import StopSignals
from ctcore.runtime.last_seen import LastSeen, Progress
from ctcore.runtime.state_file import StateDirectory

STREAM = Subscription(InstrumentId("binance", Market.SPOT, "BTC/USDT"), Channel.TRADE)


class ListSink(Sink):
    """Keeps everything; ``refusal`` is raised by ``open``."""

    def __init__(self, refusal=None):
        self.refusal = refusal
        self.events = []

    def open(self):
        if self.refusal is not None:
            raise self.refusal

    def describe(self, instruments):
        pass

    def write_batch(self, batch_id, events):
        self.events += events

    def close(self):
        pass


@attrs.define
class Plugins:
    """What the daemon asks of the plugin manager."""

    sinks: dict
    drivers: dict = attrs.field(factory=dict)

    def routes(self):
        return {}

    def plugins(self):
        return []


def sinks(**creates):
    return {kind: SinkPlugin(name=kind, config_type=object, create=create)
            for kind, create in creates.items()}


def made(tmp_path, plugins, *, budget_sec=30.0, exchanges=(), subscriptions=()):
    config = Config(
        path=tmp_path / "x.toml",
        server=ServerConfig(port=0),
        state=StateConfig(dir=tmp_path / "state"),
        spool=SpoolConfig(dir=tmp_path / "spool"),
        shutdown=ShutdownConfig(budget_sec=budget_sec),
        sinks={kind: SinkConfig(name=kind, kind=kind, options=None) for kind in plugins.sinks},
        exchanges={exchange.id: exchange for exchange in exchanges},
        subscriptions=tuple(subscriptions),
    )
    return Daemon(config, plugins)


@asynccontextmanager
async def running(daemon):
    signals, reports = StopSignals(), []

    async def run(*, task_status):
        reports.append(await daemon.run(signals, task_status=task_status))

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        yield reports
        if not signals.graceful.is_set():
            signals.ask("SIGTERM")


@asynccontextmanager
async def ask(daemon):
    """A client of the API; only for use inside ``running``."""
    async with httpx.AsyncClient() as client:
        client.base_url = daemon.api_url
        yield client


async def until(holds):
    with trio.fail_after(8):
        while not holds():  # noqa: ASYNC110  the daemon's own clock, nothing to wait for
            await trio.sleep(0.05)


def state_of(tmp_path):
    return json.loads((tmp_path / "state" / "daemon.state").read_text())


def simulated():
    binance = pytest.importorskip("ctdaemon_binance.plugin")
    (driver,) = binance.ctcore_register_drivers()
    exchange = ExchangeConfig(id="binance", environment="simulated", rest={}, stream={},
                              simulator=SimulatorConfig(), options=driver.config_type())
    return driver, exchange


async def test_a_full_disk_does_not_end_the_daemon_and_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("ctcore.daemon.SAVE_STATE_SEC", 0.05)
    monkeypatch.setattr("ctcore.daemon.LOOK_SEC", 0.02)
    daemon, full = made(tmp_path, Plugins(sinks(list=lambda _: ListSink()))), True
    really = StateDirectory._replace

    def replace(directory, data):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        really(directory, data)

    monkeypatch.setattr(StateDirectory, "_replace", replace)
    async with running(daemon) as reports:
        await trio.sleep(0.3)
        async with httpx.AsyncClient(base_url=daemon.api_url) as client:
            assert "No space left" in (await client.get("/status")).json()["error"]
            assert "No space left" in (await client.get("/gauges")).json()["gauges"]["state"]["last_error"]
            full = False
            await trio.sleep(0.3)
            assert (await client.get("/status")).json()["error"] is None
            full = True
    assert [phase.name for phase in reports[0].phases if phase.outcome != "done"] == ["state"]


@pytest.mark.parametrize("budget_sec", [1.0, 3.0, 5.9])
async def test_a_short_budget_is_kept(tmp_path, budget_sec):
    daemon = made(tmp_path, Plugins(sinks(list=lambda _: ListSink())), budget_sec=budget_sec)
    async with running(daemon) as reports:
        pass
    assert reports[0].clean, reports[0].lines()
    assert reports[0].budget_sec == budget_sec
    assert state_of(tmp_path)["clean"] is True


async def test_the_first_event_of_a_first_run_is_in_the_state_at_once(tmp_path):
    """A crash a few seconds into the first run leaves the begin of its gap."""
    driver, exchange = simulated()
    plugins = Plugins(sinks(list=lambda _: ListSink()), {"binance": driver})
    daemon = made(tmp_path, plugins, exchanges=[exchange], subscriptions=[STREAM])
    async with running(daemon):
        await until(lambda: state_of(tmp_path)["sections"]["streams"])
        state = state_of(tmp_path)
        assert state["clean"] is False
        (seen,) = (s for s in daemon.workers.keeper.statistics() if s.messages)
        begin_us = state["sections"]["streams"][str(STREAM.instrument)]["trade"]
        assert daemon.started_us - 5_000_000 < begin_us <= seen.last_exchange_us


def test_a_picture_counts_once_every_sink_has_stored_what_it_holds():
    seen = LastSeen({"old": {"trade": 1}})
    assert seen.first({"new": {"trade": 5}, "old": {"trade": 9}})
    assert not seen.first({"new": {"trade": 7}})
    assert seen.durable == {"old": {"trade": 1}, "new": {"trade": 5}}
    seen.advance({"new": {"trade": 10}}, {"sink": Progress(left=4, behind=3)})
    seen.advance({"new": {"trade": 20}}, {"sink": Progress(left=6, behind=3)})
    assert seen.durable["new"] == {"trade": 5}
    seen.advance({"new": {"trade": 30}}, {"sink": Progress(left=7, behind=3)})
    assert seen.durable == {"old": {"trade": 1}, "new": {"trade": 10}}
    seen.advance({"new": {"book": 40}}, {"sink": Progress(left=7, behind=0)})
    assert seen.durable["new"] == {"trade": 30}


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(3), None])
async def test_a_sink_that_cannot_be_made_is_left_out_and_told(tmp_path, error):
    def broken(_):
        if error is not None:
            raise error

    daemon = made(tmp_path, Plugins(sinks(bad=broken, good=lambda _: ListSink())))
    async with running(daemon), ask(daemon) as client:
        ready = await client.get("/ready")
        assert ready.status_code == 503
        assert "sink bad: left out" in ready.json()["missing"]["sinks"][0]
        rows = {row["name"]: row["state"] for row in (await client.get("/services")).json()["services"]}
        assert (rows["sink bad"], rows["sink good"]) == ("parked", "running")


@pytest.mark.parametrize("broken", ["create", "simulator"])
async def test_a_feed_that_cannot_be_made_is_left_out_and_told(tmp_path, broken):
    def fails(*_):
        raise SystemExit(1)

    driver, exchange = simulated()
    driver: DriverPlugin = attrs.evolve(driver, **{broken: fails})
    plugins = Plugins(sinks(list=lambda _: ListSink()), {"binance": driver})
    daemon = made(tmp_path, plugins, exchanges=[exchange], subscriptions=[STREAM])
    async with running(daemon):
        assert daemon.workers.unready() == {
            "streams": ["feed binance: left out, SystemExit: it tried to end the process"]}
        assert "feed binance" in {status.name for status in daemon.workers.services()}


@pytest.mark.parametrize(("error", "kind"), [(ConfigError("mend x"), ConfigError),
                                             (ZeroDivisionError("x"), PluginError)])
async def test_without_any_sink_it_refuses_to_start(tmp_path, error, kind):
    def broken(_):
        raise error

    daemon = made(tmp_path, Plugins(sinks(bad=broken)))
    with pytest.raises(kind, match="x"):
        await daemon.run(StopSignals())


async def test_a_sink_that_says_no_is_the_operators_mistake(tmp_path):
    daemon = made(tmp_path, Plugins(sinks(list=lambda _: ListSink(ConfigError("folder in use")))))
    with pytest.raises(ConfigError, match="sink list: folder in use"):
        await daemon.run(StopSignals())


async def test_a_start_by_the_api_that_is_refused_is_answered_409(tmp_path):
    sink = ListSink()
    daemon = made(tmp_path, Plugins(sinks(list=lambda _: sink)))
    async with running(daemon), ask(daemon) as client:
        assert (await client.put("/control?action=stop")).status_code == 200
        sink.refusal = ConfigError("folder in use")
        refused = await client.put("/control?action=start")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "configuration")
        assert (await client.get("/status")).json()["error"] == "sink list: folder in use"


async def test_a_start_that_takes_too_long_names_the_service(tmp_path, monkeypatch):
    class Stuck:
        async def run(self, listeners, *, task_status):
            for listener in listeners:
                await listener.aclose()
            raise StorageError("the venue's disk is gone")

    monkeypatch.setattr("ctcore.workers.SIMULATOR_START_SEC", 0.2)
    driver, exchange = simulated()
    driver = attrs.evolve(driver, simulator=lambda _: Stuck())
    daemon = made(tmp_path, Plugins({}, {"binance": driver}), exchanges=[exchange], subscriptions=[STREAM])
    with pytest.raises(ServiceFailed, match=r"simulator binance is backing_off .*disk is gone"):
        await daemon.run(StopSignals())


async def test_the_signal_cancels_a_start_under_way(tmp_path, monkeypatch):
    class Slow:
        async def run(self, listeners, *, task_status):
            async with listeners[0]:
                await trio.sleep_forever()

    driver, exchange = simulated()
    driver = attrs.evolve(driver, simulator=lambda _: Slow())
    daemon = made(tmp_path, Plugins({}, {"binance": driver}), exchanges=[exchange], subscriptions=[STREAM])
    signals, reports = StopSignals(), []

    async def run():
        reports.append(await daemon.run(signals))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await trio.sleep(0.3)
            signals.ask("SIGTERM")
    assert reports[0].reason == "SIGTERM before everything was up"


async def test_a_reader_that_hangs_does_not_keep_events_from_the_sinks(tmp_path, monkeypatch):
    sink = ListSink()
    driver, exchange = simulated()
    plugins = Plugins(sinks(list=lambda _: sink), {"binance": driver})
    daemon = made(tmp_path, plugins, exchanges=[exchange], subscriptions=[STREAM], budget_sec=10.0)

    class Hanging:
        async def aclose(self):
            await trio.sleep_forever()

    async with running(daemon) as reports:
        await until(lambda: not daemon.workers.unready())
        daemon.workers._readers = [Hanging()]
        await trio.sleep(1)
    assert reports[0].clean, reports[0].lines()
    assert [item.outcome for item in reports[0].items if item.kind == "sink"] == ["written"]
    assert sink.events
