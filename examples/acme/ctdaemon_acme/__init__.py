"""ACME, an exchange that does not exist: the smallest complete driver."""
