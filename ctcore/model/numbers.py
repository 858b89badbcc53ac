"""Exact decimals: reading, printing and stepping. Imports nothing of ctcore."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from typing import Literal

Rounding = Literal["down", "up", "nearest"]

_MODES = {"down": ROUND_DOWN, "up": ROUND_UP, "nearest": ROUND_HALF_EVEN}


def plain(value: Decimal) -> str:
    """Print without exponent and without trailing zeros: ``Decimal("1E-5")`` gives ``0.00001``."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def exact(value: float) -> Decimal:
    """The shortest decimal that reads back as this float: what the venue printed, up to 15 digits."""
    return Decimal(repr(value))


def to_step(value: Decimal, step: Decimal, rounding: Rounding) -> Decimal:
    """The multiple of ``step`` next to ``value`` in the named direction (toward zero for ``down``)."""
    return (value / step).quantize(Decimal(1), rounding=_MODES[rounding]) * step


def digits_of(step: Decimal) -> int:
    """How many decimal places a step has: 2 for ``0.01``, 0 for ``5`` and for ``10``."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
