from __future__ import annotations

import pytest
from ctdaemon_okx.driver import ENVIRONMENTS, OkxDriver

from .frames import Open, open_session_of


@pytest.fixture
def driver() -> OkxDriver:
    return OkxDriver(ENVIRONMENTS["live"])


@pytest.fixture
def open_session() -> Open:
    """A session of one plan, for the subscriptions given; connected, nothing acknowledged."""
    return open_session_of
