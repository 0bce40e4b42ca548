"""What a store has not been told yet: noted beside the files of a run or a sweep, and delivered later.

The files are the journal: a note says where they were to go, what the store calls the run, and what is not in them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from nnexp.config.overrides import command
from nnexp.core.errors import DamagedError
from nnexp.core.files import read_text, shown, write_text
from nnexp.core.state import Saved
from nnexp.storage.run_folder import HISTORY, LARGEST, TRACKED, files_to_record, read_history
from nnexp.tracking.tracker import DatasetFacts, FinishedRun, RunFacts, Status, SweepFacts, SweepView
from nnexp.training.history import History

NOTHING = History(np.empty(0, np.intp), {})
"""The history of a run that was never evaluated."""
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class RunNote:
    """Where a run is tracked, and what is still to be said of it there.

    Attributes
    ----------
    uri
        The store.
    run_id
        What the store calls the run; None where it does not know it yet.
    parent
        What the store calls the sweep that trained the run, or None.
    left
        What is to be delivered; None when everything has been.

    """

    uri: str
    run_id: str | None
    parent: str | None = None
    left: FinishedRun | None = None

    def write(self, folder: Path) -> None:
        """Write the note beside a run's files."""
        left = None if self.left is None else _plain(self.left)
        note = {"uri": self.uri, "run_id": self.run_id, "parent": self.parent, "left": left}
        write_text(folder / TRACKED, json.dumps(note, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "RunNote | None":
        """Return the note beside a run's files; None where there is none, or something else."""
        saved = _saved(folder)
        if saved is None:
            return None
        try:
            left = _finished_run(saved.part("left"), folder) if saved.has("left") else None
            return cls(saved.text("uri"), _text_or_none(saved, "run_id"), _text_or_none(saved, "parent"), left)
        except DamagedError:
            return None


@dataclass(frozen=True)
class SweepNote:
    """Where a sweep was to be recorded, and what is to be said of it there.

    Attributes
    ----------
    uri
        The store.
    run_id
        What the store calls the sweep.
    facts
        What was known before it was trained.
    view, description, status
        How it ended, and what a person should see.

    """

    uri: str
    run_id: str
    facts: SweepFacts
    view: SweepView
    description: str
    status: Status

    def write(self, folder: Path) -> None:
        """Write the note beside a sweep's files."""
        write_text(folder / TRACKED, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "SweepNote | None":
        """Return the note beside a sweep's files; None where there is none, or something else."""
        saved = _saved(folder)
        if saved is None:
            return None
        try:
            facts, view = saved.part("facts"), saved.part("view")
            return cls(
                saved.text("uri"),
                saved.text("run_id"),
                SweepFacts(facts.text("group"), facts.text("name"), facts.text("description"), _texts(facts, "tags")),
                SweepView(
                    view.texts("parameters"), view.text("metric"), view.texts("metrics"), _numbers(view, "numbers")
                ),
                saved.text("description"),
                _status(saved),
            )
        except DamagedError:
            return None


def later(output_dir: Path, uri: str) -> str:
    """Return the command that delivers what is noted in a folder."""
    from nnexp.tracking.mlflow import default_uri

    elsewhere = [] if uri == default_uri(output_dir) else ["--tracking-uri", uri]
    return command("deliver", shown(output_dir), *elsewhere)


def tracked_as(folder: Path, uri: str, *, complete: bool = True) -> str | None:
    """Return what a store calls a run, if it was recorded there in full, or at all."""
    note = RunNote.read(folder)
    return note.run_id if note is not None and note.uri == uri and (note.left is None or not complete) else None


def _plain(run: FinishedRun) -> dict[str, object]:
    """Return what is known of a run beside its files."""
    return {
        "facts": asdict(run.facts),
        "metrics": dict(run.metrics),
        "tags": dict(run.tags),
        "description": run.description,
        "seconds": run.seconds,
        "status": run.status,
    }


def _finished_run(saved: Saved, folder: Path) -> FinishedRun:
    facts = saved.part("facts")
    dataset = facts.part("dataset")
    try:
        history = read_history(folder) if (folder / HISTORY).is_file() else NOTHING
    except (OSError, ValueError) as error:
        raise DamagedError(str(error)) from error
    return FinishedRun(
        RunFacts(
            facts.text("group"),
            facts.text("name"),
            facts.mapping("parameters"),
            _texts(facts, "tags"),
            DatasetFacts(
                dataset.text("name"), dataset.text("digest"), dataset.text("source"), dataset.mapping("schema")
            ),
        ),
        history,
        _numbers(saved, "metrics"),
        _texts(saved, "tags"),
        saved.text("description"),
        files_to_record(folder),
        saved.number("seconds"),
        _status(saved),
    )


def _saved(folder: Path) -> Saved | None:
    """Return a note, which anybody may have written."""
    try:
        return Saved(json.loads(read_text(folder / TRACKED, LARGEST)), TRACKED)
    except (OSError, ValueError, RecursionError, DamagedError):
        return None


def _text_or_none(saved: Saved, name: str) -> str | None:
    return saved.text(name) if saved.has(name) else None


def _texts(saved: Saved, name: str) -> Mapping[str, str]:
    return {key: str(value) for key, value in saved.mapping(name).items()}


def _numbers(saved: Saved, name: str) -> Mapping[str, float]:
    part = saved.part(name)
    return {key: part.number(key) for key in saved.mapping(name)}


def _status(saved: Saved) -> Status:
    status = saved.text("status")
    if status not in STATUSES:
        raise DamagedError(f"{status} is not {' or '.join(STATUSES)}")
    return status
