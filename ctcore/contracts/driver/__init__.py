"""The driver's contract; see :mod:`ctcore.contracts.driver.driver` for how the pieces work together."""

from ctcore.contracts.driver.book_stream import BookStream
from ctcore.contracts.driver.driver import BookStatistics, ConnectionPlan, Driver, StreamSession
from ctcore.contracts.driver.facts import Capabilities, DriverInfo, Endpoints, RateLimit, RateNotice
from ctcore.contracts.driver.plugin import DriverPlugin, SimulatorOptions, VenueSimulator
from ctcore.contracts.driver.requests import (
    Close,
    Control,
    Effect,
    Fetch,
    HttpRequest,
    HttpResponse,
    Retire,
    Send,
)

__all__ = [
    "BookStatistics",
    "BookStream",
    "Capabilities",
    "Close",
    "ConnectionPlan",
    "Control",
    "Driver",
    "DriverInfo",
    "DriverPlugin",
    "Effect",
    "Endpoints",
    "Fetch",
    "HttpRequest",
    "HttpResponse",
    "RateLimit",
    "RateNotice",
    "Retire",
    "Send",
    "SimulatorOptions",
    "StreamSession",
    "VenueSimulator",
]
