"""A TOML file in, a checked configuration or every problem out."""

import os
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from ctcore.config import disabled_plugins, load_config
from ctcore.contracts.plugin.manager import PluginReport
from ctcore.contracts.sink import SinkPlugin
from ctcore.errors import ConfigError, ConfigProblems
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription

GROUP = """
[[monitor.subscriptions]]
exchange = "acme"
market = "spot"
pairs = ["BTC/USDT"]
"""
LEAST = "[exchanges.acme]" + GROUP


def test_a_short_file_gets_the_defaults(load):
    config = load(LEAST)
    assert config.role.mode == "monitor"
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
    assert config.monitor.flush_interval_sec == 5.0
    assert config.trader.max_position_size == Decimal(1000)
    assert config.database is None
    assert config.sinks == {}
    assert config.notices == ()


def test_everything_arrives_typed(load, plugins):
    config = load("""
        [server]
        host = "::1"
        port = 0
        allowed_origins = ["http://localhost:3000"]
        [monitor]
        orderbook_depth = 50
        batch_interval_sec = 4
        save_interval_sec = 2
        [trader]
        max_position_size = 0.1
        [exchanges.acme]
        environment = "testnet"
        rest = { spot = "http://127.0.0.1:1" }
        pace_sec = 2
        [exchanges.acme.simulator]
        seed = 7
        fault_kinds = ["gap", "http_429"]
        [sinks.tape]
        folder = "f"
        [sinks.second]
        kind = "tape"
    """ + GROUP + 'channels = ["orderbook", "candle"]\ncandle_interval = "1h"\n'
        + GROUP.replace("spot", "futures") + 'channels = ["funding", "orderbook"]\ndepth = 0\n')
    assert config.monitor.flush_interval_sec == 2.0
    assert config.trader.max_position_size == Decimal("0.1")
    acme = config.exchanges["acme"]
    assert (acme.environment, acme.simulated, acme.options.pace_sec) == ("testnet", False, 2.0)
    assert acme.endpoints(plugins.drivers["acme"].info).rest == {"spot": "http://127.0.0.1:1"}
    assert acme.simulator.options.seed == 7
    assert acme.simulator.fault_kinds == ("gap", "http_429")
    assert [(sink.name, sink.kind, sink.options.folder) for sink in config.sinks.values()] == [
        ("tape", "tape", "f"), ("second", "tape", "tape")]
    spot = InstrumentId("acme", Market.SPOT, "BTC/USDT")
    futures = InstrumentId("acme", Market.FUTURES, "BTC/USDT")
    assert config.subscriptions == (
        Subscription(spot, Channel.ORDERBOOK, 50, "1h"),
        Subscription(spot, Channel.CANDLE, 0, "1h"),
        Subscription(futures, Channel.FUNDING),
        Subscription(futures, Channel.ORDERBOOK, 0),
    )
    assert all(isinstance(subscription.channel, Channel) for subscription in config.subscriptions)
    assert isinstance(config.subscriptions[0].instrument.market, Market)


def test_a_configuration_is_frozen(load):
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        load(LEAST).role = None


