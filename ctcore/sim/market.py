"""A simulated market: instruments whose seeded order flow advances together.

``SimMarket.advance(now_us)`` runs the flow up to a moment. The same seed and start give the same events
however the time in between is sliced, except where a pause is longer than ``catch_up_us``: the flow stands
still for what is beyond it. Nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ctcore.errors import ConfigError, UnknownInstrument
from ctcore.model.time import US_PER_SEC
from ctcore.sim.instrument import Listing, SimInstrument

CELL_US = 200_000
"""The fair price, mark price and open interest move once in this time."""


class SimMarket:
    """All instruments of one market of a venue, by symbol, advancing together.

    The flow begins ``warm_up_us`` before ``start_us``, so that the first client finds trades.
    """

    def __init__(
        self,
        listings: Iterable[Listing],
        *,
        seed: int,
        start_us: int,
        catch_up_us: int = 30 * US_PER_SEC,
        warm_up_us: int = 10 * US_PER_SEC,
    ) -> None:
        self.start_us = start_us
        self.now_us = start_us - warm_up_us
        self.halted = False
        self.skipped_us = 0
        self._catch_up_us = catch_up_us
        self._cell_end_us = self.now_us + CELL_US
        self._instruments: dict[str, SimInstrument] = {}
        for listing in listings:
            symbol = listing.instrument.symbol
            if symbol in self._instruments:
                raise ConfigError(f"{symbol} is listed twice in a simulated market; list it once")
            self._instruments[symbol] = SimInstrument(listing, seed, self.now_us)
        self._run_cells(start_us)

    def __len__(self) -> int:
        return len(self._instruments)

    def __iter__(self) -> Iterator[SimInstrument]:
        return iter(self._instruments.values())

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._instruments

    def __getitem__(self, symbol: str) -> SimInstrument:
        """The instrument of the venue's own name; raises :class:`UnknownInstrument`."""
        found = self._instruments.get(symbol)
        if found is None:
            raise UnknownInstrument(f"{symbol!r} is not listed; there are {', '.join(self._instruments)}")
        return found

    def get(self, symbol: str) -> SimInstrument | None:
        """The instrument of the venue's own name, or None."""
        return self._instruments.get(symbol)

    def advance(self, now_us: int) -> None:
        """Run the flow up to ``now_us``; a moment in the past changes nothing.

        While ``halted``, and for what is more than ``catch_up_us`` behind, time passes without events.
        """
        behind_us = now_us - self.now_us
        if self.halted:
            self._skip(behind_us)
        elif behind_us > self._catch_up_us:
            self._skip(behind_us - self._catch_up_us)
        self._run_cells(now_us)

    def _run_cells(self, now_us: int) -> None:
        while self._cell_end_us <= now_us:
            self._run_to(self._cell_end_us)
            for instrument in self:
                instrument.step(CELL_US)
            self._cell_end_us += CELL_US
        if now_us > self.now_us:
            self._run_to(now_us)

    def _run_to(self, until_us: int) -> None:
        for instrument in self:
            instrument.run_to(until_us)
        self.now_us = until_us

    def _skip(self, us: int) -> None:
        if us <= 0:
            return
        for instrument in self:
            instrument.skip(us)
        self.now_us += us
        self._cell_end_us += us
        self.skipped_us += us
