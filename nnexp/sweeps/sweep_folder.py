"""The folder of a sweep, `outputs/sweeps/...`: its report, the folders of its runs, and where it stands."""

import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from nnexp.core.files import new_folder
from nnexp.core.json_files import read_json, write_json
from nnexp.core.locks import locked
from nnexp.storage.run_folder import LARGEST, SUMMARY
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
            write_json(self.path / STATE, asdict(SweepState(self.key, self.command, status or "RUNNING", parent)))

    def close(self) -> None:
        """Let others go on with the sweep."""
        self.lock.release()

    def _remove_unfinished(self) -> None:
        for folder in self.runs.iterdir() if self.runs.is_dir() else ():
            if folder.is_dir() and not (folder / SUMMARY).exists():
                shutil.rmtree(folder)


def _parent(path: Path) -> str | None:
    state = read_json(path / STATE, SweepState, LARGEST)
    return None if state is None else state.parent
