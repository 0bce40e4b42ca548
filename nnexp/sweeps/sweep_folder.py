"""The folder of a sweep, `outputs/sweeps/...`: its report, the folders of its runs, and its state."""

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from nnexp.core.files import new_folder, write_text
from nnexp.core.locks import locked
from nnexp.storage.run_folder import SUMMARY
from nnexp.sweeps.reuse import RUNS, SWEEPS
from nnexp.tracking.tracker import Status

if TYPE_CHECKING:
    from filelock import BaseFileLock

STATE, LOCK = "sweep.json", ".lock"


@dataclass
class SweepFolder:
    """The folder of a sweep that this process runs; a lock keeps other processes out.

    Attributes
    ----------
    path
        Where it is.
    key
        A hash of the jobs and options; a command with the same one goes on with the sweep.
    command
        The command that was given.
    lock
        The system releases it when the process ends, however that is.
    parent
        The run ID of the sweep in the tracker; None before it is recorded.

    """

    path: Path
    key: str
    command: str
    lock: "BaseFileLock"
    parent: str | None = None
    _noting: Lock = field(default_factory=Lock)

    @classmethod
    def begin(cls, output_dir: Path, name: str, key: str, command: str, *, again: bool) -> "SweepFolder":
        """Return a new folder, named by the time, the name and the key.

        With `again` it is the newest folder of an earlier sweep with this key whose process has ended, if there is one.
        """
        for path in sorted(output_dir.glob(f"{SWEEPS}/*_{key}*"), reverse=True) if again else []:
            lock = locked(path / LOCK)
            if lock is not None:
                folder = cls(path, key, command, lock, parent=_parent(path))
                folder._remove_unfinished()
                return folder
        while True:
            path = new_folder(output_dir / SWEEPS, f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{name}_{key}")
            lock = locked(path / LOCK)
            if lock is not None:  # None: another process has just found the new folder, and goes on with it
                return cls(path, key, command, lock)

    @property
    def runs(self) -> Path:
        """Return the folder with the folders of its runs."""
        return self.path / RUNS

    def note(self, status: Status | None, parent: str | None) -> None:
        """Write the state of the sweep; without a status it is running. Threads may do so at the same time."""
        with self._noting:
            self.parent = parent
            state = {"key": self.key, "command": self.command, "status": status or "RUNNING", "parent": parent}
            write_text(self.path / STATE, json.dumps(state, indent=1) + "\n")

    def close(self) -> None:
        """Release the lock, so that other processes can go on with the sweep."""
        self.lock.release()

    def _remove_unfinished(self) -> None:
        for folder in self.runs.iterdir() if self.runs.is_dir() else ():
            if folder.is_dir() and not (folder / SUMMARY).exists():
                shutil.rmtree(folder)


def _parent(path: Path) -> str | None:
    try:
        parent = json.loads((path / STATE).read_text(encoding="utf-8")).get("parent")
    except (OSError, ValueError, AttributeError):
        return None
    return parent if isinstance(parent, str) else None
