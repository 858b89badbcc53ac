"""Rate limits of the server's side."""

import pytest

from ctcore.contracts.driver import RateLimit
from ctcore.errors import ConfigError
from ctcore.sim.limits import RateWindows

SECOND = 1_000_000
LIMITS = (RateLimit("weight", 10, 60.0), RateLimit("endpoint:*", 2, 2.0))


def test_windows_begin_anew():
    windows = RateWindows(LIMITS)
    assert [windows.take("me", "weight", 5, 0).used for _ in range(2)] == [5, 10]
    refused = windows.take("me", "weight", 1, 45 * SECOND)
    assert (refused.allowed, refused.banned, refused.retry_after_sec) == (False, False, 15.0)
    assert windows.take("me", "weight", 1, 60 * SECOND).used == 1
    assert windows.refused == 1


def test_peers_and_endpoints_are_counted_apart():
    windows = RateWindows(LIMITS)
    for peer in ("me", "you"):
        for name in ("endpoint:books", "endpoint:trades"):
            usage = [windows.take(peer, name, 1, 0).allowed for _ in range(3)]
            assert usage == [True, True, False]


def test_who_goes_on_is_banned():
    windows = RateWindows(LIMITS, ban_after=2, ban_sec=100.0)
    windows.take("me", "weight", 10, 0)
    seen = [windows.take("me", "weight", 1, 0).banned for _ in range(4)]
    assert seen == [False, False, True, True]
    still = windows.take("me", "endpoint:books", 1, 70 * SECOND)
    assert (still.allowed, still.banned, still.retry_after_sec) == (False, True, 30.0)
    assert windows.take("you", "weight", 1, 70 * SECOND).allowed
    assert windows.take("me", "weight", 1, 101 * SECOND).allowed


def test_peers_are_bounded():
    windows = RateWindows(LIMITS)
    windows.take("first", "weight", 10, 0)
    for number in range(5_000):
        windows.take(f"peer-{number}", "weight", 1, 0)
    assert windows.take("first", "weight", 1, 0).used == 1


def test_unknown_buckets():
    with pytest.raises(ConfigError, match=r"nothing.*weight"):
        RateWindows(LIMITS).take("me", "nothing", 1, 0)
