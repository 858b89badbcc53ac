"""The entry point of ``ctcore``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``ctcore`` with the arguments of the process, or with these; ends in :class:`SystemExit`.

    Where a command does not listen for it, Ctrl+C ends the process as it does any other: without a traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ctcore.cli.app import run_command

    run_command(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    main()
