"""What a store has not been told yet: noted beside the files of a run or a sweep, and delivered later.

The files are the journal: a note says where they were to go, what the store calls the run, and what is not in them.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nnexp.config.overrides import command
from nnexp.core.files import relative
from nnexp.core.json_files import read_json, write_json
from nnexp.storage.run_folder import HISTORY, MAX_FILE_BYTES, TRACKED, files_to_record, read_history
from nnexp.tracking.tracker import FinishedRun, Status, SweepFacts, SweepView
from nnexp.training.history import NOTHING


@dataclass(frozen=True)
class RunNote:
    """Where a run is tracked, and what is still to be said of it there.

    Attributes:
        uri: The store.
        run_id: What the store calls the run; None where it does not know it yet.
        parent: What the store calls the sweep that trained the run, or None.
        left: What is to be delivered; None when everything has been.
    """

    uri: str
    run_id: str | None
    parent: str | None = None
    left: FinishedRun | None = None

    def write(self, folder: Path) -> None:
        """Write the note beside a run's files."""
        left = None
        if self.left is not None:  # but for what its folder holds
            left = asdict(replace(self.left, history=NOTHING, files=()))
            del left["history"], left["files"]
        write_json(folder / TRACKED, {"uri": self.uri, "run_id": self.run_id, "parent": self.parent, "left": left})

    @classmethod
    def read(cls, folder: Path) -> "RunNote | None":
        """Return the note beside a run's files; None where there is none, or something else."""
        note = read_json(folder / TRACKED, cls, MAX_FILE_BYTES)
        if note is None or note.left is None:
            return note
        try:
            history = read_history(folder) if (folder / HISTORY).is_file() else NOTHING
        except (OSError, ValueError):
            return None
        return replace(note, left=replace(note.left, history=history, files=files_to_record(folder)))


@dataclass(frozen=True)
class SweepNote:
    """Where a sweep was to be recorded, and what is to be said of it there.

    Attributes:
        uri: The store.
        run_id: What the store calls the sweep.
        facts: What was known before it was trained.
        view, description, status: How it ended, and what a person should see.
    """

    uri: str
    run_id: str
    facts: SweepFacts
    view: SweepView
    description: str
    status: Status

    def write(self, folder: Path) -> None:
        """Write the note beside a sweep's files."""
        write_json(folder / TRACKED, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "SweepNote | None":
        """Return the note beside a sweep's files; None where there is none, or something else."""
        return read_json(folder / TRACKED, cls, MAX_FILE_BYTES)


def deliver_command(output_dir: Path, uri: str) -> str:
    """Return the command that delivers what is noted in a folder."""
    from nnexp.tracking.mlflow import default_uri

    elsewhere = [] if uri == default_uri(output_dir) else ["--tracking-uri", uri]
    return command("deliver", relative(output_dir), *elsewhere)


def tracked_as(folder: Path, uri: str, *, complete: bool = True) -> str | None:
    """Return what a store calls a run, if it was recorded there in full, or at all."""
    note = RunNote.read(folder)
    return note.run_id if note is not None and note.uri == uri and (note.left is None or not complete) else None
