"""The bus: events go by plain function call from whoever publishes to whoever subscribed.

``publish`` is the hottest line of ctcore. It looks up a tuple of callbacks, computed once for each pair of
event type and instrument, and calls them. Subscribers that do more than a few microseconds of work put the
event into a :class:`~ctcore.runtime.mailbox.Mailbox` and do it in their own task.

This is the second, deliberate place (beside the supervisor) that catches ``Exception``: one subscriber's
mistake must neither stop the socket that publishes nor starve the other subscribers. The subscription is
taken off and its ``on_error`` told, which should fail the service that owns it (``mailbox.fail`` does).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import attrs
from loguru import logger

from ctcore.model.ids import Channel, InstrumentId
from ctcore.model.market import CHANNEL_OF, Gap

Callback: TypeAlias = Callable[[Any], None]
_CHANNELS: Mapping[type, Channel] = {**CHANNEL_OF}
_ROUTE_LIMIT = 100_000  # computed routes; far above any real number of instruments times types


@attrs.frozen(eq=False)
class Subscription:
    """The token of a subscription, for :meth:`Bus.unsubscribe`. A filter of None lets everything pass."""

    name: str
    callback: Callback
    types: tuple[type, ...] | None
    instruments: frozenset[InstrumentId] | None
    channels: frozenset[Channel | None] | None
    on_error: Callable[[Exception], None]

    def call_for(self, kind: type, instrument: InstrumentId | None) -> Callback | None:
        """What to call for events of this type and instrument; None when they are not wanted."""
        if self.types is not None and not issubclass(kind, self.types):
            return None
        if self.instruments is not None and instrument not in self.instruments:
            return None
        if self.channels is None:
            return self.callback
        if issubclass(kind, Gap):
            return self._gaps_of_channels
        return self.callback if _CHANNELS.get(kind) in self.channels else None

    def _gaps_of_channels(self, gap: Gap) -> None:
        # A gap's channel is in the event, not in its type; gaps are rare enough to ask each time.
        if self.channels is not None and gap.channel in self.channels:
            self.callback(gap)


@attrs.frozen
class BusStatistics:
    """``routes``: pairs of type and instrument seen; ``quarantined``: subscriptions that raised."""

    published: int
    subscriptions: int
    routes: int
    quarantined: int


class Bus:
    """Typed publish and subscribe inside one process and one thread."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self._calls: dict[type, dict[InstrumentId | None, tuple[Callback, ...]]] = {}
        self._published = 0
        self._quarantined = 0

    def publish(self, event: Any) -> None:
        """Call every subscriber that wants this event, in order of subscription, now.

        An event without an ``instrument`` reaches the subscriptions that do not filter by instrument.
        """
        self._published += 1
        try:
            callbacks = self._calls[type(event)][event.instrument]
        except (KeyError, AttributeError):
            callbacks = self._resolve(event)
        for callback in callbacks:
            try:
                callback(event)
            except Exception as error:  # noqa: BLE001  the deliberate place; see the module's text
                self._quarantine(event, callback, error)

    def subscribe(
        self,
        callback: Callback,
        *,
        types: Iterable[type] | None = None,
        instruments: Iterable[InstrumentId] | None = None,
        channels: Iterable[Channel] | None = None,
        name: str = "",
        on_error: Callable[[Exception], None] | None = None,
    ) -> Subscription:
        """Call ``callback(event)`` for every event that passes all filters given; types include their
        subtypes.

        A channel lets the channel's data and its gaps pass. A change made while an event is being published
        takes effect with the next event. ``on_error`` is told once if the callback raises, after which the
        subscription is gone; it must not raise itself. Without it the error is logged.
        """
        label = name or getattr(callback, "__qualname__", repr(callback))
        subscription = Subscription(
            label,
            callback,
            None if types is None else tuple(types),
            None if instruments is None else frozenset(instruments),
            None if channels is None else frozenset(channels),
            on_error or _log_error(label),
        )
        self._subscriptions.append(subscription)
        self._calls = {}
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Take a subscription off; taking it off twice, or after quarantine, is no mistake."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._calls = {}

    def statistics(self) -> BusStatistics:
        """Counts so far."""
        return BusStatistics(
            published=self._published,
            subscriptions=len(self._subscriptions),
            routes=sum(map(len, self._calls.values())),
            quarantined=self._quarantined,
        )

    def _resolve(self, event: Any) -> tuple[Callback, ...]:
        instrument = getattr(event, "instrument", None)
        wanted = (subscription.call_for(type(event), instrument) for subscription in self._subscriptions)
        calls = tuple(call for call in wanted if call is not None)
        if sum(map(len, self._calls.values())) >= _ROUTE_LIMIT:
            self._calls = {}
        self._calls.setdefault(type(event), {})[instrument] = calls
        return calls

    def _quarantine(self, event: Any, callback: Callback, error: Exception) -> None:
        # Whoever shares the very same callable shares its fate. Nobody is found when the subscription was
        # taken off by an earlier callback of this event: what it raises then concerns no one.
        instrument = getattr(event, "instrument", None)
        for subscription in tuple(self._subscriptions):
            if subscription.call_for(type(event), instrument) == callback:
                self.unsubscribe(subscription)
                self._quarantined += 1
                subscription.on_error(error)


def _log_error(name: str) -> Callable[[Exception], None]:
    def log(error: Exception) -> None:
        logger.opt(exception=error).error("subscriber {} raised and was taken off the bus", name)

    return log
