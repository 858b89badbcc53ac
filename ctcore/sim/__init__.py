"""Simulated venues: seeded order flow over a matching engine, faults, limits and a server base."""

from ctcore.sim.book import BookChanges, BookLevels, SimBook
from ctcore.sim.candles import INTERVALS, SimCandle
from ctcore.sim.clock import SimClock
from ctcore.sim.connection import Connection, ConnectionRules
from ctcore.sim.derivative import Derivative, SimFunding, SimLiquidation
from ctcore.sim.faults import FaultKind, FaultPlan, Faults, FaultStrike, faults_of
from ctcore.sim.flow import FlowParameters
from ctcore.sim.grid import Grid
from ctcore.sim.http import SimRequest, SimResponse
from ctcore.sim.instrument import Listing, SimDay, SimInstrument, SimTrade
from ctcore.sim.instruments import ASSETS, Row, default_listings
from ctcore.sim.limits import RateWindows, Usage
from ctcore.sim.market import SimMarket
from ctcore.sim.matching import Execution, Fill, LevelChange, MatchingBook, Order, OrderKind
from ctcore.sim.server import ServerStatistics, VenueServer

__all__ = [
    "ASSETS",
    "INTERVALS",
    "BookChanges",
    "BookLevels",
    "Connection",
    "ConnectionRules",
    "Derivative",
    "Execution",
    "FaultKind",
    "FaultPlan",
    "FaultStrike",
    "Faults",
    "Fill",
    "FlowParameters",
    "Grid",
    "LevelChange",
    "Listing",
    "MatchingBook",
    "Order",
    "OrderKind",
    "RateWindows",
    "Row",
    "ServerStatistics",
    "SimBook",
    "SimCandle",
    "SimClock",
    "SimDay",
    "SimFunding",
    "SimInstrument",
    "SimLiquidation",
    "SimMarket",
    "SimRequest",
    "SimResponse",
    "SimTrade",
    "Usage",
    "VenueServer",
    "default_listings",
    "faults_of",
]
