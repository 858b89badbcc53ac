"""Ticks and lots print as decimals of the step."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import RequestRefused
from ctcore.model.numbers import plain
from ctcore.sim.grid import Grid

STEPS = st.sampled_from(
    [Decimal(step) for step in ("0.01", "0.05", "1", "5", "10", "1E-8", "1E+2", "0.00025")]
)


@given(STEPS, st.integers(-10**12, 10**12))
def test_text_is_exact(step, units):
    grid = Grid(step)
    assert Decimal(grid.text(units)) == step * units == grid.decimal(units)
    assert grid.plain(units) == plain(step * units)
    assert grid.units(Decimal(grid.text(units))) == units
    assert grid.number(units) == pytest.approx(float(step * units))
    assert grid.near(grid.number(units)) == units


@pytest.mark.parametrize(("step", "units", "decimals", "text"), [
    ("0.01", 123, None, "1.23"),
    ("0.01", 120, 8, "1.20000000"),
    ("0.01", -5, None, "-0.05"),
    ("1", 7, None, "7"),
    ("1", 7, 2, "7.00"),
    ("0.50", 3, None, "1.5"),
])
def test_text_as_venues_print_it(step, units, decimals, text):
    assert Grid(Decimal(step)).text(units, decimals) == text


def test_what_is_off_the_grid_is_refused():
    with pytest.raises(RequestRefused, match="multiple"):
        Grid(Decimal("0.05")).units(Decimal("0.07"))
    with pytest.raises(RequestRefused):
        Grid(Decimal(0))
