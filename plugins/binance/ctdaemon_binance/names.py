"""Which instrument a symbol is on one connection. A recording may bring symbols that nobody asked for."""

from __future__ import annotations

from ctcore.contracts.driver import ConnectionPlan
from ctcore.errors import DecodeError
from ctcore.model.ids import InstrumentId
from ctcore.model.instrument import Catalogue
from ctcore.model.market import CHANNEL_OF, MarketEvent
from ctdaemon_binance.symbols import stream_symbol, unlisted

_MAX_INSTRUMENTS = 10_000
"""What a recording may make us remember: some three times what the venue lists."""


class Names:
    """The instruments of a plan by symbol, and back."""

    def __init__(self, plan: ConnectionPlan, catalogue: Catalogue) -> None:
        self._plan = plan
        self._catalogue = catalogue
        self._instruments: dict[str, InstrumentId] = {}
        self._symbols: dict[InstrumentId, str] = {}
        self._wanted = {(wanted.instrument, wanted.channel) for wanted in plan.subscriptions}
        for wanted in plan.subscriptions:
            self._add(catalogue[wanted.instrument].symbol, wanted.instrument)

    def instrument_of(self, symbol: str) -> InstrumentId:
        """The instrument of a symbol in a frame; raises :class:`DecodeError` when it was not asked for."""
        instrument = self._instruments.get(symbol)
        return instrument if instrument is not None else self._new(symbol)

    def wants(self, event: MarketEvent) -> bool:
        """Whether the event's channel was asked for: some streams serve two."""
        return self._plan.any_instrument or (event.instrument, CHANNEL_OF[type(event)]) in self._wanted

    def symbol_of(self, instrument: InstrumentId) -> str:
        """The venue's name of an instrument of this connection."""
        return self._symbols[instrument]

    def symbol_of_stream(self, name: str) -> str:
        """Stream names are lower case; the symbol that nobody asked for is the upper case of its stream's."""
        name = name.lower()
        known = (symbol for symbol in self._instruments if stream_symbol(symbol) == name)
        return next(known, name.upper())

    def _new(self, symbol: str) -> InstrumentId:
        if not self._plan.any_instrument:
            raise DecodeError(f"binance {self._plan.name}: {symbol} was not asked for", kind="unasked")
        if len(self._instruments) >= _MAX_INSTRUMENTS:
            raise DecodeError(f"binance: {symbol} is one symbol too many ({_MAX_INSTRUMENTS})", kind="bound")
        listed = self._catalogue.by_symbol(symbol)
        instrument = listed.id if listed is not None else unlisted(self._plan.market, symbol)
        self._add(symbol, instrument)
        return instrument

    def _add(self, symbol: str, instrument: InstrumentId) -> None:
        self._instruments[symbol] = instrument
        self._symbols[instrument] = symbol
