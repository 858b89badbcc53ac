"""Collecting: from the bus into batches, spooled on disk while a sink cannot take them."""

from ctcore.monitor.batcher import Batcher, BatcherStatistics
from ctcore.monitor.spool import Spool, SpoolStatistics

__all__ = ["Batcher", "BatcherStatistics", "Spool", "SpoolStatistics"]
