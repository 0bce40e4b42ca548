"""The folder of a sweep, `outputs/sweeps/...`: its report, the folders of its runs, and its state."""

import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from nnexp.core.files import new_folder
from nnexp.core.json_files import read_json, write_json
from nnexp.core.locks import locked
from nnexp.storage.run_folder import MAX_FILE_BYTES, SUMMARY
from nnexp.sweeps.reuse import RUNS, SWEEPS
from nnexp.tracking.tracker import Status

if TYPE_CHECKING:
    from filelock import BaseFileLock

STATE, LOCK = "sweep.json", ".lock"


@dataclass(frozen=True)
class SweepState:
    """Where a sweep stands, as its folder says."""

    key: str
    command: str
    status: Literal[Status, "RUNNING"]
    parent: str | None


@dataclass
class SweepFolder:
    """The folder of a sweep that this process runs; a lock keeps other processes out.

    Attributes:
        path: Where it is.
        key: A hash of the jobs and options; a command with the same one goes on with the sweep.
        command: The command that was given.
        lock: The system releases it when the process ends, however that is.
        parent: The run ID of the sweep in the tracker; None before it is recorded.
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
                folder = cls(path=path, key=key, command=command, lock=lock, parent=_parent(path))
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
            write_json(self.path / STATE, asdict(SweepState(self.key, self.command, status or "RUNNING", parent)))

    def close(self) -> None:
        """Release the lock, so that other processes can go on with the sweep."""
        self.lock.release()

    def _remove_unfinished(self) -> None:
        for folder in self.runs.iterdir() if self.runs.is_dir() else ():
            if folder.is_dir() and not (folder / SUMMARY).exists():
                shutil.rmtree(folder)


def _parent(path: Path) -> str | None:
    state = read_json(path / STATE, SweepState, MAX_FILE_BYTES)
    return None if state is None else state.parent
