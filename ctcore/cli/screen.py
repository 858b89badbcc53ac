"""What commands show: consoles and tables that fit 80 columns. Text is text: nothing in it is markup."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import JustifyMethod


def open_console() -> Console:
    """Standard output."""
    return Console(highlight=False, markup=False, emoji=False)


def table(*columns: str | tuple[str, JustifyMethod], title: str = "") -> Table:
    """An empty table; a column is its head, or its head and how it is justified."""
    made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold",
                 pad_edge=False, header_style="bold")
    for column in columns:
        head, justify = column if isinstance(column, tuple) else (column, "left")
        made.add_column(head, justify=justify, overflow="fold")
    return made


def number(value: float) -> str:
    """As the venue printed it: the shortest decimal, without exponent."""
    from ctcore.model.numbers import exact, plain

    return plain(exact(value))


def grouped(value: int) -> str:
    """``12,345``."""
    return f"{value:,}"


def size(byte_count: int) -> str:
    """``1.5 MB``."""
    amount, units = Decimal(byte_count), ["B", "KB", "MB", "GB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        del units[0]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def lasting(seconds: float) -> str:
    """``1:02:03``."""
    minutes, sec = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{sec:02}"