BAD = [
    # sections and keys
    ("[serve]", "x.toml:1: serve: is not a known section; did you mean 'server'?"),
    ("[server]\nprot = 1", "x.toml:2: server.prot: is not a known key; did you mean 'port'?"),
    ("server = 3", "x.toml:1: server: must be a section of its own, a table of keys, is 3"),
    ("exchanges = 3", "x.toml:1: exchanges: must hold sections; write [exchanges.<name>]"),
    ("[sinks]\ntape = 3", "x.toml:2: sinks.tape: must be a section of its own; write [sinks.tape]"),
    ("[database]\nuser = 'u'", "x.toml:1: database.name: is missing; add it"),
    # wrong types
    ("[server]\nport = '8080'", "x.toml:2: server.port: must be a whole number, is '8080'"),
    ("[server]\nport = true", "x.toml:2: server.port: must be a whole number, is true"),
    ("[server]\nport = 1.5", "x.toml:2: server.port: must be a whole number, is 1.5"),
    ("[log]\ndir = 5", "x.toml:2: log.dir: must be a text in quotes, is 5"),
    ("[log]\ndir = ''", "x.toml:2: log.dir: must not be empty"),
    ("[log]\ndir = '''\na'''\nlevel = 'loud'",
     "x.toml:4: log.level: must be one of debug, info, warn, error, is 'loud'"),
    ("[monitor]\nbatch_interval_sec = nan", "x.toml:2: monitor.batch_interval_sec: must be a number, is nan"),
    ("[trader]\nenable_backtest = 'yes'",
     "x.toml:2: trader.enable_backtest: must be true or false, is 'yes'"),
    ("[server]\nallowed_origins = 'http://x'",
     "x.toml:2: server.allowed_origins: must be a list, in square brackets, is 'http://x'"),
    ("[exchanges.acme]\nrest = 3", "x.toml:2: exchanges.acme.rest: must be a table of keys, is 3"),
    ("[exchanges.acme]\nrest = { spot = 3 }",
     "x.toml:2: exchanges.acme.rest.spot: must be a text in quotes, is 3"),
    # impossible values
    ("[server]\nport = 65536", "x.toml:2: server.port: must be 0 to 65535, is 65536"),
    (f"[server]\nport = 0x{'f' * 5000}",
     "x.toml:2: server.port: must be 0 to 65535, is far too large a number"),
    ("[monitor]\nbatch_size = 0", "x.toml:2: monitor.batch_size: must be 1 to 1000000, is 0"),
    ("[shutdown]\nbudget_sec = 31", "x.toml:2: shutdown.budget_sec: must be 1 to 30, is 31.0"),
    ("[state]\nname = '../x'", "x.toml:2: state.name: must be a plain file name, is '../x'"),
    ("[server]\nhost = 'http://x'",
     "x.toml:2: server.host: must be a host name or an IP address, without scheme and port, is 'http://x'"),
    ("[server]\nhost = '0.0.0.0'",
     "x.toml:1: server: host 0.0.0.0 can be reached from outside; set token, or host to 127.0.0.1"),
    ("[server]\nallowed_origins = ['http://x/y']", ("x.toml:2: server.allowed_origins: must list origins as "
     "https://host or http://host:port, without a path, is 'http://x/y'")),
    ("[database]\nuser = 'u'\nname = 'n'\nclient_cert = 'c'",
     "x.toml:1: database: client_cert and client_key go together; set both or neither"),
    # exchanges
    ("[exchanges.kraken]", (
        "x.toml:1: exchanges.kraken: no installed plugin serves it; install ctdaemon-kraken "
     "or remove the section")),
    ("[exchanges.acne]", "x.toml:1: exchanges.acne: no installed plugin serves it; did you mean 'acme'?"),
    ("[exchanges.acme]\nenvironment = 'demo'",
     "x.toml:2: exchanges.acme.environment: must be one of live, testnet, simulated, is 'demo'"),
    ("[exchanges.bare]\nenvironment = 'simulated'",
     "x.toml:2: exchanges.bare.environment: Bare has no simulated venue; use one of live, testnet"),
    ("[exchanges.acme]\nenvironment = 'simulated'\nrest = { spot = 'http://x' }",
     "x.toml:3: exchanges.acme.rest: has no effect on a simulated exchange; remove it"),
    ("[exchanges.acme.stream]\nfutures = 'wss://x'",
     "x.toml:2: exchanges.acme.stream.futures: Acme has no such address; it has spot"),
    ("[exchanges.acme.rest]\nspot = 'wss://x'",
     "x.toml:1: exchanges.acme.rest: must be an URL as https://host or https://host:port/path"),
    ("[exchanges.acme]\npase_sec = 1",
     "x.toml:2: exchanges.acme.pase_sec: is not a known key; did you mean 'pace_sec'?"),
    ("[exchanges.bare]\npace_sec = 1", (
        "x.toml:2: exchanges.bare.pace_sec: is not a known key; the keys here are "
     "environment, rest, simulator, stream")),
    ("[exchanges.acme]\npace_sec = 0", "x.toml:2: exchanges.acme.pace_sec: must be above 0, is 0.0"),
    ("[exchanges.acme]\nlevels = 7", "x.toml:2: exchanges.acme.levels: 'levels' must be in (5, 10) (got 7)"),
    ("[exchanges.acme.simulator]\nspeed = 0",
     "x.toml:2: exchanges.acme.simulator.speed: must be above 0, is 0.0"),
    ("[exchanges.acme.simulator]\nfault_kinds = ['gap', 'gapp']",
     ("x.toml:2: exchanges.acme.simulator.fault_kinds[1]: must be one of gap, duplicate, reorder, stall, "
     "disconnect, half_open, corrupt, http_429, http_418, http_500, slow_http, venue_notice "
     "(did you mean 'gap'?), is 'gapp'")),
    ("[exchanges.acme]\nenvironment = 'simulated'\nsimulator = { port = 8080 }",
     "x.toml:3: exchanges.acme.simulator.port: 8080 is taken by server.port; choose another, or 0 for any"),
    # sinks
    ("[sinks.type]", ("x.toml:1: sinks.type.kind: no installed plugin offers sinks of the kind 'type'; "
     "did you mean 'tape'?")),
    ("[sinks.x]\nkind = 'tape'\nfolder = 1", "x.toml:3: sinks.x.folder: must be a text in quotes, is 1"),
    ("[sinks.clickhouse]\nurl = 'http://x'\n[clickhouse]",
     "x.toml:3: clickhouse: says the same as the section sinks.clickhouse; keep one of the two"),
]


