"""ctcore's own plugin modules, loaded through the same door as everybody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

BUILTIN_MODULES: Final[Mapping[str, str]] = {
    "secrets": "ctcore.config.secrets_plugin",
    "sinks": "ctcore.sinks.plugin",
}
"""Modules by the name they are reported under."""
