"""The server path: the real HTTP client against a facade whose engine is the embedded one."""

from __future__ import annotations

import base64
import gzip
import re
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest

from ctcore.config.secrets import Secret
from ctcore.errors import ConfigError, StorageError
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.market import BookDelta, BookSnapshot, MarketEvent, Side, Trade
from ctcore.sinks.clickhouse import ClickHouseSink
from ctcore.sinks.client import connect
from ctcore.sinks.config import ClickHouseConfig
from ctcore.sinks.queries import book_at

BTC = InstrumentId("binance", Market.SPOT, "BTC/USDT")
T0 = 1_760_000_000_000_000
_INSERT = re.compile(r"(INSERT INTO .*?)\s+FORMAT\s+(\w+)\s*$", re.IGNORECASE | re.DOTALL)


class Facade(ThreadingHTTPServer):
    """As much of ClickHouse's HTTP interface as the client uses: queries, parameters, inserts, errors."""

    daemon_threads = True

    def __init__(self, folder: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        import chdb

        self.engine = chdb.connect(folder)
        self.turn = threading.Lock()
        self.encodings: set[str] = set()
        self.broken = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Facade
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
        """Stay quiet."""

    def do_GET(self) -> None:
        self._answer(200, b"Ok.\n", "")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        arguments = dict(parse_qsl(urlsplit(self.path).query))
        if self.server.broken:
            self.close_connection = True
            return
        given = base64.b64decode(self.headers.get("Authorization", "Basic Og==").split()[1]).decode()
        if given != "default:right":
            self._answer(403, b"Code: 516. DB::Exception: wrong password (AUTHENTICATION_FAILED)", "516")
            return
        try:
            self._answer(200, self._run(arguments, body), "")
        except RuntimeError as error:
            code = re.search(r"Code: (\d+)", str(error))
            self._answer(500, str(error).encode(), code[1] if code else "0")

    def _run(self, arguments: dict[str, str], body: bytes) -> bytes:
        encoding = self.headers.get("Content-Encoding", "")
        self.server.encodings.add(encoding)
        if encoding == "lz4":
            import lz4.frame  # type: ignore[import-untyped]

            body = lz4.frame.decompress(body)
        elif encoding == "gzip":
            body = gzip.decompress(body)
        sql, data = arguments.get("query", ""), body
        if not sql:
            head, _, rest = body.partition(b"\n")
            sql, data = (head.decode(), rest) if _INSERT.match(head.decode()) else (body.decode(), b"")
        parameters = {key[6:]: value for key, value in arguments.items() if key.startswith("param_")}
        with self.server.turn:
            if "database" in arguments:
                self.server.engine.query(f"USE {arguments['database']}", "TabSeparated")
            insert = _INSERT.match(sql)
            if insert is None:
                if data:
                    sql = f"{sql}\n{data.decode()}"
                return self.server.engine.query(sql, "TabSeparated", params=parameters).bytes() or b""
            with tempfile.NamedTemporaryFile() as file:
                file.write(data)
                file.flush()
                infile = f"{insert[1]} FROM INFILE '{file.name}' FORMAT {insert[2]}"
                self.server.engine.query(infile, "TabSeparated")
        return b""

    def _answer(self, status: int, body: bytes, code: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def facade(engine: str) -> Iterator[Facade]:
    server = Facade(urlsplit(engine).path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    server.engine.close()


@pytest.fixture
def served(facade: Facade, config: ClickHouseConfig) -> ClickHouseConfig:
    return attrs.evolve(config, url=facade.url, password=Secret("right"), max_retries=1, query_timeout_sec=5)


def events() -> list[MarketEvent]:
    return [BookSnapshot(BTC, T0, T0, 1, [(100.5, 1.0)], [(101.0, 1.5)]),
            BookDelta(BTC, T0, T0 + 1, 2, 1, 2, [(100.5, 0.0), (100.25, 7.0)], []),
            Trade(BTC, T0, T0 + 2, "1", 100.123456789, 0.1, Side.BUY)]


@pytest.mark.parametrize("compression", [True, False])
def test_the_same_sink_and_the_same_questions_over_http(
    facade: Facade, served: ClickHouseConfig, compression: bool
) -> None:
    served = attrs.evolve(served, compression=compression)
    sink = ClickHouseSink(served)
    sink.open()
    for _ in range(2):
        sink.write_batch("run-1", events())
    client = connect(served)
    client.use(served.database)
    book = book_at(client, BTC, T0 + 1)
    assert (book.bids, book.asks, book.in_sync) == ([(100.25, 7.0)], [(101.0, 1.5)], True)
    assert client.rows("SELECT price, quantity FROM v_trade") == [(100.123456789, 0.1)]
    client.close()
    sink.close()
    assert bool(facade.encodings - {""}) is compression


def test_a_wrong_password_is_the_operators(served: ClickHouseConfig) -> None:
    with pytest.raises(ConfigError, match="password is wrong") as caught:
        connect(attrs.evolve(served, password=Secret("wrong-one")))
    assert "wrong-one" not in str(caught.value)


def test_a_connection_that_breaks_is_a_storage_error(facade: Facade, served: ClickHouseConfig) -> None:
    sink = ClickHouseSink(served)
    sink.open()
    facade.broken = True
    with pytest.raises(StorageError, match=served.url):
        sink.write_batch("run-1", events())
    facade.broken = False
    sink.write_batch("run-1", events())
    sink.close()
    assert sink.statistics().batches == 1


def test_the_folder_is_made_where_it_is_missing(tmp_path: Path) -> None:
    assert ClickHouseConfig(url=f"chdb://{tmp_path}/a/b").folder == f"{tmp_path}/a/b"
    assert ClickHouseConfig(url="chdb:a/b").folder == "a/b"
