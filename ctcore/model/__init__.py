"""Vocabulary of the whole house: identities, instruments, events, the unified message. No I/O, no clock."""
