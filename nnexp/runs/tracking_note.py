"""Notes on what a store has not recorded yet, beside the files of a run or a sweep, to deliver it later.

A note has the address of the store, the ID of the run in it, and everything to record that is not in the files.
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
    """Where a run is tracked, and what is still to be recorded there.

    Attributes:
        uri: The address of the store.
        run_id: The ID of the run in the store; None if it is not there yet.
        parent: The ID of the sweep that trained the run, or None.
        left: The run that is still to be recorded; None if it has been.
    """

    uri: str
    run_id: str | None
    parent: str | None = None
    left: FinishedRun | None = None

    def write(self, folder: Path) -> None:
        """Write the note beside a run's files."""
        left = None
        if self.left is not None:  # without the parts that are in its folder
            left = asdict(replace(self.left, history=NOTHING, files=()))
            del left["history"], left["files"]
        write_json(folder / TRACKED, {"uri": self.uri, "run_id": self.run_id, "parent": self.parent, "left": left})

    @classmethod
    def read(cls, folder: Path) -> "RunNote | None":
        """Return the note beside a run's files; None if there is none, or it is damaged."""
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
    """Where a sweep is tracked, and what is still to be recorded there.

    Attributes:
        uri: The address of the store.
        run_id: The ID of the sweep in the store.
        facts: The facts known before it was trained.
        view, description, status: Its view in the tracker, its description, and how it ended.
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
        """Return the note beside a sweep's files; None if there is none, or it is damaged."""
        return read_json(folder / TRACKED, cls, MAX_FILE_BYTES)


def deliver_command(output_dir: Path, uri: str) -> str:
    """Return the command that delivers everything noted in an output folder."""
    from nnexp.tracking.mlflow import default_uri

    elsewhere = [] if uri == default_uri(output_dir) else ["--tracking-uri", uri]
    return command("deliver", relative(output_dir), *elsewhere)


def tracked_as(folder: Path, uri: str, *, complete: bool = True) -> str | None:
    """Return the ID of a run in a store, or None; with `complete`, only if it is fully recorded there."""
    note = RunNote.read(folder)
    return note.run_id if note is not None and note.uri == uri and (note.left is None or not complete) else None
