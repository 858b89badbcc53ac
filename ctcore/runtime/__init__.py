"""What keeps a daemon alive: supervision, bus, mailboxes, clocks, threads, state, logs, the orderly end."""

from ctcore.runtime.bus import Bus, BusStatistics, Subscription
from ctcore.runtime.clock import Clock, MonotonicStamp, StampStatistics, SystemClock, TrioClock
from ctcore.runtime.contain import Failure, contain
from ctcore.runtime.log import LogOnce, Logs, LogSettings, LogStatistics, setup_logging
from ctcore.runtime.mailbox import Mailbox, MailboxStatistics, Overflow
from ctcore.runtime.redact import REDACTOR, Redactor, redact, register_secret
from ctcore.runtime.service import (
    ENDED,
    Fatal,
    FunctionService,
    Policy,
    RestartForever,
    RestartUpTo,
    Service,
    ServiceState,
    ServiceStatus,
)
from ctcore.runtime.shutdown import (
    Phase,
    PhaseOutcome,
    PhaseResult,
    ShutdownReport,
    StopSignals,
    open_signals,
    run_shutdown,
)
from ctcore.runtime.state_file import DaemonState, StateDirectory
from ctcore.runtime.supervised import supervise
from ctcore.runtime.supervisor import Supervisor, open_supervisor
from ctcore.runtime.threads import BlockingWorker, OnDeadline, WorkerStatistics

__all__ = [
    "ENDED",
    "REDACTOR",
    "BlockingWorker",
    "Bus",
    "BusStatistics",
    "Clock",
    "DaemonState",
    "Failure",
    "Fatal",
    "FunctionService",
    "LogOnce",
    "LogSettings",
    "LogStatistics",
    "Logs",
    "Mailbox",
    "MailboxStatistics",
    "MonotonicStamp",
    "OnDeadline",
    "Overflow",
    "Phase",
    "PhaseOutcome",
    "PhaseResult",
    "Policy",
    "Redactor",
    "RestartForever",
    "RestartUpTo",
    "Service",
    "ServiceState",
    "ServiceStatus",
    "ShutdownReport",
    "StampStatistics",
    "StateDirectory",
    "StopSignals",
    "Subscription",
    "Supervisor",
    "SystemClock",
    "TrioClock",
    "WorkerStatistics",
    "contain",
    "open_signals",
    "open_supervisor",
    "redact",
    "register_secret",
    "run_shutdown",
    "setup_logging",
    "supervise",
]
