"""The plugin door: hook specifications and markers."""

from ctcore.contracts.plugin.hookspecs import API_VERSION, PROJECT, hookimpl, hookspec
from ctcore.contracts.plugin.secrets import SecretBackend

__all__ = ["API_VERSION", "PROJECT", "SecretBackend", "hookimpl", "hookspec"]
