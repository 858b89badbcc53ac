from __future__ import annotations

from typing import Any

import pytest
from ctdaemon_okx.config import OkxConfig
from ctdaemon_okx.driver import ENVIRONMENTS, INFO, OkxDriver
from ctdaemon_okx.plugin import ctcore_register_drivers
from loguru import logger

from ctcore.errors import (
    ConfigError,
    DecodeError,
    RateLimited,
    RequestRefused,
    UnknownInstrument,
    VenueError,
    VenueUnavailable,
)
from ctcore.model.ids import Channel, InstrumentId, Market, Subscription
from ctcore.model.instrument import Catalogue

from .frames import answer, future, listed, spot


def books(count: int, depth: int = 0) -> set[Subscription]:
    return {Subscription(spot(f"COIN{n:03}/USDT"), Channel.ORDERBOOK, depth) for n in range(count)}


def test_at_most_28_deep_books_a_connection(driver: OkxDriver) -> None:
    plans = driver.plan(books(60), {})
    assert [len(plan.subscriptions) for plan in plans] == [28, 28, 4]
    assert {s for plan in plans for s in plan.subscriptions} == books(60)


def test_books5_are_not_deep(driver: OkxDriver) -> None:
    assert len(driver.plan(books(60, depth=5), {})) == 1


def test_channels_a_connection_are_bounded_and_instruments_stay_whole() -> None:
    driver = OkxDriver(ENVIRONMENTS["live"], OkxConfig(channels_per_connection=10))
    wanted = {Subscription(spot(f"C{n}/USDT"), channel)
              for n in range(4) for channel in (Channel.TRADE, Channel.TICKER)}
    plans = driver.plan(wanted, {})  # three channels an instrument
    assert [len({s.instrument for s in plan.subscriptions}) for plan in plans] == [3, 1]


def test_markets_and_sockets_are_apart(driver: OkxDriver) -> None:
    wanted = {
        Subscription(spot("BTC/USDT"), Channel.TRADE),
        Subscription(spot("BTC/USDT"), Channel.CANDLE),
        Subscription(future("BTC/USDT"), Channel.TRADE),
    }
    plans = driver.plan(wanted, {})
    assert [plan.name for plan in plans] == [
        "okx-spot-public-1", "okx-spot-business-1", "okx-futures-public-1"]
    assert [plan.url.rsplit("/", 1)[1] for plan in plans] == ["public", "business", "public"]
    assert all(plan.stall_sec < 30 for plan in plans)


def test_all_liquidations_share_one_connection() -> None:
    driver = OkxDriver(ENVIRONMENTS["live"], OkxConfig(books_per_connection=1))
    wanted = {Subscription(future(f"C{n}/USDT"), channel)
              for n in range(3) for channel in (Channel.ORDERBOOK, Channel.LIQUIDATION)}
    holding = [plan for plan in driver.plan(wanted, {}) if any(
        s.channel is Channel.LIQUIDATION for s in plan.subscriptions)]
    assert len(holding) == 1
    assert sum(s.channel is Channel.LIQUIDATION for s in holding[0].subscriptions) == 3


def test_the_same_wishes_give_the_same_plans(driver: OkxDriver) -> None:
    assert driver.plan(books(40), {}) == driver.plan(frozenset([*books(40)][::-1]), {})
    assert driver.plan(set(), {}) == []


def test_what_the_venue_does_not_list_is_named(driver: OkxDriver) -> None:
    catalogue = Catalogue("okx", Market.SPOT, [listed(spot("BTC/USDT"), "BTC-USDT")])
    with pytest.raises(UnknownInstrument, match="DOGE/USDT"):
        driver.plan({Subscription(spot("DOGE/USDT"), Channel.TRADE)}, {Market.SPOT: catalogue})
    with pytest.raises(ConfigError, match="7m"):
        driver.plan({Subscription(spot("BTC/USDT"), Channel.CANDLE, interval="7m")}, {})


def test_instruments_are_asked_for_by_product_type(driver: OkxDriver) -> None:
    urls = [request.url for request in driver.instruments(Market.FUTURES)]
    base = "https://www.okx.com/api/v5/public/instruments?instType="
    assert urls == [base + "SWAP", base + "FUTURES"]
    assert all(request.cost == {"public/instruments": 1} for request in driver.instruments(Market.SPOT))


def test_demo_calls_carry_their_header() -> None:
    assert OkxDriver(ENVIRONMENTS["demo"]).instruments(Market.SPOT)[0].headers == {"x-simulated-trading": "1"}
    assert OkxDriver(ENVIRONMENTS["eea"]).instruments(Market.SPOT)[0].headers == {}


