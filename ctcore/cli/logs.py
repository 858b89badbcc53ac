"""The logs of commands that run for long, and what happens to a mistake of ours in them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import attrs
from loguru import logger

from ctcore.cli.failing import Unexpected, is_expected
from ctcore.runtime.log import LogSettings, setup_logging

if TYPE_CHECKING:
    from ctcore.config import Config

_REPORT = "error.log"


def settings_of(config: Config) -> LogSettings:
    """The section ``[log]`` as the logs take it."""
    log = config.log
    return LogSettings(
        level=log.level, directory=log.dir, max_file_size_mb=log.max_file_size_mb, keep=log.keep_files)


@contextmanager
def open_logs(settings: LogSettings, *, stream: TextIO | None = None) -> Iterator[None]:
    """Log while the block runs. What it raises by mistake is written to ``error.log``, traceback and all, and
    comes out as :class:`Unexpected`.
    """
    try:
        with setup_logging(settings, stream=stream):
            yield
    except Exception as error:
        if settings.directory is None or is_expected(error):
            raise
        with setup_logging(attrs.evolve(settings, colour=False), stream=io.StringIO()):
            logger.opt(exception=error).critical("the command failed: {}", error)
        raise Unexpected(settings.directory / _REPORT) from error
