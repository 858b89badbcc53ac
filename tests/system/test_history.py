"""History against what was published: the same books at any moment, and a row for every gap.

The whole daemon runs in this process, on real sockets, so that a witness can sit on its bus.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import attrs
import httpx
import pytest
import trio

from ctcore.config import load_config
from ctcore.contracts.plugin.manager import PluginManager
from ctcore.daemon import Daemon
from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import BookDelta, BookSnapshot, Gap, MarketEvent, Trade
from ctcore.runtime.shutdown import StopSignals
from ctcore.sinks.queries import book_at
from ctcore.sinks.replay import replay_book
from ctcore.testing.witness import Witness

from .histories import check_batches_whole, check_nothing_twice, history
from .processes import CTCORE, Process, free_ports

pytest.importorskip("chdb", reason="the embedded engine is not installed: pip install 'ctcore[embedded]'")
pytestmark = pytest.mark.slow

RUN_SEC = 20.0
READY_SEC = 90.0  # a connection that has died in silence takes 30 to be noticed
INSTANTS = 50
ASKED_BY_API = 5
CONFIG = """
[exchanges.binance]
environment = "simulated"
[exchanges.binance.simulator]
seed = 11
port = {port1}
speed = 5.0
faults_per_min = 20

[exchanges.okx]
environment = "simulated"
[exchanges.okx.simulator]
seed = 12
port = {port2}
speed = 5.0
faults_per_min = 20

[monitor]
orderbook_depth = 0
batch_interval_sec = 0.5
snapshot_interval_sec = 5

[[monitor.subscriptions]]
exchange = "binance"
market = "spot"
pairs = ["BTC/USDT", "ETH/USDT"]
channels = ["orderbook", "trade"]
depth = 50

[[monitor.subscriptions]]
exchange = "binance"
market = "futures"
pairs = ["BTC/USDT"]
channels = ["orderbook", "trade", "mark"]

[[monitor.subscriptions]]
exchange = "okx"
market = "spot"
pairs = ["BTC/USDT"]
channels = ["orderbook", "trade"]

[[monitor.subscriptions]]
exchange = "okx"
market = "futures"
pairs = ["BTC/USDT", "ETH/USDT"]
channels = ["orderbook", "trade", "mark"]
depth = 20

[sinks.history]
kind = "clickhouse"
url = "chdb:{folder}/history"

[server]
port = 0

[state]
dir = "{folder}/state"

[spool]
dir = "{folder}/spool"

[log]
dir = "{folder}/logs"
"""


@attrs.define
class Run:
    """What was published while the daemon ran, and what its API said of the past."""

    config: Path
    folder: Path
    ports: list[int]
    witness: Witness = attrs.field(factory=Witness)
    books: dict[InstrumentId, list[BookSnapshot | BookDelta]] = attrs.field(factory=lambda: defaultdict(list))
    trades: dict[InstrumentId, list[Trade]] = attrs.field(factory=lambda: defaultdict(list))
    gaps: list[Gap] = attrs.field(factory=list)
    answers: list[dict[str, Any]] = attrs.field(factory=list)

    def see(self, event: MarketEvent) -> None:
        """Keep one published event."""
        self.witness.see(event)
        match event:
            case BookSnapshot() | BookDelta():
                self.books[event.instrument].append(event)
            case Trade():
                self.trades[event.instrument].append(event)
            case Gap():
                self.gaps.append(event)

    def instants(self, instrument: InstrumentId, count: int) -> list[int]:
        """Random microseconds of the run, some of them those of events themselves."""
        rng, events = Random(str(instrument)), self.books[instrument]
        first_us, last_us = events[0].received_us, events[-1].received_us
        own = [rng.choice(events).received_us - rng.choice((0, 0, 1)) for _ in range(count // 2)]
        between = [rng.randint(first_us, last_us) for _ in range(count - len(own))]
        return [max(first_us, us) for us in (*own, *between)]


async def live(run: Run) -> None:
    """Run the daemon under faults for a while, then ask it about its past, then end it."""
    plugins = PluginManager()
    daemon, signals = Daemon(load_config(run.config, plugins), plugins), StopSignals()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(daemon.run, signals)
        await until(lambda: daemon.workers is not None)
        assert daemon.workers is not None
        daemon.workers.bus.subscribe(run.see, types=[MarketEvent], on_error=_raise)
        await until(lambda: daemon.workers is None or not daemon.workers.unready())
        await trio.sleep(RUN_SEC)
        await ask(run, daemon)
        await calm(run)
        await until(lambda: whole(daemon))
        signals.graceful.set()


def whole(daemon: Daemon) -> bool:
    """Every stream has had an event since its last gap."""
    workers = daemon.workers
    return workers is None or not (workers.unready() or any(s.open_gap for s in workers.keeper.statistics()))


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something of the daemon's that has no event of its own."""
    with trio.fail_after(READY_SEC):
        while not holds():  # noqa: ASYNC110  as the docstring says
            await trio.sleep(0.001)


async def calm(run: Run) -> None:
    """No more faults, so that what is open can be closed before the end."""
    async with httpx.AsyncClient(trust_env=False) as http:
        for port in run.ports:
            answer = await http.post(f"http://127.0.0.1:{port}/_sim/calm")
            assert answer.status_code == 200, answer.text


def _raise(error: Exception) -> None:
    raise error


