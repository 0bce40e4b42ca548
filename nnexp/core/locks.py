"""A lock file in a folder: one process at a time works there.

The file is never removed, since another process could have opened it just before.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"


def lock_of(folder: Path) -> Path:
    """Return the lock file of a folder."""
    return folder / LOCK


def locked(path: Path, seconds: float = 0.0) -> "BaseFileLock | None":
    """Return a lock, or None if another process has it for so long; the system releases the locks of dead processes.

    Raises OSError if its folder is not there, or cannot be written to.
    """
    from filelock import FileLock, Timeout

    if not path.parent.is_dir():  # which filelock would make
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(path.parent))

    lock = FileLock(path)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return None
    return lock


@contextmanager
def held(path: Path, *, seconds: float = 0.0) -> Iterator[bool]:
    """Yield whether the lock could be taken, and hold it within the block if so."""
    lock = locked(path, seconds)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()
