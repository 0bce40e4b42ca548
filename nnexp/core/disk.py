"""Room on a full disk: what is trained waits for it, and is not lost."""

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nnexp.core.errors import UserError, warn

T = TypeVar("T")

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
PATIENCE_SECONDS = 600.0
"""How long a run that is trained waits for room."""


def retry_while_disk_full(write: Callable[[], T], output_dir: Path, patience: float = PATIENCE_SECONDS) -> T:
    """Write files, and where the disk is full wait until they fit.

    Raises UserError if there is no room for all that time.

    Args:
        write: Writes them; it is done from the beginning each time.
        output_dir: Where that is, to tell the user.
        patience: How long to wait, in seconds.
    """
    end = time.monotonic() + patience
    warned = False
    while True:
        try:
            return write()
        except OSError as error:
            if error.errno not in DISK_FULL_ERRORS:
                raise
            if time.monotonic() > end:
                raise UserError(f"output_dir={output_dir}: must have room for the files of a run") from error
            if not warned:
                warn(f"no space left in {output_dir}; what is trained waits for room")
            warned = True
        time.sleep(1)