async def ask(run: Run, daemon: Daemon) -> None:
    """Some moments that are safely in history, by the API."""
    async with httpx.AsyncClient(base_url=daemon.api_url, timeout=30, trust_env=False) as http:
        before_us = daemon.stamp.now_us() - 3_000_000
        for instrument in run.books:
            of = f"{instrument.exchange}/{instrument.market}/{instrument.pair}"
            for at_us in run.instants(instrument, 4 * ASKED_BY_API)[::4]:
                answer = await http.get(f"/books/{of}", params={"at": min(at_us, before_us), "depth": 0})
                assert answer.status_code == 200, answer.text
                run.answers.append(answer.json())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("daemon")
    config, ports = folder / "ctcore.toml", free_ports(2)
    text = CONFIG.replace("{folder}", str(folder))
    config.write_text(text.replace("{port1}", str(ports[0])).replace("{port2}", str(ports[1])))
    run = Run(config, folder, ports)
    trio.run(live, run)
    assert len(run.books) == 6
    return run


def test_what_was_published_is_whole(run: Run) -> None:
    """Faults struck, and nothing was out of order, unannounced or twice."""
    assert not run.witness.objections
    assert len([gap for gap in run.gaps if gap.end_us is None and gap.reason != "restart"]) >= 3
    for instrument, events in run.books.items():
        assert len(events) > 40, instrument


def test_books_of_history_equal_a_replay_of_what_was_published(run: Run) -> None:
    """By SQL, at random moments, levels and all."""
    with history(run.folder / "history") as client:
        for instrument, events in run.books.items():
            for at_us in run.instants(instrument, INSTANTS):
                found = book_at(client, instrument, at_us)
                assert (found.bids, found.asks) == replay_book(events, at_us), f"{instrument} at {at_us}"
                assert found.in_sync == whole_at(run, instrument, at_us), f"{instrument} at {at_us}"


def whole_at(run: Run, instrument: InstrumentId, at_us: int) -> bool:
    """Whether nothing was missing then: no gap was open, and none had begun since the newest event."""
    gaps = [gap for gap in run.gaps if (gap.instrument, gap.channel) == (instrument, Channel.ORDERBOOK)]
    known = [gap for gap in gaps if gap.received_us <= at_us]
    if known and known[-1].end_us is None:
        return False
    coming = next((gap for gap in gaps if gap.received_us > at_us), None)
    if coming is None:
        return True
    return any(at_us <= event.received_us <= coming.received_us for event in run.books[instrument])


def test_the_api_tells_the_same(run: Run) -> None:
    """What the running daemon said of moments past."""
    assert len(run.answers) == ASKED_BY_API * len(run.books)
    for answer in run.answers:
        instrument = InstrumentId.parse(f"{answer['exchange']}:{answer['market']}:{answer['pair']}")
        bids, asks = replay_book(run.books[instrument], answer["at_us"])
        told = [[tuple(level) for level in answer[side]] for side in ("bids", "asks")]
        assert told == [bids, asks], f"{instrument} at {answer['at_us']}"


def test_the_command_line_tells_the_same(run: Run) -> None:
    """``ctcore books --at`` without a daemon."""
    instrument = next(iter(run.books))
    (at_us,) = run.instants(instrument, 1)
    names = (instrument.exchange, str(instrument.market), instrument.pair)
    config = run.folder / "port.toml"  # with port 0 nobody could know where a daemon would be
    config.write_text(run.config.read_text().replace("port = 0", "port = 1"))
    options = ["--at", str(at_us), "--depth", "0", "--json"]
    process = Process([*CTCORE, "books", "--config", str(config), *names, *options], run.folder / "books")
    try:
        process.check(process.wait_end(60) == 0, "exit status")
        view = httpx.Response(200, text=process.output).json()
    finally:
        process.kill()
    bids, asks = replay_book(run.books[instrument], at_us)
    assert [[tuple(level) for level in view[side]] for side in ("bids", "asks")] == [bids, asks]


def test_every_gap_is_a_row_opened_and_closed(run: Run) -> None:
    """As published, and each but those of the daemon's own end has an end."""
    with history(run.folder / "history") as client:
        rows = client.rows(
            "SELECT concat(exchange, ':', market, ':', pair), channel, reason, "
            "toUnixTimestamp64Micro(g.begin_us), toUnixTimestamp64Micro(g.end_us), "
            "toUnixTimestamp64Micro(g.ts) FROM gap AS g ANY LEFT JOIN v_instrument AS i USING (instrument)")
        told = [
            (str(gap.instrument), gap.channel, gap.reason, gap.begin_us, gap.end_us, gap.received_us)
            for gap in run.gaps
        ]
        assert sorted(rows, key=repr) == sorted(((*map(str, row[:3]), *row[3:]) for row in told), key=repr)
        unclosed = client.rows("SELECT * FROM v_gap WHERE closed IS NULL AND reason != 'restart'")
        assert not unclosed
        check_nothing_twice(client)
        check_batches_whole(client)


def test_every_trade_is_in_history_once(run: Run) -> None:
    with history(run.folder / "history") as client:
        for instrument, trades in run.trades.items():
            rows = client.rows(
                "SELECT trade_id, price, quantity, toString(side) FROM v_trade WHERE exchange = {e:String} "
                "AND market = {m:String} AND pair = {p:String} ORDER BY ts, n",
                {"e": instrument.exchange, "m": str(instrument.market), "p": instrument.pair})
            assert sorted(rows) == sorted((t.trade_id, t.price, t.quantity, str(t.side)) for t in trades)
