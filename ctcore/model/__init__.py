"""Vocabulary of the whole house: identities, instruments, market events, the unified message. No I/O, no clock."""
