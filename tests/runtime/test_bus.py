import pytest

from ctcore.errors import MailboxFull
from ctcore.model.ids import Channel, InstrumentId, Market
from ctcore.model.market import (
    BookDelta,
    BookSnapshot,
    FeedState,
    FeedStatus,
    Gap,
    GapReason,
    MarketEvent,
    Side,
    Trade,
)
from ctcore.runtime import Bus, Mailbox, Overflow

BTC = InstrumentId("binance", Market.SPOT, "BTC/USDT")
ETH = InstrumentId("binance", Market.SPOT, "ETH/USDT")
TRADE = Trade(BTC, 1, 1, "1", 1.0, 1.0, Side.BUY)
ETH_TRADE = Trade(ETH, 1, 1, "1", 1.0, 1.0, Side.BUY)
DELTA = BookDelta(BTC, 1, 1, 1, 0, 1, [], [])
SNAPSHOT = BookSnapshot(BTC, 1, 1, 1, [], [])
TRADE_GAP = Gap(BTC, 1, 1, Channel.TRADE, GapReason.STALL, 1)
BOOK_GAP = Gap(BTC, 1, 1, Channel.ORDERBOOK, GapReason.STALL, 1)
STATUS = FeedStatus("binance", Market.SPOT, "one", FeedState.UP, 1)
EVENTS = [TRADE, ETH_TRADE, DELTA, SNAPSHOT, TRADE_GAP, BOOK_GAP, STATUS]


@pytest.fixture
def bus():
    return Bus()


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, EVENTS),
        ({"types": [Trade]}, [TRADE, ETH_TRADE]),
        ({"types": [MarketEvent]}, EVENTS[:-1]),
        ({"types": [FeedStatus]}, [STATUS]),
        ({"instruments": [ETH]}, [ETH_TRADE]),
        ({"channels": [Channel.TRADE]}, [TRADE, ETH_TRADE, TRADE_GAP]),
        ({"channels": [Channel.ORDERBOOK], "types": [BookSnapshot, Gap]}, [SNAPSHOT, BOOK_GAP]),
        ({"channels": [Channel.ORDERBOOK, Channel.TRADE], "instruments": [ETH]}, [ETH_TRADE]),
        ({"types": []}, []),
    ],
)
def test_filters(bus, filters, expected):
    got = []
    bus.subscribe(got.append, **filters)
    for event in EVENTS * 2:
        bus.publish(event)
    assert got == expected * 2
    assert bus.statistics().published == len(EVENTS) * 2


def test_equal_instruments_are_the_same_route(bus):
    got = []
    bus.subscribe(got.append, instruments=[InstrumentId("binance", Market.SPOT, "BTC/USDT")])
    bus.publish(TRADE)
    assert got == [TRADE]


def test_subscribers_are_called_in_order_of_subscription(bus):
    got = []
    bus.subscribe(lambda _: got.append(1))
    bus.subscribe(lambda _: got.append(2), types=[Trade])
    bus.subscribe(lambda _: got.append(3), instruments=[BTC])
    bus.publish(TRADE)
    assert got == [1, 2, 3]


def test_unsubscribed_gets_nothing_more(bus):
    got = []
    token = bus.subscribe(got.append)
    bus.publish(TRADE)
    bus.unsubscribe(token)
    bus.unsubscribe(token)
    bus.publish(TRADE)
    assert got == [TRADE]
    assert bus.statistics().subscriptions == 0


def test_a_late_subscriber_joins_routes_that_are_in_use(bus):
    early, late = [], []
    bus.subscribe(early.append)
    bus.publish(TRADE)
    bus.subscribe(late.append)
    bus.publish(TRADE)
    assert (early, late) == ([TRADE, TRADE], [TRADE])


def test_who_raises_is_taken_off_and_the_others_go_on(bus):
    got, errors = [], []

    def broken(event):
        raise ZeroDivisionError(event)

    bus.subscribe(broken, on_error=errors.append)
    bus.subscribe(got.append)
    bus.publish(TRADE)
    bus.publish(TRADE)
    assert got == [TRADE, TRADE]
    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert bus.statistics().quarantined == 1
    assert bus.statistics().subscriptions == 1


def test_who_raises_on_a_gap_of_its_channel_is_taken_off_too(bus):
    errors = []

    def broken(event):
        raise ZeroDivisionError

    bus.subscribe(broken, channels=[Channel.TRADE], on_error=errors.append)
    bus.publish(BOOK_GAP)
    assert errors == []
    bus.publish(TRADE_GAP)
    assert len(errors) == 1
    assert bus.statistics().subscriptions == 0


def test_what_is_no_exception_goes_through(bus):
    def interrupted(event):
        raise KeyboardInterrupt

    bus.subscribe(interrupted)
    with pytest.raises(KeyboardInterrupt):
        bus.publish(TRADE)
    assert bus.statistics().quarantined == 0


def test_subscribers_may_come_and_go_while_an_event_is_published(bus):
    got = []

    def once(event):
        bus.unsubscribe(token)
        bus.subscribe(got.append)

    token = bus.subscribe(once)
    bus.publish(TRADE)
    assert got == []
    bus.publish(TRADE)
    assert got == [TRADE]


def test_a_subscriber_may_publish(bus):
    got = []
    bus.subscribe(lambda _: bus.publish(STATUS), types=[Trade])
    bus.subscribe(got.append)
    bus.publish(TRADE)
    assert got == [STATUS, TRADE]


async def test_a_full_mailbox_fails_its_consumer_and_nobody_else(bus):
    small = Mailbox("small", capacity=1, overflow=Overflow.NEVER_DROP)
    large = Mailbox("large", capacity=9, overflow=Overflow.NEVER_DROP)
    for box in (small, large):
        bus.subscribe(box.put_nowait, on_error=box.fail)
    for _ in range(3):
        bus.publish(TRADE)
    with pytest.raises(MailboxFull):
        await small.receive_all()
    assert await large.receive_all() == [TRADE] * 3
