"""Pure order books: sides, sequence rules, windows and bounded history."""

from ctcore.book.edge import BookEdge
from ctcore.book.order_book import OrderBook
from ctcore.book.ring import Ring
from ctcore.book.sequence import RULES, BookSequence, SequenceRule, SyncState, Verdict
from ctcore.book.side import BookSide
from ctcore.book.window import BookWindow

__all__ = [
    "RULES",
    "BookEdge",
    "BookSequence",
    "BookSide",
    "BookWindow",
    "OrderBook",
    "Ring",
    "SequenceRule",
    "SyncState",
    "Verdict",
]
