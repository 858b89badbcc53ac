"""Configurations: the sections and their keys, and how a file becomes a checked :class:`Config`."""

from ctcore.config.load import Plugins, disabled_plugins, load_config
from ctcore.config.original import ClickHouseConfig, DatabaseConfig, TraderConfig
from ctcore.config.reference import KeyReference, describe, reference_tables
from ctcore.config.schema import (
    SIMULATED,
    Config,
    ExchangeConfig,
    LogConfig,
    MonitorConfig,
    PluginsConfig,
    RoleConfig,
    ServerConfig,
    ShutdownConfig,
    SimulatorConfig,
    SinkConfig,
    SpoolConfig,
    StateConfig,
    SubscriptionConfig,
)
from ctcore.config.secrets import Secret
from ctcore.config.setting import setting

__all__ = [
    "SIMULATED",
    "ClickHouseConfig",
    "Config",
    "DatabaseConfig",
    "ExchangeConfig",
    "KeyReference",
    "LogConfig",
    "MonitorConfig",
    "Plugins",
    "PluginsConfig",
    "RoleConfig",
    "Secret",
    "ServerConfig",
    "ShutdownConfig",
    "SimulatorConfig",
    "SinkConfig",
    "SpoolConfig",
    "StateConfig",
    "SubscriptionConfig",
    "TraderConfig",
    "describe",
    "disabled_plugins",
    "load_config",
    "reference_tables",
    "setting",
]
