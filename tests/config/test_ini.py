"""The original's INI file: its grammar, its keys, and what was added to them."""

import pytest

from ctcore.config import SIMULATED
from ctcore.config.ini import read_ini
from ctcore.model.ids import Channel, Market

# Sections and keys as the original daemon's documented example has them.
ORIGINAL = """
# ============ DATABASE ============
[database]
type = mysql
host = localhost
port = 3306
user = db_user
password = db_pass
name = ct_system
use_tls = false
# ca_cert = /path/to/ca.crt
# tls_skip_verify = false
connect_timeout_sec = 10
max_retries = 5
[server]
port = 8080
state_file = state/daemon.state
[log]
level = debug
dir = ./logs
max_file_size_mb = 100
[role]
mode = both
[monitor]
orderbook_depth = 20
batch_size = 500
batch_interval_sec = 5
ring_buffer_size = 10000
save_interval = 5
[trader]
max_open_orders = 10
max_position_size = 1000.0
default_strategy = grid
strategy_update_interval = 10
slippage_percent = 0.5
enable_backtest = false
[trade]
update_interval = 5
[orderbook]
debug_log_raw = false
debug_log_msg = false
[clickhouse]
host = localhost
port = 8123
database = crypto
username = default
password = default
use_tls = false
# tls_skip_verify = false
connect_timeout_sec = 10
max_retries = 3
compression = true
max_batch_size = 10000
replication_factor = 1"""


def values(text):
    """Keys and values of a text without mistakes."""
    ini = read_ini(text)
    assert ini.mistakes == ()
    return {f"{entry.section}.{entry.key}": entry.value for entry in ini.entries}


def test_the_original_file_loads_and_says_that_nothing_is_traded(load):
    config = load(ORIGINAL, name="x.ini")
    assert "x.ini:23: role.mode: this version only monitors: nothing is traded" in config.notices
    assert (config.database.user, config.database.password.reveal()) == ("db_user", "db_pass")
    assert (str(config.state.dir), config.state.name) == ("state", "daemon")
    assert (config.log.level, str(config.log.dir)) == ("debug", "logs")
    assert config.monitor.save_interval_sec == 5.0
    assert config.trader.strategy_update_interval_sec == 10.0
    assert config.sinks["clickhouse"].options.url == "http://localhost:8123"
    assert config.sinks["clickhouse"].options.max_batch_size == 10_000
    assert config.subscriptions == ()
    assert [line.split(": ")[1] for line in config.notices] == [
        "trade.update_interval", "orderbook.debug_log_raw", "orderbook.debug_log_msg", "role.mode",
        "database"]


def test_exchanges_say_what_to_collect(load):
    config = load("""
        [exchange.acme]
        environment = Simulated
        spot = BTC/USDT, eth/usdt
        futures = BTC/USDT
        channels = orderbook, trade, ticker
        futures_channels = funding
        depth = 50
        pace_sec = 2
        [exchange.acme.simulator]
        seed = 3
        [sink.second]
        kind = tape
    """.replace("Simulated", SIMULATED), name="x.ini")
    acme = config.exchanges["acme"]
    assert acme.simulated
    assert (acme.simulator.seed, acme.options.pace_sec) == (3, 2.0)
    assert config.sinks["second"].kind == "tape"
    wanted = [(item.instrument.market, item.instrument.pair, item.channel) for item in config.subscriptions]
    assert wanted == [
        *((Market.SPOT, pair, channel) for pair in ("BTC/USDT", "ETH/USDT")
          for channel in (Channel.ORDERBOOK, Channel.TRADE, Channel.TICKER)),
        (Market.FUTURES, "BTC/USDT", Channel.FUNDING),
    ]
    assert config.subscriptions[0].depth == 50


