"""How commands fail: one clear line on standard error and an exit status, never a traceback.

======  =====================================================================================
status  meaning
======  =====================================================================================
0       done
1       a failure: no answer, a frame that cannot be decoded, an end that was not clean
2       the user's mistake: the command line, the configuration, an unknown instrument
======  =====================================================================================

``--debug``, or ``CTCORE_DEBUG=1``, shows the traceback besides.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from ctcore.errors import ConfigError, ConfigProblems, CtcoreError, UnknownInstrument

PROGRAM = "ctcore"
DEBUG_VARIABLE = "CTCORE_DEBUG"
FAILED, MISTAKE = 1, 2

UsageError: Any = typer.BadParameter.__bases__[0]
"""Of click, which typer brings along under a name of its own; so is the parent of all its errors."""
_Told: tuple[Any, ...] = (UsageError.__bases__[0], typer.Exit, typer.Abort)

_MISTAKES = (ConfigError, UnknownInstrument)


class Unexpected(Exception):
    """A mistake of ours (the cause); ``report`` is the file that tells all of it."""

    def __init__(self, report: Path) -> None:
        super().__init__(str(report))
        self.report = report


class CommandLine(TyperGroup):
    """The top of the command line; every error ends here."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002  the parent's signature
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that ``args`` name, and exit with its status."""
        try:
            status = super().main(
                args, prog_name or PROGRAM, complete_var, False, windows_expand_args, **extra)
            sys.stdout.flush()
        except UsageError as error:
            sys.exit(_usage(error))
        except typer.Abort:
            sys.exit(FAILED)
        except BrokenPipeError:
            sys.exit(_nobody_reads())
        sys.exit(status if isinstance(status, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and turn what it raises into a line and a status."""
        try:
            return super().invoke(ctx)
        except _Told:
            raise
        except BrokenPipeError:
            raise typer.Exit(_nobody_reads()) from None
        except Exception as error:  # noqa: BLE001  the last wall before the user
            raise typer.Exit(tell(error, debug=bool(ctx.params.get("debug")))) from None


def tell(error: Exception, *, debug: bool = False) -> int:
    """Say on standard error what is wrong, and return the exit status that it means."""
    from ctcore.runtime.redact import redact

    if debug:
        _say(redact("".join(traceback.format_exception(error)).rstrip()))
    sole = _sole(error)
    if isinstance(sole, ConfigProblems):
        for problem in sole.problems:
            _say(f"  {_one_line(redact(problem))}")
        count = len(sole.problems)
        _say(f"{PROGRAM}: {count} problem{'s' if count != 1 else ''} in the configuration")
        return MISTAKE
    if isinstance(sole, CtcoreError):
        _say(f"{PROGRAM}: {_one_line(redact(str(sole)))}")
        return MISTAKE if isinstance(sole, _MISTAKES) else FAILED
    cause = _sole(sole.__cause__) if isinstance(sole, Unexpected) and sole.__cause__ else sole
    where = f"the full report is in {sole.report}" if isinstance(sole, Unexpected) else "--debug tells more"
    what = f"{type(cause).__name__}: {cause}".rstrip(": ")
    _say(f"{PROGRAM}: internal error: {_one_line(redact(what))}; {where}")
    return FAILED


def is_expected(error: BaseException) -> bool:
    """Whether ctcore raises it on purpose, so that its text tells enough."""
    return isinstance(_sole(error), CtcoreError)


def warn(line: str) -> None:
    """One line on standard error, about something that stops nothing."""
    complain(f"{PROGRAM}: {line}")


def complain(line: str) -> None:
    """One line on standard error, as it is."""
    _say(_one_line(line))


def _sole(error: BaseException) -> BaseException:
    """The error that a group stands for: one that is not ours if there is such, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_sole(inner) for inner in error.exceptions]
    return next((leaf for leaf in leaves if not isinstance(leaf, CtcoreError)), leaves[0])


def _usage(error: Any) -> int:
    command = error.ctx.command_path if error.ctx is not None else PROGRAM
    message = _one_line(error.format_message()).rstrip(".")
    _say(f"{command}: {message}; see '{command} --help'")
    return MISTAKE


def _nobody_reads() -> int:
    """Whoever read our output has had enough: nothing is wrong, and nobody is left to tell."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _one_line(text: str) -> str:
    """No text from outside may look like several lines, or steer the terminal."""
    joined = " ".join(text.split())
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in joined)


def _say(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201  the place where errors are told
    except (OSError, ValueError):
        return
