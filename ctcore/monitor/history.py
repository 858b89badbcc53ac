"""Asking history from inside the daemon: a reader's connection of its own, in a worker thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctcore.model.ids import InstrumentId
from ctcore.runtime.threads import BlockingWorker

if TYPE_CHECKING:
    from ctcore.sinks.client import HistoryClient
    from ctcore.sinks.config import ClickHouseConfig
    from ctcore.sinks.queries import HistoricBook

ASK_SEC = 30.0


class HistoryReader:
    """Questions to one ClickHouse history. It connects with the first question."""

    def __init__(self, config: ClickHouseConfig) -> None:
        self._config = config
        self._client: HistoryClient | None = None
        self._worker = BlockingWorker("history reader", deadline_sec=ASK_SEC, max_waiting=16)

    async def book_at(self, instrument: InstrumentId, at_us: int) -> HistoricBook:
        """The whole book at a moment; as :func:`ctcore.sinks.queries.book_at`, with a deadline of
        ``ASK_SEC``."""
        return await self._worker.run(self._book_at, instrument, at_us)

    async def aclose(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            await self._worker.run(client.close)

    def _book_at(self, instrument: InstrumentId, at_us: int) -> HistoricBook:
        from ctcore.sinks.client import connect
        from ctcore.sinks.queries import book_at

        if self._client is None:
            client = connect(self._config)
            client.use(self._config.database)
            self._client = client
        return book_at(self._client, instrument, at_us)
