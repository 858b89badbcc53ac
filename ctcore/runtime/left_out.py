"""What runs without: things that a plugin's code could not make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from loguru import logger

from ctcore.contracts.plugin.isolation import Failure, attempt
from ctcore.errors import PluginError
from ctcore.runtime.redact import redact
from ctcore.runtime.service import ServiceState, ServiceStatus

T = TypeVar("T")


class LeftOut:
    """Sinks and feeds that run without: their plugin's code failed. Told as services that are parked."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self.services: list[ServiceStatus] = []
        self.errors: list[BaseException] = []

    def add(self, name: str, failure: Failure) -> None:
        """Note one, in the log as well."""
        text = redact(str(failure))
        logger.error("{}: left out, its plugin cannot make it ({}); ask the plugin's author", name, text)
        now_us = self._now_us()
        self.services.append(ServiceStatus(name, ServiceState.PARKED, now_us, 0, text, now_us, None))
        self.errors.append(failure.error)

    def lines(self, kind: str) -> list[str]:
        """What is missing because of that, of ``sink`` or ``feed``."""
        return [f"{row.name}: left out, {row.last_error}" for row in self.services
                if row.name.startswith(f"{kind} ")]


def make(kind: Any, create: Callable[[], T]) -> T | Failure:
    """What a plugin makes, which is to be of the class ``kind``; or why it is nothing of use."""
    made = attempt(create)
    if isinstance(made, kind | Failure):
        return made
    return Failure(PluginError(f"it made a {type(made).__name__}, which is no {kind.__name__}"))
