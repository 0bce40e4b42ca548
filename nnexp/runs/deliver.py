"""Records what a store does not have of a run that was trained alone, for `nnexp deliver` and sweeps that reuse it."""

from dataclasses import replace
from pathlib import Path

from nnexp.core.files import is_there
from nnexp.runs.record import RECORD, finished_run, history_of
from nnexp.runs.tracked import InStore, read_old_note, read_tracked, write_tracked
from nnexp.runs.write import serve
from nnexp.storage.run_folder import files_to_record
from nnexp.storage.served_model import SERVED
from nnexp.tracking.tracker import FinishedRun, Tracker


def deliver_run(folder: Path, tracker: Tracker, uri: str) -> InStore:
    """Record the rest of a run that was trained alone, and return what the store has of it then.

    Whoever calls this has the lock of the folder.

    Raises TrackingError if the store fails, and DamagedError if a file of the run is damaged.

    Args:
        folder: The folder of the run.
        tracker: The tracker of the store.
        uri: The address of the store, as it is in the run's note.
    """
    there = read_tracked(folder).get(uri, InStore(None))
    if there.complete:
        return there
    if not (folder / SERVED).exists():
        serve(folder)
    left = run_to_record(folder)
    run = tracker.start(left.facts, left.history.times.tolist(), there.run_id)
    for moment, metrics in left.history.evaluations():
        run.log(moment, metrics)
    run.finish(left)
    done = InStore(run.run_id, there.parent, complete=True)
    write_tracked(folder, uri, done)
    return done


def run_to_record(folder: Path, wanted: str | None = None) -> FinishedRun:
    """Return the run in a folder, with the reading that is wanted; of an earlier version, the note has what is left.

    Raises DamagedError if there is no run, or its files are damaged.
    """
    note = None if is_there(folder / RECORD) else read_old_note(folder)
    if note is None or note.left is None:
        return finished_run(folder, wanted)
    return replace(note.left, history=history_of(folder), files=files_to_record(folder))
