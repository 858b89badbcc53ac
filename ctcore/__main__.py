"""``python -m ctcore`` is ``ctcore``."""

from ctcore.cli.main import main

main()
