"""Exact integers for prices and quantities: how many steps, and how a venue prints them."""

from __future__ import annotations

from decimal import Decimal

from ctcore.errors import RequestRefused
from ctcore.model.numbers import digits_of


class Grid:
    """Multiples of one ``step``: 3 units of 0.05 are printed ``0.15``."""

    def __init__(self, step: Decimal) -> None:
        if step <= 0:
            raise RequestRefused(f"a step of {step} makes no grid; it must be above 0")
        self.step = step
        self.digits = digits_of(step)
        self._mantissa = int(step.scaleb(self.digits))
        self._power = int(Decimal(1).scaleb(self.digits))

    def text(self, units: int, decimals: int | None = None) -> str:
        """Print with the step's own decimals, or padded to ``decimals`` where that is more."""
        whole, part = divmod(abs(units) * self._mantissa, self._power)
        sign = "-" if units < 0 else ""
        digits = f"{part:0{self.digits}d}" if self.digits else ""
        if decimals is not None:
            digits = digits.ljust(decimals, "0")
        return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"

    def plain(self, units: int) -> str:
        """Print without trailing zeros."""
        text = self.text(units)
        return text.rstrip("0").rstrip(".") if "." in text else text

    def decimal(self, units: int) -> Decimal:
        """The exact value."""
        return self.step * units

    def number(self, units: int) -> float:
        """The nearest float."""
        return units * self._mantissa / self._power

    def near(self, value: float) -> int:
        """The nearest number of units to a float."""
        return round(value * self._power / self._mantissa)

    def units(self, value: Decimal) -> int:
        """The exact number of units; raises :class:`RequestRefused` for a value off the grid."""
        units = value / self.step
        if units != units.to_integral_value():
            raise RequestRefused(f"{value} is not a multiple of {self.step}")
        return int(units)
