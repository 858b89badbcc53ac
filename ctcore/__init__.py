"""ctcore: watch order books of many exchanges, keep them as exact history, trade them under risk control."""

__version__ = "0.1.0"

__all__ = ["__version__"]
