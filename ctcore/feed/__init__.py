"""Feeds: connections at work, live books, planned handovers, and offline replay."""
