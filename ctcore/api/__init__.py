"""The HTTP API: an app over the daemon as :class:`ApiTarget` shows it, and the server that runs it."""

from ctcore.api.app import build_app
from ctcore.api.errors import ApiError
from ctcore.api.server import serve
from ctcore.api.target import ApiTarget, BookView, DaemonStatus

__all__ = ["ApiError", "ApiTarget", "BookView", "DaemonStatus", "build_app", "serve"]
