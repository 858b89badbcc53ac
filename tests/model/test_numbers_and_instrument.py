"""Exact decimals, and the one place where floats become money."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcore.errors import UnknownInstrument
from ctcore.model.ids import InstrumentId, Market
from ctcore.model.instrument import Catalogue, Instrument, InstrumentKind
from ctcore.model.numbers import digits_of, exact, plain, to_step

STEPS = st.sampled_from([Decimal(text) for text in ("0.01", "1", "5", "10", "0.00000001", "0.25", "1E+3")])
MONEY = st.decimals("-1000000", "1000000", places=9)


@given(MONEY, STEPS)
def test_stepping_gives_the_neighbours(value, step):
    down, up, near = (to_step(value, step, rounding) for rounding in ("down", "up", "nearest"))
    assert all(each % step == 0 for each in (down, up, near))
    assert abs(down) <= abs(value) <= abs(up)
    assert abs(up - down) in (0, step)
    assert near in (down, up)
    assert abs(near - value) <= step / 2
    assert to_step(down, step, "up") == down


@given(st.decimals("0", "100000000", places=8))
def test_what_a_venue_printed_survives_the_float(printed):
    assert exact(float(printed)) == printed or printed.adjusted() >= 7
    assert exact(float(str(printed))) == Decimal(repr(float(printed)))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12))
def test_printing_has_no_exponent_and_reads_back(value):
    text = plain(value)
    assert "E" not in text.upper()
    assert Decimal(text) == value
    assert text == "0" or not (("." in text and text.endswith("0")) or text.endswith("."))


@pytest.mark.parametrize(("value", "text"), [
    ("1E-8", "0.00000001"), ("1E+3", "1000"), ("-0", "0"), ("-0.000", "0"), ("100", "100"), ("2.50", "2.5"),
])  # fmt: skip
def test_printing(value, text):
    assert plain(Decimal(value)) == text


@pytest.mark.parametrize(("step", "digits"), [("0.01", 2), ("0.010", 2), ("5", 0), ("10", 0), ("1E-8", 8),
                                              ("0.25", 2), ("1", 0)])
def test_digits(step, digits):
    assert digits_of(Decimal(step)) == digits


def instrument(**options: object) -> Instrument:
    facts: dict[str, object] = {
        "id": InstrumentId("okx", Market.FUTURES, "BTC/USDT"), "symbol": "BTC-USDT-SWAP",
        "kind": InstrumentKind.PERPETUAL, "base": "BTC", "quote": "USDT", "settle": "USDT",
        "tick_size": Decimal("0.1"), "lot_size": Decimal("0.01"), "contract_size": Decimal("0.01"),
    }  # fmt: skip
    return Instrument(**{**facts, **options})  # type: ignore[arg-type]


def test_floats_become_legal_numbers():
    swap = instrument()
    assert str(swap.price(97_123.4567, "down")) == "97123.4"
    assert str(swap.price(97_123.4567, "up")) == "97123.5"
    assert str(swap.quantity(0.1 + 0.2)) == "0.30", "what the float prints, not its 55 digits"
    assert str(swap.quantity(Decimal("0.019"))) == "0.01"
    assert (swap.price_scale, swap.quantity_scale) == (1, 2)


def test_contracts_and_base_amounts():
    linear = instrument()
    assert linear.to_base(Decimal(3)) == Decimal("0.03")
    assert linear.to_contracts(Decimal("0.03")) == 3
    inverse = instrument(inverse=True, contract_size=Decimal(100))
    assert inverse.to_base(Decimal(5), price=Decimal(50_000)) == Decimal("0.01")
    assert inverse.to_contracts(Decimal("0.01"), price=Decimal(50_000)) == 5
    with pytest.raises(ValueError, match="inverse"):
        inverse.to_base(Decimal(5))
    with pytest.raises(ValueError, match="inverse"):
        inverse.to_contracts(Decimal(5), price=Decimal(0))


def test_the_catalogue_knows_both_names_and_suggests_the_nearest():
    btc = instrument()
    usdc = instrument(id=InstrumentId("okx", Market.FUTURES, "BTC/USDC"), symbol="BTC-USDC-SWAP")
    catalogue = Catalogue("okx", Market.FUTURES, [btc, usdc])
    assert len(catalogue) == 2
    assert list(catalogue) == [btc, usdc]
    assert catalogue.by_symbol("BTC-USDT-SWAP") is btc
    assert catalogue.by_symbol("nothing") is None
    assert catalogue[usdc.id] is usdc
    assert catalogue.get(InstrumentId("okx", Market.SPOT, "BTC/USDT")) is None
    with pytest.raises(UnknownInstrument, match=r"okx futures does not list BTC/EUR; it has BTC/USDC, BTC"):
        catalogue[InstrumentId("okx", Market.FUTURES, "BTC/EUR")]
    with pytest.raises(UnknownInstrument, match=r"does not list XRP/EUR$"):
        catalogue[InstrumentId("okx", Market.FUTURES, "XRP/EUR")]
