"""Collecting: from the bus into batches, spooled on disk while a sink cannot take them."""

from ctcore.monitor.batcher import Batcher
from ctcore.monitor.spool import Spool, SpoolStatistics
from ctcore.monitor.statistics import BatcherStatistics

__all__ = ["Batcher", "BatcherStatistics", "Spool", "SpoolStatistics"]