@pytest.mark.parametrize(("text", "line"), BAD, ids=[line[:60] for _, line in BAD])
def test_a_mistake_is_told_with_its_place_and_mend(problems, text, line):
    assert line in problems(text)


BAD_GROUPS = [
    ("pairs = ['BTC/USDT']", "pairs = ['BTCUSDT']",
     "x.toml:5: monitor.subscriptions[0].pairs: must list pairs as BASE/QUOTE, like BTC/USDT, is 'BTCUSDT'"),
    ("pairs = ['BTC/USDT']", "pairs = []", "x.toml:5: monitor.subscriptions[0].pairs: must not be empty"),
    ("pairs = ['BTC/USDT']", "pairs = ['BTC/USDT', 3]",
     "x.toml:5: monitor.subscriptions[0].pairs[1]: must be a text in quotes, is 3"),
    ("'spot'", "'margin'",
     "x.toml:4: monitor.subscriptions[0].market: must be one of spot, futures, is 'margin'"),
    ("'acme'", "'acma'", ("x.toml:3: monitor.subscriptions[0].exchange: there is no section for 'acma'; "
     "did you mean 'acme'?")),
    ("'acme'", "'bare'", ("x.toml:3: monitor.subscriptions[0].exchange: there is no section for 'bare'; "
     "add [exchanges.bare]")),
    ("market", "channels = ['trade', 'funding']\nmarket", ("x.toml:4: monitor.subscriptions[0].channels[1]: "
     "Acme spot has no 'funding'; it has orderbook, trade, ticker, candle")),
    ("market", "channels = ['candle']\ncandle_interval = '7m'\nmarket",
     "x.toml:5: monitor.subscriptions[0].candle_interval: Acme spot has no candles of '7m'; it has 1m, 1h"),
    ("'BTC/USDT'", "'BTC/USDT', 'btc/usdt'", ("x.toml:5: monitor.subscriptions[0].pairs[1]: "
     "acme:spot:BTC/USDT orderbook(20) is wanted already by monitor.subscriptions[0].pairs[0] (line 5); "
     "remove one")),
    ("'spot'", "'spot'\ndepth = -1", "x.toml:5: monitor.subscriptions[0].depth: must be 0 to 5000, is -1"),
]


@pytest.mark.parametrize(("old", "new", "line"), BAD_GROUPS)
def test_a_subscription_that_cannot_be_is_told(problems, old, new, line):
    text = LEAST.replace('"', "'")
    assert old in text
    assert line in problems(text.replace(old, new, 1))


def test_a_market_the_driver_lacks_is_told(problems):
    text = "[exchanges.bare]" + GROUP.replace("acme", "bare").replace("spot", "futures")
    assert problems(text) == (
        "x.toml:4: monitor.subscriptions[0].market: Bare has no market 'futures' here; it has spot",)


def test_candles_of_two_intervals_are_two_streams(load):
    candles = GROUP + 'channels = ["candle"]\n'
    config = load("[exchanges.acme]" + candles + candles + 'candle_interval = "1h"\n')
    assert [subscription.interval for subscription in config.subscriptions] == ["1m", "1h"]


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file(problems):
    text = """[server]
port = -1
host = "a b"
[exchanges.kraken]
[exchanges.acme]
pace_sec = "fast"
levels = 3
[monitor]
batch_size = 0
[[monitor.subscriptions]]
exchange = "acme"
market = "spot"
pairs = ["X"]
[[monitor.subscriptions]]
exchange = "nobody"
market = "spot"
pairs = ["BTC/USDT"]
[sinks.none]
[wrong]
"""
    lines = [int(line.split(":")[1]) for line in problems(text)]
    assert lines == [2, 3, 4, 6, 7, 9, 13, 15, 18, 19]


