"""The plugin door: hook specifications and markers, and the manager that finds who is here."""

from ctcore.contracts.plugin.hookspecs import API_VERSION, PROJECT, hookimpl, hookspec
from ctcore.contracts.plugin.manager import PluginManager, PluginReport
from ctcore.contracts.plugin.secrets import SecretBackend

__all__ = [
    "API_VERSION",
    "PROJECT",
    "PluginManager",
    "PluginReport",
    "SecretBackend",
    "hookimpl",
    "hookspec",
]