def test_instruments_are_parsed_by_market(driver: OkxDriver) -> None:
    row = {"instId": "BTC-USDT", "instType": "SPOT", "state": "live", "tickSz": "0.1", "lotSz": "0.00000001",
           "minSz": "0.00001", "maxLmtSz": "9999", "ctVal": "", "ctMult": "", "settleCcy": "", "expTime": "",
           "instIdCode": 7, "tradeQuoteCcyList": []}
    response = answer({"code": "0", "msg": "", "data": [row]})
    assert [found.id for found in driver.parse_instruments(Market.SPOT, [response])] == [spot("BTC/USDT")]
    assert driver.parse_instruments(Market.FUTURES, [response]) == []
    with pytest.raises(DecodeError, match="GET x"):
        driver.parse_instruments(Market.SPOT, [answer(b"<html>")])


def swap_row(number: int, **changes: Any) -> dict[str, Any]:
    row = {"instId": f"A{number}-USDT-SWAP", "instType": "SWAP", "state": "live", "tickSz": "0.1",
           "lotSz": "1", "minSz": "1", "maxLmtSz": "10", "settleCcy": "USDT", "ctVal": "0.01", "ctMult": "1",
           "ctType": "linear", "expTime": ""}
    return row | changes


@pytest.mark.parametrize("odd", [{"ctVal": ""}, {"settleCcy": None}, {"minSz": "0"}, {"instType": 5}])
def test_an_odd_row_is_skipped_and_named(driver: OkxDriver, odd: dict[str, Any]) -> None:
    rows = [swap_row(1), swap_row(999, **odd), swap_row(2)]
    told: list[str] = []
    handle = logger.add(told.append, format="{level} {message}")
    try:
        response = answer({"code": "0", "msg": "", "data": rows})
        found = driver.parse_instruments(Market.FUTURES, [response])
    finally:
        logger.remove(handle)
    assert [instrument.symbol for instrument in found] == ["A1-USDT-SWAP", "A2-USDT-SWAP"]
    (line,) = told
    assert line.startswith("WARNING")
    assert "A999-USDT-SWAP" in line


def test_a_catalogue_of_odd_rows_alone_is_an_error(driver: OkxDriver) -> None:
    rows = [swap_row(number, minSz="0") for number in range(8)]
    with pytest.raises(DecodeError, match=r"8 of 8 .*A0-USDT-SWAP.* and 3 more") as caught:
        driver.parse_instruments(Market.FUTURES, [answer({"code": "0", "msg": "", "data": rows})])
    assert caught.value.kind == "instruments"
    assert driver.parse_instruments(Market.FUTURES, [answer({"code": "0", "msg": "", "data": []})]) == []


@pytest.mark.parametrize(("status", "code", "kind"), [
    (200, "51001", UnknownInstrument),
    (400, "51000", RequestRefused),
    (429, "50011", RateLimited),
    (200, "50061", RateLimited),
    (503, "50001", VenueUnavailable),
    (200, "50013", VenueUnavailable),
    (200, "59999", VenueError),
])  # fmt: skip
def test_codes_become_errors(driver: OkxDriver, status: int, code: str, kind: type[VenueError]) -> None:
    with pytest.raises(VenueError, match="went wrong") as caught:
        driver.check(answer({"code": code, "msg": "went wrong", "data": []}, status=status))
    assert type(caught.value) is kind
    assert caught.value.code == code


def test_answers_without_json_are_judged_by_status(driver: OkxDriver) -> None:
    with pytest.raises(VenueUnavailable):
        driver.check(answer(b"<html>bad gateway</html>", status=502))
    with pytest.raises(RateLimited):
        driver.check(answer(b"", status=429))
    driver.check(answer({"code": "0", "msg": "", "data": []}))
    driver.check(answer(b'{\n "msg": "", "code": "0"}'))


def test_a_breach_parks_the_rest_of_the_window(driver: OkxDriver) -> None:
    assert driver.rate_notice(answer({"code": "50011", "msg": "", "data": []}, status=429)).parked_sec == 2.0
    assert driver.rate_notice(answer({"code": "0", "msg": "", "data": []})).parked_sec == 0.0


def test_the_plugin_offers_the_driver() -> None:
    (plugin,) = ctcore_register_drivers()
    assert plugin.info is INFO
    made = plugin.create(INFO.environments["live"], OkxConfig())
    assert isinstance(made, OkxDriver)
    assert InstrumentId("okx", Market.SPOT, "BTC/USDT").exchange == made.info.id
