"""Files that are of no use to ctcore and kept for people, in bounds: the oldest go first. Blocking."""

from __future__ import annotations

from pathlib import Path

from loguru import logger


def keep(path: Path, target: Path, max_bytes: int) -> None:
    """Rename a file; delete the oldest beside it with the same ending beyond ``max_bytes`` in all."""
    if path.exists():
        path.replace(target)
        _prune(target, max_bytes)


def keep_bytes(target: Path, data: bytes, max_bytes: int) -> Path:
    """As :func:`keep`, from memory. A file that could not be written as a whole is not there."""
    target.parent.mkdir(exist_ok=True)
    try:
        target.write_bytes(data)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    _prune(target, max_bytes)
    return target


def _prune(newest: Path, max_bytes: int) -> None:
    """The newest stays whatever its size."""
    there = sorted((path.stat().st_mtime_ns, path.name, path)
                   for path in newest.parent.glob(f"*{newest.suffix}") if path != newest)
    used = newest.stat().st_size + sum(path.stat().st_size for _, _, path in there)
    for _, _, path in there:
        if used <= max_bytes:
            return
        used -= path.stat().st_size
        path.unlink()
        logger.warning("{}: deleted, as what is kept for a look takes more than {} bytes", path, max_bytes)
