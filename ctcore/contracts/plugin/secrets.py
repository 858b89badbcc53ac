"""A place secrets are read from."""

from __future__ import annotations

from collections.abc import Callable

import attrs


@attrs.frozen(kw_only=True)
class SecretBackend:
    """Resolves ``${scheme:reference}`` in configs.

    ``read`` returns the secret for a reference or raises :class:`~ctcore.errors.ConfigError` naming what is
    missing, never the secret.
    """

    scheme: str
    read: Callable[[str], str]