def test_two_simulated_exchanges_do_not_share_a_port(problems, plugins):
    acme = plugins.drivers["acme"]
    second = attrs.evolve(acme, info=attrs.evolve(acme.info, id="twin"))
    both = attrs.evolve(plugins, drivers={**plugins.drivers, "twin": second})
    text = "".join(f"[exchanges.{name}]\nenvironment = 'simulated'\nsimulator = {{ port = 9000 }}\n"
                   for name in ("acme", "twin")) + GROUP
    assert problems(text, plugins=both) == (
        ("x.toml:6: exchanges.twin.simulator.port: 9000 is taken by exchanges.acme.simulator.port; "
        "choose another, or 0 for any"),)


@pytest.mark.parametrize(("report", "text"), [
    (PluginReport("kraken", "ctdaemon-kraken", "1", "disabled", (), ("ctdaemon-kraken: it is broken; mend",)),
     "its plugin is disabled; ctdaemon-kraken: it is broken; mend"),
    (PluginReport("kraken", "ctdaemon-kraken", "1", "blocked"),
     "its plugin ctdaemon-kraken is blocked; take it off plugins.disable and CTCORE_DISABLE_PLUGINS"),
])
def test_an_exchange_whose_plugin_cannot_be_used_says_why(problems, plugins, report, text):
    told = problems("[exchanges.kraken]" + GROUP, plugins=attrs.evolve(plugins, reports=(report,)))
    assert f"x.toml:1: exchanges.kraken: {text}" in told


def test_monitoring_nothing_is_a_mistake_unless_a_database_has_the_tasks(load, problems):
    assert problems("[exchanges.acme]") == (
        "x.toml: monitor: there is nothing to monitor; add [[monitor.subscriptions]]",)
    assert problems("[role]\nmode = 'trader'") == (
        "x.toml:2: role.mode: 'trader' trades, which this version cannot do; write monitor",)
    config = load("[database]\nname = 'n'\nuser = 'u'")
    assert config.database.connect_port == 3306
    assert config.notices == (
        "x.toml:1: database: is checked but not connected to; tasks are read from this file",)


def test_clickhouse_is_one_more_sink(load):
    config = load(LEAST + "[clickhouse]\nhost = '::1'\nuse_tls = true\npassword = 'p4ssw0rd'\nport = 8443\n")
    sink = config.sinks["clickhouse"]
    assert (sink.kind, sink.options.url) == ("clickhouse", "https://[::1]:8443")
    assert sink.options.password.reveal() == "p4ssw0rd"


# Files that are no configuration: one error each, before anything else is looked at.

def test_files_that_cannot_be_read(tmp_path, plugins):
    (tmp_path / "latin.toml").write_bytes(b"[log]\nlevel = \"\xe9\"")
    (tmp_path / "utf16.toml").write_bytes("[log]".encode("utf-16"))
    (tmp_path / "null.toml").write_bytes(b"[log]\0")
    (tmp_path / "huge.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "x.yaml").write_text("log:")
    (tmp_path / "syntax.toml").write_text("[log\nlevel = 1")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 50_000)
    (tmp_path / "long.toml").write_text("a = " + "9" * 5_000)
    os.mkfifo(tmp_path / "pipe.toml")
    expected = {
        "latin.toml": ":2: is not UTF-8; save it as UTF-8",
        "utf16.toml": ": is UTF-16; save it as UTF-8",
        "null.toml": ": is not a text; name a configuration file",
        "huge.toml": ": is larger than 1 MB; this is no configuration",
        "folder.toml": ": is not a file; name a configuration file",
        "pipe.toml": ": is not a file; name a configuration file",
        "x.yaml": ": is neither TOML nor INI by its name; name it .toml or .ini",
        "deep.toml": ": is not valid TOML: a value is too long or nested too deeply; correct it",
        "long.toml": ": is not valid TOML: a value is too long or nested too deeply; correct it",
        "absent.toml": ": there is no such file; correct the path",
        "nul\0.toml": ": no file can have this name; correct the path",
    }
    for name, text in expected.items():
        with pytest.raises(ConfigError) as caught:
            load_config(tmp_path / name, plugins)
        assert str(caught.value).endswith(text), name
        assert not isinstance(caught.value, ConfigProblems)
    with pytest.raises(ConfigError, match=r"syntax\.toml: is not valid TOML: .*line 1.*; correct that line"):
        load_config(tmp_path / "syntax.toml", plugins)


