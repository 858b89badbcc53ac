"""The sink's contract: where history goes."""

from ctcore.contracts.sink.sink import Sink, SinkPlugin

__all__ = ["Sink", "SinkPlugin"]
