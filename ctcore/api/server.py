"""Serving the app: hypercorn on trio, inside the caller's nursery, on a port taken before anything else."""

from __future__ import annotations

import errno
import logging
import os
import socket
from functools import partial
from typing import Any

import hypercorn.trio
import trio
from hypercorn.config import Config
from hypercorn.logging import Logger
from loguru import logger
from starlette.applications import Starlette

from ctcore.config.setting import is_loopback
from ctcore.errors import ConfigError

GRACE_SEC = 5.0
"""How long calls under way may take to end once the server was asked to stop."""

IDLE_SEC = 5
"""A connection without a call, or whose request's head does not arrive, is closed after this. (hypercorn
keeps two tasks this long even for a connection that its client has closed.)"""

STALLED_SEC = 5.0
"""A client that does not take its answer is cut off after this. hypercorn shields its writes from
cancellation: without a limit in the kernel (Linux has one) such a client could hold up the daemon's end."""

_BACKLOG = 100
_RESOLVE_SEC = 5.0
_HEADERS_LARGEST = 16 * 1024


async def serve(app: Starlette, host: str, port: int, *, stop: trio.Event,
                task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve ``app`` until ``stop``; then end the calls under way, within :data:`GRACE_SEC`, and return.

    ``task_status`` is told the URL, once connections are accepted. Port 0 takes any free one. Raises
    :class:`~ctcore.errors.ConfigError` when the address cannot be had, or could be reached from outside while
    the app asks for no token.
    """
    if not is_loopback(host) and not getattr(app.state, "asks_token", False):
        raise ConfigError(f"server.token: {host} can be reached from outside; set it, or host to 127.0.0.1")
    sockets = await _bind(host, port)
    config = _config(sockets)
    async with trio.open_nursery() as nursery:
        # hypercorn's annotations say Scope where Starlette's say MutableMapping; both mean the same.
        run: Any = partial(hypercorn.trio.serve, app, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
        urls: list[str] = await nursery.start(run)
        logger.info("API: listening on {}", urls[0])
        task_status.started(urls[0])


class _QuietLogger(Logger):
    """hypercorn's messages through :mod:`logging`; what it tells of itself is for debugging."""

    async def info(self, message: str, *args: Any, **kwargs: Any) -> None:
        await self.debug(message, *args, **kwargs)


def _config(sockets: list[socket.socket]) -> Config:
    config = Config()
    config.bind = [f"fd://{each.detach()}" for each in sockets]  # hypercorn owns them from here on
    config.logger_class = _QuietLogger
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    config.graceful_timeout = GRACE_SEC
    config.keep_alive_timeout = IDLE_SEC
    config.h11_max_incomplete_size = _HEADERS_LARGEST
    config.h2_max_header_list_size = _HEADERS_LARGEST
    return config


async def _bind(host: str, port: int) -> list[socket.socket]:
    """One listening socket for each address of ``host``, of which a machine may lack the IPv6 one."""
    addresses = await _addresses(host, port)
    bound: list[socket.socket] = []
    absent: OSError | None = None
    for family, address in addresses:
        try:
            bound.append(_listen(family, address, only_v6=len(addresses) > 1))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and len(addresses) > 1:
                absent = error
                continue
            _close(bound)
            raise ConfigError(_refused(host, port, error)) from None
        if port == 0:
            break  # a second address would get another port
    if not bound and absent is not None:
        raise ConfigError(_refused(host, port, absent))
    return bound


async def _addresses(host: str, port: int) -> list[tuple[int, Any]]:
    try:
        with trio.fail_after(_RESOLVE_SEC):
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, trio.TooSlowError):
        raise ConfigError(f"server.host: {host!r} is not an address of this machine; use 127.0.0.1") from None
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


def _listen(family: int, address: Any, *, only_v6: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere the option lets two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and only_v6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(STALLED_SEC * 1_000))
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _refused(host: str, port: int, error: OSError) -> str:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"server.port: {where} is taken by another program; end that one, or set another port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"server.port: {where} may not be taken by this user; set a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"server.host: {host} is not an address of this machine; use 127.0.0.1"
    return f"server.port: {where} cannot be listened on ({error.strerror}); set another host or port"
