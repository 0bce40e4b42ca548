"""Locks, by which a process has a folder for itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock


def lock_of(folder: Path) -> Path:
    """Return the file by which a process has the folder of a run for itself."""
    return folder.with_name(f".{folder.name}.lock")


def locked(path: Path) -> "BaseFileLock | None":
    """Return a lock, None where another process has it; the system lets go of it for the dead."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a lock within the block, and yield whether that is so; another process may have it."""
    lock = locked(path)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()
