"""Market time follows trio's clock."""

import pytest
import trio
import trio.testing

from ctcore.errors import ConfigError
from ctcore.sim.clock import SimClock


async def test_speed_multiplies_time(autojump_clock):
    clock = SimClock(60.0, start_us=1_000_000)
    assert clock.now_us() == 1_000_000
    await trio.sleep(2)
    assert clock.now_us() == 121_000_000
    before = trio.current_time()
    await clock.sleep_until(181_000_000)
    assert trio.current_time() - before == pytest.approx(1.0)
    await clock.sleep_until(0)
    assert trio.current_time() - before == pytest.approx(1.0)


async def test_starts_when_it_is_made(autojump_clock):
    clock = SimClock(start_us=0)
    await trio.sleep(5)
    assert clock.now_us() == 5_000_000


def test_made_outside_trio_it_starts_with_its_first_reading():
    clock = SimClock(start_us=0)

    async def read():
        assert clock.now_us() == 0
        await trio.sleep(5)
        assert clock.now_us() == 5_000_000

    trio.run(read, clock=trio.testing.MockClock(autojump_threshold=0))


def test_starts_at_the_computers_time_by_default():
    assert SimClock().start_us > 1_700_000_000_000_000


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan")])
def test_impossible_speeds(speed):
    with pytest.raises(ConfigError, match="speed"):
        SimClock(speed)
