from __future__ import annotations

from decimal import Decimal

import pytest
from ctdaemon_okx.symbols import inst_type_of, instrument_of, listed_symbol, parse_instrument, symbol_of
from ctdaemon_okx.wire import InstrumentRow

from ctcore.errors import DecodeError, UnknownInstrument
from ctcore.model.ids import InstrumentId
from ctcore.model.instrument import Catalogue, InstrumentKind

from .frames import future, listed, spot

NAMES = [
    ("BTC-USDT", "SPOT", spot("BTC/USDT")),
    ("BTC-USDT-SWAP", "SWAP", future("BTC/USDT")),
    ("BTC-USD-SWAP", "SWAP", future("BTC/USD")),
    ("BTC-USDT-261225", "FUTURES", future("BTC/USDT-261225")),
    ("BTC-USD-261225", "FUTURES", future("BTC/USD-261225")),
    ("1INCH-USDC", "SPOT", spot("1INCH/USDC")),
]


@pytest.mark.parametrize(("symbol", "inst_type", "instrument"), NAMES)
def test_a_name_tells_the_instrument_and_back(symbol: str, inst_type: str, instrument: InstrumentId) -> None:
    assert instrument_of(symbol) == instrument
    assert symbol_of(instrument) == symbol
    assert inst_type_of(symbol) == inst_type


@pytest.mark.parametrize("symbol", ["", "BTC", "BTC-USD-261225-50000-C", "btc-usdt", "BTC-USDT-SWAP-X"])
def test_names_of_other_products_are_refused(symbol: str) -> None:
    with pytest.raises(DecodeError) as caught:
        instrument_of(symbol)
    assert caught.value.kind == "symbol"


@pytest.mark.parametrize("instrument", [spot("BTC/USDT-261225"), spot("BTCUSDT"), future("BTC/USDT-2612")])
def test_pairs_the_venue_can_not_have(instrument: InstrumentId) -> None:
    with pytest.raises(UnknownInstrument):
        symbol_of(instrument)


def test_a_catalogue_decides_what_is_listed() -> None:
    catalogue = Catalogue("okx", spot("A/B").market, [listed(spot("BTC/USDT"), "BTC-USDT")])
    assert listed_symbol(spot("BTC/USDT"), catalogue) == "BTC-USDT"
    with pytest.raises(UnknownInstrument, match="BTC/USDT"):
        listed_symbol(spot("BTC/USDC"), catalogue)


def swap(**changes: str) -> InstrumentRow:
    row = InstrumentRow(
        symbol="BTC-USD-SWAP", inst_type="SWAP", state="live", tick_size="0.1", lot_size="1",
        min_quantity="1", max_quantity="30000", settle="BTC", contract_value="100", contract_multiplier="1",
        contract_type="inverse",
    )  # fmt: skip
    for name, value in changes.items():
        setattr(row, name, value)
    return row


def test_an_inverse_swap() -> None:
    found = parse_instrument(swap())
    assert found is not None
    assert found.id == future("BTC/USD")
    assert (found.kind, found.inverse, found.settle) == (InstrumentKind.PERPETUAL, True, "BTC")
    assert (found.tick_size, found.lot_size) == (Decimal("0.1"), Decimal(1))
    assert found.contract_size == Decimal(100)
    assert found.active


def test_a_dated_future_knows_its_expiry() -> None:
    found = parse_instrument(swap(symbol="BTC-USD-261225", inst_type="FUTURES", expiry="1798185600000"))
    assert found is not None
    assert (found.kind, found.expiry_us) == (InstrumentKind.DATED, 1_798_185_600_000_000)


def test_contract_size_is_value_times_multiplier() -> None:
    found = parse_instrument(swap(contract_value="0.01", contract_multiplier="10", contract_type="linear"))
    assert found is not None
    assert (found.contract_size, found.inverse) == (Decimal("0.1"), False)


def test_rows_of_other_products_and_unfinished_ones_are_left_out() -> None:
    assert parse_instrument(swap(inst_type="OPTION", symbol="BTC-USD-261225-50000-C")) is None
    assert parse_instrument(swap(state="preopen", tick_size="")) is None


BAD = [{"tick_size": "0"}, {"lot_size": "x"}, {"contract_value": "-1"}, {"tick_size": "NaN"}]


@pytest.mark.parametrize("bad", BAD)
def test_a_row_without_sense_names_itself(bad: dict[str, str]) -> None:
    with pytest.raises(DecodeError, match="BTC-USD-SWAP") as caught:
        parse_instrument(swap(**bad))
    assert caught.value.kind == "instrument"


def test_what_is_suspended_is_not_active() -> None:
    found = parse_instrument(swap(state="suspend"))
    assert found is not None
    assert not found.active
