from __future__ import annotations

import json
from decimal import Decimal

import pytest
from ctdaemon_binance.config import BinanceConfig
from ctdaemon_binance.driver import BinanceDriver
from loguru import logger

from ctcore.contracts.driver import HttpRequest, HttpResponse
from ctcore.errors import DecodeError
from ctcore.model.ids import Market
from ctcore.model.instrument import Catalogue, InstrumentKind

from .conftest import FIXTURES


def test_a_spot_row(catalogues: dict[Market, Catalogue]) -> None:
    bitcoin = catalogues[Market.SPOT].by_symbol("BTCUSDT")
    assert bitcoin is not None
    assert str(bitcoin.id) == "binance:spot:BTC/USDT"
    assert (bitcoin.kind, bitcoin.base, bitcoin.quote, bitcoin.settle) == ("spot", "BTC", "USDT", "USDT")
    assert (bitcoin.tick_size, bitcoin.lot_size) == (Decimal("0.01"), Decimal("0.00001"))
    assert (bitcoin.min_quantity, bitcoin.max_quantity) == (Decimal("0.00001"), Decimal(9000))
    assert bitcoin.min_notional == 5
    assert bitcoin.active


def test_filters_that_are_off_leave_the_row_s_precision(catalogues: dict[Market, Catalogue]) -> None:
    row = catalogues[Market.SPOT].by_symbol("XYZBTC")
    assert row is not None
    assert (row.tick_size, row.lot_size) == (Decimal("0.00000001"), Decimal("0.000001"))
    assert (row.min_quantity, row.max_quantity) == (None, None)
    assert row.min_notional == Decimal("0.0001")
    assert not row.active


def test_futures_rows(catalogues: dict[Market, Catalogue]) -> None:
    rows = {row.symbol: row for row in catalogues[Market.FUTURES]}
    assert sorted(rows) == ["BTCUSDT", "BTCUSDT_261225"]
    perpetual, dated = rows["BTCUSDT"], rows["BTCUSDT_261225"]
    assert str(perpetual.id) == "binance:futures:BTC/USDT"
    assert (perpetual.kind, perpetual.expiry_us) == (InstrumentKind.PERPETUAL, None)
    assert perpetual.tick_size == Decimal("0.1"), "the filter's, not pricePrecision"
    assert (perpetual.min_notional, perpetual.contract_size) == (Decimal(100), Decimal(1))
    assert not perpetual.inverse
    assert str(dated.id) == "binance:futures:BTC/USDT-261225"
    assert (dated.kind, dated.expiry_us) == (InstrumentKind.DATED, 1_798_185_600_000_000)


def test_perpetuals_on_stocks_are_listed_on_request() -> None:
    driver = BinanceDriver(BinanceDriver.info.environments["live"], BinanceConfig(list_tradifi=True))
    body = (FIXTURES / "http_futures_exchange_info.json").read_bytes()
    response = HttpResponse(HttpRequest("GET", "", ""), 200, body)
    symbols = {row.symbol for row in driver.parse_instruments(Market.FUTURES, [response])}
    assert symbols == {"BTCUSDT", "BTCUSDT_261225", "TSLAUSDT"}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"symbols":[{}]}', b'{"symbols":1}', b"\xff", b"[" * 5000])
def test_an_answer_that_is_no_catalogue(driver: BinanceDriver, body: bytes) -> None:
    response = HttpResponse(HttpRequest("GET", "", ""), 200, body)
    for market in Market:
        with pytest.raises(DecodeError) as caught:
            driver.parse_instruments(market, [response])
        assert caught.value.kind == "instruments"


@pytest.mark.parametrize("step", ["NaN", "-0.1", "Infinity", "abc"])
def test_a_row_without_usable_steps_falls_back_on_its_precision(driver: BinanceDriver, step: str) -> None:
    body = (FIXTURES / "http_spot_exchange_info.json").read_text().replace("0.01000000\"}", f'{step}"}}')
    response = HttpResponse(HttpRequest("GET", "", ""), 200, body.encode())
    (row, _) = driver.parse_instruments(Market.SPOT, [response])
    assert row.tick_size == Decimal("0.00000001")


def test_an_odd_row_is_left_out_and_costs_no_other(driver: BinanceDriver) -> None:
    rows = json.loads((FIXTURES / "http_spot_exchange_info.json").read_bytes())["symbols"]
    odd = {**rows[0], "symbol": "ODDUSDT", "filters": None}

    def listed(*symbols: object) -> list[str]:
        response = HttpResponse(HttpRequest("GET", "", ""), 200, json.dumps({"symbols": symbols}).encode())
        return [row.symbol for row in driver.parse_instruments(Market.SPOT, [response])]

    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    try:
        assert listed(odd, *rows, 7) == listed(*rows)
    finally:
        logger.remove(sink)
    assert "2 rows left out (ODDUSDT, ?)" in said[0]
    with pytest.raises(DecodeError):
        listed(odd)
