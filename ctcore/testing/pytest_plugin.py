"""Fixtures for plugin authors; pytest loads them wherever ctcore is installed. Imports stay light."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

RECORDINGS_VARIABLE = "CTCORE_RECORDINGS"
"""Environment variable: a folder of recorded wire data; without it ``../shared/recordings`` is looked for."""


@pytest.fixture(scope="session")
def recordings(pytestconfig: pytest.Config) -> Path:
    """The folder of recorded wire data; a test that asks for it is skipped where there is none."""
    named = os.environ.get(RECORDINGS_VARIABLE)
    folder = Path(named) if named else pytestconfig.rootpath.parent / "shared" / "recordings"
    if not folder.is_dir():
        pytest.skip(f"no recordings: {folder} does not exist; name a folder of them in {RECORDINGS_VARIABLE}")
    return folder
