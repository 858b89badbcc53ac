"""The shipped driver on the shipped feed against the simulated venue, in virtual time."""

from __future__ import annotations

import pytest
import trio
from ctdaemon_okx.config import OkxConfig
from ctdaemon_okx.driver import OkxDriver
from trio.testing import MockClock

from ctcore.contracts.driver import HttpRequest
from ctcore.model.ids import Channel, Market, Subscription
from ctcore.model.market import (
    BookSnapshot,
    Candle,
    FundingRate,
    Gap,
    GapReason,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
)

from .frames import answer, future, spot
from .simulated import HOST, PORT, open_feed, open_venue

BTC, ETH = spot("BTC/USDT"), spot("ETH/USDT")
SWAP = future("BTC/USDT")
BOOKS = [Subscription(instrument, Channel.ORDERBOOK) for instrument in (BTC, ETH, SWAP)]


async def test_books_of_both_markets_stay_equal(autojump_clock: MockClock) -> None:
    async with open_venue() as venue, open_feed(venue, *BOOKS) as fed:
        await fed.wait_ready()
        await trio.sleep(20)
        await fed.wait_equal([BTC, ETH, SWAP])
        assert not [event for event in fed.events if isinstance(event, Gap)]
        assert len([event for event in fed.events if isinstance(event, BookSnapshot)]) == 3


@pytest.mark.parametrize("kind", ["gap", "reorder", "duplicate", "corrupt", "stall"])
@pytest.mark.parametrize("ws_snapshot", [True, False])
async def test_a_struck_book_is_whole_again(autojump_clock: MockClock, kind: str, ws_snapshot: bool) -> None:
    async with open_venue(ws_snapshot=ws_snapshot) as venue, open_feed(venue, *BOOKS) as fed:
        await fed.wait_ready()
        venue.simulator.faults.request(kind, "BTC-USDT", topic="books")
        await trio.sleep(15)
        assert venue.simulator.faults.struck == 1
        await fed.wait_ready()
        await fed.wait_equal([BTC, ETH, SWAP])
        gaps = [event for event in fed.events if isinstance(event, Gap)]
        assert {gap.instrument for gap in gaps} == (set() if kind == "duplicate" else {BTC})
        assert len([gap for gap in gaps if gap.end_us is None]) == len([gap for gap in gaps if gap.end_us])


@pytest.mark.parametrize("kind", ["disconnect", "venue_notice", "half_open"])
async def test_a_lost_connection_is_replaced(autojump_clock: MockClock, kind: str) -> None:
    async with open_venue() as venue, open_feed(venue, *BOOKS) as fed:
        await fed.wait_ready()
        await trio.sleep(2)
        venue.simulator.faults.request(kind, "BTC-USDT")
        await trio.sleep(60)
        assert venue.simulator.faults.struck == 1
        await fed.wait_ready()
        await fed.wait_equal([BTC, ETH, SWAP])
        struck = {event.instrument for event in fed.events if isinstance(event, Gap)}
        assert (BTC in struck) is (kind != "venue_notice")


async def test_a_venue_without_snapshots_in_the_stream_is_seeded(autojump_clock: MockClock) -> None:
    async with open_venue(ws_snapshot=False) as venue, open_feed(venue, *BOOKS) as fed:
        await fed.wait_ready()
        await trio.sleep(10)
        await fed.wait_equal([BTC, ETH, SWAP])
        assert not [event for event in fed.events if isinstance(event, Gap)]


async def test_refused_and_slow_seeds_are_asked_for_again(autojump_clock: MockClock) -> None:
    async with open_venue(ws_snapshot=False) as venue:
        for kind in ("http_429", "http_500", "slow_http"):
            venue.simulator.faults.request(kind, "BTC-USDT")
        async with open_feed(venue, BOOKS[0]) as fed:
            await fed.wait_ready()
            await fed.wait_equal([BTC])
            assert venue.simulator.faults.struck == 3


async def test_a_halted_book_is_kept_alive(autojump_clock: MockClock) -> None:
    async with open_venue() as venue, open_feed(venue, BOOKS[0]) as fed:
        await fed.wait_ready()
        await fed.wait_equal([BTC])
        await trio.sleep(300)
        assert fed.equal(BTC)
        assert not [event for event in fed.events if isinstance(event, Gap)]
        assert venue.simulator.statistics().connections_total == 1


async def test_every_channel_tells_its_events(autojump_clock: MockClock) -> None:
    wanted = [Subscription(SWAP, channel) for channel in Channel]
    wanted += [Subscription(BTC, Channel.ORDERBOOK, depth=5)]
    async with open_venue() as venue, open_feed(venue, *wanted) as fed:
        await fed.wait_ready()
        await trio.sleep(180)
        kinds = {type(event) for event in fed.events if event.instrument == SWAP}
        assert {Trade, Ticker, Candle, MarkPrice, FundingRate, OpenInterest, Liquidation} <= kinds
        assert {len(event.bids) for event in fed.events
                if isinstance(event, BookSnapshot) and event.instrument == BTC} == {5}
        last = [event for event in fed.events if isinstance(event, Candle) and event.closed]
        assert len(last) in (2, 3)
        assert not [event for event in fed.events if isinstance(event, Gap)]


async def test_a_refused_subscription_does_not_hold_up_the_rest(autojump_clock: MockClock) -> None:
    config = OkxConfig(quotes="tickers")
    channels = (Channel.TICKER, Channel.ORDERBOOK, Channel.MARK, Channel.FUNDING)
    wanted = [Subscription(BTC, channel) for channel in channels]
    async with open_venue() as venue, open_feed(venue, *wanted, config=config) as fed:
        await fed.wait_ready()
        refused = [event for event in fed.events if isinstance(event, Gap)]
        assert [(gap.channel, gap.reason) for gap in refused] == [(Channel.FUNDING, GapReason.REFUSED)]


async def test_the_catalogue_is_the_simulators(autojump_clock: MockClock) -> None:
    async with open_venue() as venue:
        driver = OkxDriver(venue.simulator.endpoints(f"{HOST}:{PORT}"))
        for market in Market:
            responses = []
            for request in driver.instruments(market):
                response = await venue.http.get(request.url)
                driver.check(answer(response.content, status=response.status_code, request=request))
                responses.append(answer(response.content, request=HttpRequest("GET", request.url, "x")))
            found = {row.symbol: row for row in driver.parse_instruments(market, responses)}
            listed = {item.symbol: item.instrument for item in venue.simulator.markets[market]}
            assert set(found) == set(listed)
            for symbol, row in found.items():
                truth = listed[symbol]
                assert (row.id, row.tick_size, row.lot_size) == (truth.id, truth.tick_size, truth.lot_size)
                assert (row.contract_size, row.kind) == (truth.contract_size, truth.kind)
