"""Writing to a full disk: tried again until there is space, so that a trained run is not lost."""

import errno
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

from nnexp.core.errors import warn

T = TypeVar("T")

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
PATIENCE_SECONDS = 600.0
"""How long a trained run waits for space on the disk."""


def retry_while_disk_full(write: Callable[[], T], place: Path, patience: float = PATIENCE_SECONDS) -> T:
    """Call a function that writes files; while the disk is full, call it again every second.

    Raises OSError if the disk stays full.

    Args:
        write: Writes the files, each time from the beginning.
        place: Where it writes, for messages.
        patience: How long to wait, in seconds.
    """
    end = time.monotonic() + patience
    warned = False
    while True:
        try:
            return write()
        except OSError as error:
            if error.errno not in DISK_FULL_ERRORS or time.monotonic() > end:
                raise
            if not warned:
                warn(f"no space left in {place}; what is trained waits for room")
            warned = True
        time.sleep(1)


def write_or_rescue(write: Callable[[Path], T], folder: Path, patience: float = PATIENCE_SECONDS) -> T:
    """Call a function that writes a folder; what cannot be written there goes to one in the temporary directory.

    Args:
        write: Writes all files into the folder that it is given; it may be called again.
        folder: The folder; it is made if somebody has removed it.
        patience: How long to wait for room on the disk, in seconds.
    """
    try:
        return retry_while_disk_full(partial(_written, write, folder), folder.parent, patience)
    except OSError as error:
        rescue = Path(mkdtemp(prefix="nnexp_")) / folder.name
        written = _written(write, rescue)
        warn(f"{folder} cannot be written ({error.strerror}); what was trained is in {rescue}")
        return written


def _written(write: Callable[[Path], T], folder: Path) -> T:
    folder.mkdir(parents=True, exist_ok=True)
    return write(folder)
