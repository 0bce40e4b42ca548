"""Records runs and sweeps that a store could not record while they were trained: `nnexp deliver OUTPUT_DIR`.

Nothing that the store has already is recorded twice.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from nnexp.analysis.report import report_files, write_report
from nnexp.commands.arguments import parser
from nnexp.core.errors import DamagedError, TrackingError, UserError, warn
from nnexp.core.exits import ExitStatus
from nnexp.core.files import absolute, is_there, relative, remove_temporaries
from nnexp.core.locks import held, lock_of
from nnexp.report import terminal
from nnexp.runs.record import RECORD, finished_run, history_of
from nnexp.runs.tracked import InStore, read_old_note, read_tracked, write_tracked
from nnexp.storage.run_folder import TRACKED, files_to_record
from nnexp.sweeps.conclusion import conclude
from nnexp.sweeps.reuse import RUNS, SWEEPS
from nnexp.sweeps.sweep_folder import STATE, SweepRecord, results_in
from nnexp.tracking.mlflow import default_uri, existing_tracker
from nnexp.tracking.mlflow_store import absolute_uri
from nnexp.tracking.tracker import FinishedRun, Tracker


def main(words: Sequence[str]) -> None:
    """Deliver everything that is left; exit status 1 if something could not be delivered."""
    arguments = parser(
        "deliver", "Record in MLflow what could not be recorded while runs and sweeps were trained.", output_dir=False
    )
    arguments.add_argument("output_dir", metavar="OUTPUT_DIR", help="where runs were written")
    arguments.add_argument("--tracking-uri", metavar="URI", help="where they were tracked, if not in mlflow.db there")
    chosen = arguments.parse_args(words)
    output_dir = absolute(chosen.output_dir)
    named = (chosen.tracking_uri, os.environ.get("MLFLOW_TRACKING_URI"))
    if not deliver(output_dir, [default_uri(output_dir), *(absolute_uri(uri) for uri in named if uri)]):
        sys.exit(ExitStatus.UNSUCCESSFUL)


@dataclass
class Stores:
    """The stores of runs, each opened once; the error of one that cannot be opened is kept.

    Attributes:
        allowed: The stores that the user has named; a note beside a run may be from a stranger.
    """

    allowed: Sequence[str]
    _found: dict[str, Tracker | UserError] = field(default_factory=dict)

    def at(self, uri: str) -> Tracker:
        """Return the tracker of a store.

        Raises UserError if it does not exist, or the user has not named it.
        """
        uri = absolute_uri(uri)
        if uri not in self.allowed:
            raise UserError(f"tracking.uri={uri}: must be named, as in --tracking-uri {uri}")
        if uri not in self._found:
            try:
                self._found[uri] = existing_tracker(uri)
            except UserError as error:
                self._found[uri] = error
        found = self._found[uri]
        if isinstance(found, UserError):
            raise found
        return found


def deliver(output_dir: Path, uris: Sequence[str]) -> bool:
    """Deliver everything that is left in an output folder, print it, and return whether nothing is left.

    Raises UserError if there is no such folder.

    Args:
        output_dir: The output folder.
        uris: The stores that may be written to.
    """
    if not (is_there(output_dir) and output_dir.is_dir()):
        raise UserError(f"output_dir={output_dir}: must be a folder in which runs are")
    stores, delivered, left = Stores(uris), 0, 0
    for folder, hand_over in _left_in(output_dir, stores):
        try:
            with held(lock_of(folder)) as ours:
                if not ours:  # somebody is at work there
                    continue
                remove_temporaries(folder)
                hand_over()
        except (DamagedError, TrackingError, UserError, OSError) as error:
            left += 1
            warn(f"not delivered: {relative(folder)} ({error})")
        else:
            delivered += 1
            terminal.show_lines([f"Delivered {relative(folder)}"])
    if not delivered and not left:
        terminal.show_lines([f"Nothing is left to deliver in {relative(output_dir)}."])
    return left == 0


def _left_in(output_dir: Path, stores: Stores) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Yield the folders with something left to deliver, each with a function that delivers it."""
    sweeps = sorted(path.parent for path in output_dir.glob(f"{SWEEPS}/*/{TRACKED}"))
    runs = sorted(path.parent for path in output_dir.glob(f"*/*/{TRACKED}") if path.parent.parent.name != SWEEPS)
    ways = [*((folder, _deliver_sweep) for folder in sweeps), *((folder, _deliver_run) for folder in runs)]
    for folder, hand_over in ways:
        for uri, there in read_tracked(folder).items():
            if not there.complete:
                yield folder, partial(hand_over, folder, uri, there, stores)


def _deliver_run(folder: Path, uri: str, there: InStore, stores: Stores) -> None:
    """Record the rest of a run that was trained alone."""
    tracker, left = stores.at(uri), _recorded(folder)
    run = tracker.start(left.facts, left.history.times.tolist(), there.run_id)
    for moment, metrics in left.history.evaluations():
        run.log(moment, metrics)
    if left.status == "FINISHED":
        run.finish(left.metrics, left.tags, left.description, left.files)
    else:
        run.end(left.status, left.files)
    write_tracked(folder, uri, InStore(run.run_id, there.parent, complete=True))


def _recorded(folder: Path, wanted: str | None = None) -> FinishedRun:
    """Return a run, with the reading that is wanted; of one of an earlier version, a note may have what is left."""
    note = None if is_there(folder / RECORD) else read_old_note(folder)
    if note is None or note.left is None:
        return finished_run(folder, wanted)
    return replace(note.left, history=history_of(folder), files=files_to_record(folder))


def _deliver_sweep(folder: Path, uri: str, there: InStore, stores: Stores) -> None:
    """Record the rest of a sweep and its runs."""
    record, old = SweepRecord.read(folder), read_old_note(folder)
    if record is None:
        raise DamagedError(f"{folder} has no {STATE}, or a damaged one")
    facts = record.facts if old is None or old.facts is None else old.facts
    tracked = stores.at(uri).start_sweep(facts, there.run_id)
    known = tracked.recorded()
    for path in sorted(folder.glob(f"{RUNS}/*")):
        of_run = read_tracked(path).get(uri)
        known_here = is_there(path / RECORD) or of_run is not None
        if known_here and (of_run is None or not of_run.complete):
            left = _recorded(path, record.metric)
            if left.status != "KILLED":  # else it was being written when the sweep ended
                run_id = known.get(left.facts.tags.get("config_hash", "")) or tracked.record(left)
                write_tracked(path, uri, InStore(run_id, tracked.run_id, complete=True))
    if old is not None:
        tracked.finish(old.view, old.description, report_files(folder), old.status)
    else:
        results = results_in(folder, record)
        if results.runs and not report_files(folder):
            write_report(results, folder)
        conclude(tracked, results, report_files(folder), "KILLED" if record.status == "RUNNING" else record.status)
    write_tracked(folder, uri, InStore(tracked.run_id, complete=True))
