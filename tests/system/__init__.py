"""Whole daemons over real sockets, started and ended as a user does it."""