def test_a_byte_order_mark_does_no_harm(tmp_path, plugins):
    path = tmp_path / "bom.toml"
    path.write_text("\ufeff" + LEAST, encoding="utf-8")
    assert load_config(path, plugins).path == path


def test_plugins_to_disable_are_read_before_all_else(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("[plugins]\ndisable = ['a', 'b']\n[nonsense]")
    assert disabled_plugins(path) == ("a", "b")
    path.write_text("[plugins]\ndisable = 3")
    assert disabled_plugins(path) == ()
    assert disabled_plugins(Path("absent.toml")) == ()


@pytest.mark.parametrize("value", ["5", "'acme'", "{ exchange = 'acme' }"])
def test_subscriptions_that_are_no_list_are_one_problem(problems, value):
    told = problems(f"[exchanges.acme]\n[monitor]\nsubscriptions = {value}")
    assert len(told) == 1
    assert told[0].startswith("x.toml:3: monitor.subscriptions: must be a list")


@pytest.mark.parametrize("name", ["../up", "a/b", "History", ".", "", "a" * 33, "-a"])
@pytest.mark.parametrize("section", ["sinks", "exchanges"])
def test_names_become_folders_and_hold_nothing_else(problems, section, name):
    told = problems(LEAST + f"[{section}.'{name}']\nkind = 'tape'")
    assert len(told) == 1
    assert "use up to 32 lower-case letters, digits, '-' and '_'" in told[0]


@attrs.frozen(kw_only=True)
class FilesConfig:
    directory: Path = Path("files")


@pytest.mark.parametrize(("first", "second", "problem"), [
    ("kind = 'files'", "kind = 'files'\ndirectory = './files'",
     "sinks.b.directory: sinks.a writes there already; choose another place"),
    ("kind = 'clickhouse'\nurl = 'http://H:8123/'", "kind = 'clickhouse'\nurl = 'http://h'",
     "sinks.b.url: sinks.a writes there already; choose another place"),
    ("kind = 'clickhouse'\nurl = 'chdb:x'", "kind = 'clickhouse'\nurl = 'chdb:y/../x'",
     "sinks.b.url: sinks.a writes there already; choose another place"),
    ("kind = 'clickhouse'\nurl = 'chdb:x'", "kind = 'clickhouse'\nurl = 'chdb:y'",
     "sinks.b.url: sinks.a has another folder, and the embedded engine opens one; give both the same url"),
    ("kind = 'clickhouse'\nurl = 'chdb:x'", "kind = 'clickhouse'\nurl = 'chdb:x'\ndatabase = 'other'", ""),
    ("kind = 'clickhouse'\nurl = 'http://h'", "kind = 'clickhouse'\nurl = 'http://g'", ""),
])
def test_two_sinks_keep_out_of_each_others_way(load, problems, plugins, first, second, problem):
    plugins = attrs.evolve(plugins, sinks={
        **plugins.sinks, "files": SinkPlugin(name="files", config_type=FilesConfig, create=FilesConfig)})
    text = LEAST + f"[sinks.a]\n{first}\n[sinks.b]\n{second}\n"
    if not problem:
        assert len(load(text, plugins=plugins).sinks) == 2
        return
    told = problems(text, plugins=plugins)
    assert len(told) == 1
    assert told[0].endswith(problem)


def test_the_other_keys_of_a_subscription_with_a_mistake_are_checked_too(problems):
    told = problems("""[exchanges.acme]
        [[monitor.subscriptions]]
        exchange = "acm"
        market = "spot"
        pairs = ["BTC/USDT"]
        depth = -1
        [[monitor.subscriptions]]
        exchange = "acme"
        market = "spot"
        pairs = ["BTCUSDT"]
        channels = ["funding"]
        [[monitor.subscriptions]]
        exchange = "acme"
        market = "spott"
        pairs = ["BTC/USDT"]
        depht = 3
    """)
    assert [line.split(": ")[1] for line in told] == [
        "monitor.subscriptions[0].exchange", "monitor.subscriptions[0].depth",
        "monitor.subscriptions[1].pairs", "monitor.subscriptions[1].channels[0]",
        "monitor.subscriptions[2].market", "monitor.subscriptions[2].depht"]
