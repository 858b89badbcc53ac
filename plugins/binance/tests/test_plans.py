"""From what is wanted to connections, within the venue's limits."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest
from ctdaemon_binance.config import MAX_STREAMS, BinanceConfig
from ctdaemon_binance.driver import BinanceDriver
from ctdaemon_binance.subscribing import STREAMS_PER_FRAME

from ctcore.contracts.driver import Effect, Send
from ctcore.errors import ConfigError, UnknownInstrument
from ctcore.model.ids import FUTURES_ONLY, Channel, InstrumentId, Market, Subscription
from ctcore.model.instrument import Catalogue, Instrument, InstrumentKind

from .frames import FUTURES, SPOT, opened, wanted

EVERY = {Subscription(FUTURES, channel) for channel in Channel}


def listing(count: int, market: Market = Market.SPOT) -> dict[Market, Catalogue]:
    rows = [
        Instrument(
            id=InstrumentId("binance", market, f"A{number:04d}/USDT"), symbol=f"A{number:04d}USDT",
            kind=InstrumentKind.SPOT, base=f"A{number:04d}", quote="USDT", settle="USDT",
            tick_size=Decimal("0.1"), lot_size=Decimal("0.1"),
        )
        for number in range(count)
    ]  # fmt: skip
    return {market: Catalogue("binance", market, rows)}


def streams(effects: Sequence[Effect]) -> list[str]:
    sent = [msgspec.json.decode(effect.data) for effect in effects if isinstance(effect, Send)]
    assert all(frame["method"] == "SUBSCRIBE" for frame in sent)
    assert [frame["id"] for frame in sent] == list(range(1, len(sent) + 1))
    return [stream for frame in sent for stream in frame["params"]]


@pytest.mark.parametrize(
    ("channel", "names"),
    [
        (Channel.ORDERBOOK, ["btcusdt@depth@100ms"]),
        (Channel.TRADE, ["btcusdt@trade"]),
        (Channel.TICKER, ["btcusdt@bookTicker", "btcusdt@ticker"]),
        (Channel.CANDLE, ["btcusdt@kline_1m"]),
    ],
)
def test_spot_streams(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue], channel: Channel, names: list[str]
) -> None:
    plan, _, effects = opened(driver, catalogues, wanted(SPOT, channel))
    assert plan.url == "wss://stream.binance.com:9443/stream"
    assert streams(list(effects)) == names


def test_futures_are_divided_between_two_sockets(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue]
) -> None:
    plans = driver.plan(EVERY, catalogues)
    carried = {
        plan.url: sorted(streams(list(driver.session(plan, catalogues[Market.FUTURES]).connected(0))))
        for plan in plans
    }
    assert carried == {
        "wss://fstream.binance.com/public/stream": ["btcusdt@bookTicker", "btcusdt@depth@100ms"],
        "wss://fstream.binance.com/market/stream": [
            "btcusdt@aggTrade",
            "btcusdt@forceOrder",
            "btcusdt@kline_1m",
            "btcusdt@markPrice@1s",
        ],
    }


@pytest.mark.parametrize(("with_day", "count"), [(False, 1), (True, 2)])
def test_quotes_of_futures_come_from_one_socket_unless_volumes_are_asked_for(
    catalogues: dict[Market, Catalogue], with_day: bool, count: int
) -> None:
    config = BinanceConfig(futures_day_ticker=with_day)
    driver = BinanceDriver(BinanceDriver.info.environments["live"], config)
    assert len(driver.plan(wanted(FUTURES, Channel.TICKER), catalogues)) == count


def test_single_trades_of_futures_are_on_the_public_socket(catalogues: dict[Market, Catalogue]) -> None:
    driver = BinanceDriver(BinanceDriver.info.environments["live"], BinanceConfig(futures_trades="trade"))
    plan, _, effects = opened(driver, catalogues, wanted(FUTURES, Channel.TRADE))
    assert plan.url == "wss://fstream.binance.com/public/stream"
    assert streams(list(effects)) == ["btcusdt@trade"]


@pytest.mark.parametrize(
    ("depths", "name"),
    [
        ({20}, "btcusdt@depth20@100ms"),
        ({5}, "btcusdt@depth5@100ms"),
        ({50}, "btcusdt@depth@100ms"),
        ({0}, "btcusdt@depth@100ms"),
        ({20, 50}, "btcusdt@depth@100ms"),
    ],
)
def test_which_book_stream_serves_a_depth(
    driver: BinanceDriver, catalogues: dict[Market, Catalogue], depths: set[int], name: str
) -> None:
    wants = {Subscription(SPOT, Channel.ORDERBOOK, depth=depth) for depth in depths}
    _, _, effects = opened(driver, catalogues, wants)
    assert streams(list(effects)) == [name]


def test_connections_are_filled_up_to_the_configured_symbols_and_frames_are_bounded() -> None:
    catalogues = listing(120)
    driver = BinanceDriver(BinanceDriver.info.environments["live"])
    channels = (Channel.ORDERBOOK, Channel.TRADE, Channel.TICKER)
    wants = {Subscription(row.id, channel) for row in catalogues[Market.SPOT] for channel in channels}
    plans = driver.plan(wants, catalogues)
    assert [plan.name for plan in plans] == [f"binance-spot-{number}" for number in (1, 2, 3)]
    assert [len({s.instrument for s in plan.subscriptions}) for plan in plans] == [50, 50, 20]
    assert plans == driver.plan(frozenset(wants), catalogues), "the same input gives the same plans"
    frames = list(driver.session(plans[0], catalogues[Market.SPOT]).connected(0))
    assert len(streams(frames)) == 200
    assert len(frames) == 200 // STREAMS_PER_FRAME
    assert all(isinstance(frame, Send) and len(frame.data) < 4096 for frame in frames)


def test_the_venue_s_streams_a_connection_are_never_exceeded() -> None:
    catalogues = listing(300)
    config = BinanceConfig(symbols_per_connection=MAX_STREAMS)
    driver = BinanceDriver(BinanceDriver.info.environments["live"], config)
    intervals = driver.info.capabilities[Market.SPOT].candle_intervals
    rows = list(catalogues[Market.SPOT])
    wants = {Subscription(row.id, Channel.CANDLE, interval=i) for row in rows for i in intervals}
    sizes = [
        len(streams(list(driver.session(plan, catalogues[Market.SPOT]).connected(0))))
        for plan in driver.plan(wants, catalogues)
    ]
    assert sum(sizes) == len(wants)
    assert max(sizes) <= MAX_STREAMS


def test_how_a_connection_behaves(driver: BinanceDriver, catalogues: dict[Market, Catalogue]) -> None:
    plans = driver.plan(EVERY | wanted(SPOT, Channel.TRADE), catalogues)
    assert {plan.market for plan in plans} == set(Market)
    for plan in plans:
        per_sec = 5 if plan.market is Market.SPOT else 10
        assert 1 / plan.send_interval_sec < per_sec
        assert plan.lifetime_sec == 23 * 3600
        assert not plan.any_instrument


def test_what_is_not_offered_is_refused(driver: BinanceDriver, catalogues: dict[Market, Catalogue]) -> None:
    for channel in FUTURES_ONLY:
        with pytest.raises(ConfigError, match="has no such channel"):
            driver.plan(wanted(SPOT, channel), catalogues)
    with pytest.raises(ConfigError, match="no such interval; it has 1m"):
        driver.plan({Subscription(FUTURES, Channel.CANDLE, interval="1s")}, catalogues)
    with pytest.raises(UnknownInstrument, match="it has BTC/USDT"):
        driver.plan(wanted(InstrumentId("binance", Market.SPOT, "BTC/EUR"), Channel.TRADE), catalogues)


def test_every_environment_names_every_host(driver: BinanceDriver) -> None:
    assert set(driver.info.environments) == {"live", "testnet", "demo"}
    for endpoints in driver.info.environments.values():
        assert set(endpoints.rest) == {"spot", "futures"}
        assert set(endpoints.stream) == {"spot", "futures_public", "futures_market"}
        assert all(url.startswith("wss://") for url in endpoints.stream.values())


@pytest.mark.parametrize(
    "values",
    [
        {"spot_depth_limit": 7},
        {"futures_trades": "all"},
        {"symbols_per_connection": 0},
        {"streams_per_connection": 1025},
        {"open_interest_interval_sec": 0.1},
    ],
)
def test_impossible_configs_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        BinanceConfig(**values)  # type: ignore[arg-type]