@pytest.mark.parametrize(("text", "line"), [
    ("[server]\nprot = 1", "x.ini:2: server.prot: is not a known key; did you mean 'port'?"),
    ("[servr]\nport = 1", "x.ini:1: servr: is not a known section; did you mean 'server'?"),
    ("port = 1", "x.ini:1: port: belongs to no section; move it into one"),
    ("[server]\nport = 8080 # x\nport = 8081", "x.ini:3: port is written twice (first in line 2); keep one"),
    ("[server]\nport = many", "x.ini:2: server.port: must be a whole number, is 'many'"),
    ("[server]\nport 8080", "x.ini:2: there is no '=' in this line; write key = value"),
    ("[server]\n= 8080", "x.ini:2: there is no key before the '='; write key = value"),
    ("[server\nport = 1", "x.ini:1: a section is written [name]; close the bracket"),
    ("[log]\ndir = `x", "x.ini:2: the value of dir starts with ` and never ends; close it"),
    ("[log]\ndir = %(a)s\na = %(b)s\nb = %(a)s",
     "x.ini:2: the %(...)s in dir lead in a circle; write the value"),
    ("[monitor]\nsave_interval = 1\nsave_interval_sec = 2",
     "x.ini:3: monitor.save_interval_sec: says the same as save_interval_sec; keep one"),
    ("[clickhouse]\nuse_tls = maybe", "x.ini:2: clickhouse.use_tls: must be true or false, is 'maybe'"),
    ("[exchange.kraken]\nspot = BTC/USDT", (
        "x.ini:1: exchange.kraken: no installed plugin serves it; "
        "install ctdaemon-kraken or remove the section")),
    ("[exchange.acme]\nspot = BTCUSDT", (
        "x.ini:2: exchange.acme.spot: must list pairs as BASE/QUOTE, like BTC/USDT, is 'BTCUSDT'")),
    ("[exchange.acme]\nspot = A/B\nchannels = trade, funding", (
        "x.ini:3: exchange.acme.channels[1]: "
        "Acme spot has no 'funding'; it has orderbook, trade, ticker, candle")),
    ("[exchange.acme]\nlevels = 6\nspot = A/B", (
        "x.ini:2: exchange.acme.levels: 'levels' must be in (5, 10) (got 6)")),
    ("[exchange.acme]", (
        "x.ini: monitor: there is nothing to monitor; add [exchange.<id>] with spot = BTC/USDT")),
])
def test_a_mistake_is_told_by_the_names_of_the_file(problems, text, line):
    assert line in problems(text, name="x.ini")


@pytest.mark.parametrize(("written", "value"), [
    ("plain text", "plain text"),
    ("  blanks  ", "blanks"),
    ("ab#cd", "ab"),
    ("ab ; cd", "ab"),
    ("100%", "100%"),
    ("50%(x", "50%(x"),
    ("%(unknown)s", "%(unknown)s"),
    ('"ab#cd"', "ab#cd"),
    ("'a;b' # c", "a;b"),
    ('"a"b"', 'a"b'),
    ("`a#b;c`", "a#b;c"),
    ("`two\nlines`", "two\nlines"),
    ('"""raw "text" #1"""', 'raw "text" #1'),
    ("one \\\n   two", "one two"),
    ("a=b:c", "a=b:c"),
    ("", ""),
    ("# nothing", ""),
])
def test_values_are_read_as_the_original_reads_them(written, value):
    assert values(f"[s]\nkey = {written}\nnext: 1") == {"s.key": value, "s.next": "1"}


def test_references_within_the_file():
    text = "base = /data\n[a]\nbase = /a\ndir = %(base)s/x\n[b]\ndir = %(base)s/%(name)s\nname = n\n"
    assert values(text + "[a]\nmore = 1") == {
        ".base": "/data", "a.base": "/a", "a.dir": "/a/x", "b.dir": "/data/n", "b.name": "n", "a.more": "1"}


def test_references_that_explode_are_refused():
    lines = ["[s]", "k0 = xxxxxxxxxx", *(f"k{i} = {f'%(k{i - 1})s' * 10}" for i in range(1, 9))]
    assert [mistake.line for mistake in read_ini("\n".join(lines)).mistakes] == [6, 7, 8, 9, 10]


@pytest.mark.parametrize(("word", "meaning"), [
    *((word, True) for word in ("true", "TRUE", "Yes", "on", "t", "Y", "1")),
    *((word, False) for word in ("false", "False", "NO", "off", "f", "n", "0", "")),
])
def test_booleans_in_every_case(load, word, meaning):
    config = load(f"[database]\nuser=u\nname=n\n[trader]\nenable_backtest = {word}", name="x.ini")
    assert config.trader.enable_backtest is meaning


def test_an_empty_value_leaves_the_default(load):
    config = load("[server]\nport =\nhost = ; none\n[database]\nuser=u\nname=n\nport=",
                  name="x.ini")
    assert (config.server.port, config.server.host, config.database.port) == (8080, "127.0.0.1", None)


def test_windows_line_ends(load):
    config = load("[database]\r\nuser = u\r\nname = n\r\n", name="x.ini")
    assert (config.database.user, config.database.name) == ("u", "n")


def test_a_mistake_never_repeats_the_line(problems):
    told = "\n".join(problems("[database]\nuser = u\nname = n\nhunter2\npassword = `hunter2", name="x.ini"))
    assert "hunter2" not in told
