"""The folder of a sweep, `outputs/sweeps/...`: its report, the folders of its runs, and where it stands."""

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
    """The folder of a sweep that runs here, which no other process uses.

    Attributes
    ----------
    path
        Where it is.
    key
        What tells whether a command means the same sweep.
    command
        The command that was given.
    lock
        Held as long as this process lives, however it ends.
    parent
        What the tracker calls the sweep, if an earlier command recorded it.

    """

    path: Path
    key: str
    command: str
    lock: "BaseFileLock"
    parent: str | None = None
    _noting: Lock = field(default_factory=Lock)

    @classmethod
    def begin(cls, output_dir: Path, name: str, key: str, command: str, *, again: bool) -> "SweepFolder":
        """Return the folder of an earlier sweep with this key that has no process any more, or a new one.

        Arguments
        ---------
        output_dir
            Where everything is written.
        name
            What a new folder is called, beside the time and the key.
        key
            What tells whether a command means the same sweep.
        command
            The command that was given.
        again
            Whether an earlier sweep is to be gone on with.

        """
        for path in sorted(output_dir.glob(f"{SWEEPS}/*_{key}*"), reverse=True) if again else []:
            lock = locked(path / LOCK)
            if lock is not None:
                folder = cls(path, key, command, lock, _parent(path))
                folder._remove_unfinished()
                return folder
        while True:
            path = new_folder(output_dir / SWEEPS, f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{name}_{key}")
            lock = locked(path / LOCK)
            if lock is not None:  # it is another's who looked for a folder at the very moment when ours was made
                return cls(path, key, command, lock)

    @property
    def runs(self) -> Path:
        """Return where the folders of its runs are."""
        return self.path / RUNS

    def note(self, status: Status | None, parent: str | None) -> None:
        """Write down where the sweep stands; None is under way. Threads may do so at the same time."""
        with self._noting:
            self.parent = parent
            state = {"key": self.key, "command": self.command, "status": status or "RUNNING", "parent": parent}
            write_text(self.path / STATE, json.dumps(state, indent=1) + "\n")

    def close(self) -> None:
        """Let others go on with the sweep."""
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
