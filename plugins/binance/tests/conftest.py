from __future__ import annotations

from pathlib import Path

import pytest
from ctdaemon_binance.driver import BinanceDriver

from ctcore.contracts.driver import HttpRequest, HttpResponse
from ctcore.model.ids import Market
from ctcore.model.instrument import Catalogue

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def driver() -> BinanceDriver:
    return BinanceDriver(BinanceDriver.info.environments["live"])


@pytest.fixture
def catalogues(driver: BinanceDriver) -> dict[Market, Catalogue]:
    """Those of the fixtures: BTC/USDT on both markets, XYZ/BTC on spot, BTC/USDT-261225 on futures."""
    found = {}
    for market in Market:
        body = (FIXTURES / f"http_{market}_exchange_info.json").read_bytes()
        response = HttpResponse(HttpRequest("GET", "", ""), 200, body)
        found[market] = Catalogue("binance", market, driver.parse_instruments(market, [response]))
    return found
