"""The folder of a sweep, `outputs/sweeps/...`: its report, the folders of its runs, and its state."""

import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from nnexp.core.errors import UserError
from nnexp.core.files import new_folder, remove_temporaries
from nnexp.core.json_files import read_json, write_json
from nnexp.core.locks import lock_of, locked
from nnexp.storage.run_folder import MAX_FILE_BYTES, SUMMARY
from nnexp.sweeps.reuse import RUNS, SWEEPS
from nnexp.tracking.tracker import Status

if TYPE_CHECKING:
    from filelock import BaseFileLock

STATE, LOCK = "sweep.json", ".lock"
SECONDS_BETWEEN_LOOKS = 0.5
"""How often a sweep that waits for another one looks whether it has ended."""


@dataclass(frozen=True)
class SweepState:
    """Where a sweep stands, as its folder says."""

    key: str
    command: str
    status: Literal[Status, "RUNNING"]
    parent: str | None
    process: int | None = None
    identifier: str | None = None


@dataclass
class SweepFolder:
    """The folder of a sweep that this process runs; a lock keeps other processes out.

    Attributes:
        path: Where it is.
        key: A hash of the jobs and options; a command with the same one goes on with the sweep.
        command: The command that was given.
        lock: The system releases it when the process ends, however that is.
        identifier: Made once; a store that was told of the sweep finds it by this, even if nobody has noted its ID.
        parent: The run ID of the sweep in the tracker; None before it is recorded.
    """

    path: Path
    key: str
    command: str
    lock: "BaseFileLock"
    identifier: str
    parent: str | None = None
    _noting: Lock = field(default_factory=Lock)

    @classmethod
    def begin(
        cls, output_dir: Path, name: str, key: str, command: str, *, again: bool, wait: bool = False
    ) -> "SweepFolder":
        """Return a new folder, named by the time, the name and the key.

        With `again` it is the newest folder of an earlier sweep with this key, if there is one.

        Raises UserError if another process has the earlier sweep, unless it is to wait for its end.
        """
        from filelock import FileLock

        sweeps = output_dir / SWEEPS
        sweeps.mkdir(parents=True, exist_ok=True)
        while True:
            with FileLock(lock_of(sweeps)):  # two commands that come at once do not both make a folder
                newest = max(sweeps.glob(f"*_{key}*"), default=None) if again else None
                path = newest or new_folder(sweeps, f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{name}_{key}")
                lock, state = locked(path / LOCK), read_json(path / STATE, SweepState, MAX_FILE_BYTES)
                if lock is not None:
                    parent = None if state is None else state.parent
                    identifier = (state and state.identifier) or uuid4().hex
                    folder = cls(path=path, key=key, command=command, lock=lock, identifier=identifier, parent=parent)
                    folder._remove_unfinished()
                    folder.note(None, parent)  # now, so that another command can say who has it
                    return folder
            if not wait:
                raise UserError(
                    f"sweep: must not be running already, as process {state and state.process} in {path} is; "
                    "sweep.wait=true waits for it, sweep.reuse=false trains all runs again"
                )
            time.sleep(SECONDS_BETWEEN_LOOKS)

    @property
    def runs(self) -> Path:
        """Return the folder with the folders of its runs."""
        return self.path / RUNS

    def note(self, status: Status | None, parent: str | None) -> None:
        """Write the state of the sweep; without a status it is running. Threads may do so at the same time.

        Raises OSError if it cannot be written, as where somebody has removed the folder.
        """
        with self._noting:
            self.parent = parent
            state = SweepState(
                key=self.key,
                command=self.command,
                status=status or "RUNNING",
                parent=parent,
                process=os.getpid(),
                identifier=self.identifier,
            )
            write_json(self.path / STATE, asdict(state))

    def close(self) -> None:
        """Release the lock, so that other processes can go on with the sweep."""
        self.lock.release()

    def _remove_unfinished(self) -> None:
        remove_temporaries(self.path)
        for folder in self.runs.iterdir() if self.runs.is_dir() else ():
            if folder.is_dir() and not (folder / SUMMARY).exists():
                shutil.rmtree(folder)
