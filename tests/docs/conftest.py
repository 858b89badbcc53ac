"""The examples can be imported as if they were installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from .pages import ROOT

EXAMPLES = [str(ROOT / "examples" / name) for name in ("acme", "csv_sink")]


@pytest.fixture(scope="session", autouse=True)
def examples() -> Iterator[None]:
    sys.path[:0] = EXAMPLES
    yield
    sys.path[:] = [place for place in sys.path if place not in EXAMPLES]
