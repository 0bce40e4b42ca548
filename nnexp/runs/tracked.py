"""What the stores of trackers have of a run or a sweep, noted beside its files in `tracked.json`.

A store inside the output folder is named by its path from there, so that an output folder that was moved or copied goes
on as it was.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nnexp.config.overrides import command
from nnexp.core.files import is_there, relative
from nnexp.core.json_files import read_json, write_json
from nnexp.storage.run_folder import MAX_FILE_BYTES, TRACKED
from nnexp.tracking.mlflow import default_uri
from nnexp.tracking.mlflow_store import SQLITE, database_file
from nnexp.tracking.tracker import FinishedRun, Status, SweepFacts, SweepView, Tracked

PARENTS = 4
"""How many folders above its own a run is at most in the output folder: outputs/sweeps/SWEEP/runs/RUN."""


@dataclass(frozen=True)
class InStore:
    """What a store has of a run.

    Attributes:
        run_id: The ID of the run there; None if it is not there yet.
        parent: The ID of the sweep that trained the run, or None.
        complete: Whether nothing is left to record there, or to close.
    """

    run_id: str | None
    parent: str | None = None
    complete: bool = False


@dataclass(frozen=True)
class _Notes:
    stores: Mapping[str, InStore]


@dataclass(frozen=True)
class OldNote:
    """The note of an earlier version on the one store of a run, or of a sweep, with what was left to record there."""

    uri: str
    run_id: str | None
    parent: str | None = None
    left: FinishedRun | None = None
    facts: SweepFacts | None = None
    description: str = ""
    status: Status = "KILLED"
    view: SweepView | None = None


def read_tracked(folder: Path) -> dict[str, InStore]:
    """Return what stores have of the run in a folder, by their addresses; nothing where the note is damaged."""
    notes = read_json(folder / TRACKED, _Notes, MAX_FILE_BYTES)
    if notes is not None:
        return {uri_of(name, folder): there for name, there in notes.stores.items()}
    old = read_old_note(folder)
    if old is None:
        return {}
    complete = old.left is None and old.facts is None
    return {_moved(old.uri, folder): InStore(old.run_id, old.parent, complete=complete)}


def read_old_note(folder: Path) -> OldNote | None:
    """Return the note that an earlier version left beside a run or a sweep."""
    return read_json(folder / TRACKED, OldNote, MAX_FILE_BYTES)


def write_tracked(folder: Path, uri: str, there: InStore) -> None:
    """Note what a store has of a run; what is noted of other stores stays."""
    _write(folder, {**read_tracked(folder), uri: there})


def _write(folder: Path, stores: Mapping[str, InStore]) -> None:
    write_json(folder / TRACKED, {"stores": {name_of(uri, folder): one for uri, one in stores.items()}})


def note(folder: Path, tracked: Tracked, *, complete: bool) -> None:
    """Note what the store of a tracked run or sweep has of it, if there is a store."""
    if tracked.run_id is not None:
        known = read_tracked(folder).get(tracked.uri, InStore(None))
        write_tracked(folder, tracked.uri, replace(known, run_id=tracked.run_id, complete=complete))


def note_beginning(folder: Path, uri: str, run_id: str | None = None) -> None:
    """Note, before a run begins or goes on, that no store has all of it, also not the one at `uri`, if there is one."""
    stores = {**({uri: InStore(run_id)} if uri else {}), **read_tracked(folder)}
    if stores:
        _write(folder, {name: replace(there, complete=False) for name, there in stores.items()})


def name_of(uri: str, folder: Path) -> str:
    """Return the name of a store in a folder's note: a database in a folder above is named by its relative path."""
    file = database_file(uri)
    if file is not None and file.parent in [*folder.absolute().parents][:PARENTS]:
        return Path(os.path.relpath(file, folder)).as_posix()
    return uri


def uri_of(name: str, folder: Path) -> str:
    """Return the address of a store, given its name in a folder's note."""
    return name if ":" in name else f"{SQLITE}{os.path.normpath(folder.absolute() / name)}"


def _moved(uri: str, folder: Path) -> str:
    """Return the address of the store of an old note, of which a database may have been moved with the folder."""
    file = database_file(uri)
    if file is not None and not is_there(file):
        for parent in [*folder.absolute().parents][:PARENTS]:
            if is_there(parent / file.name):
                return f"{SQLITE}{parent / file.name}"
    return uri


def tracked_as(folder: Path, uri: str, *, complete: bool = True) -> str | None:
    """Return the ID of a run in a store, or None; with `complete`, only if it is fully recorded there."""
    there = read_tracked(folder).get(uri)
    return there.run_id if there is not None and (there.complete or not complete) else None


def deliver_command(output_dir: Path, uri: str) -> str:
    """Return the command that delivers everything noted in an output folder."""
    elsewhere = [] if uri == default_uri(output_dir) else ["--tracking-uri", uri]
    return command("deliver", relative(output_dir), *elsewhere)
