"""Records runs and sweeps that a store could not record while they were trained: `nnexp deliver OUTPUT_DIR`.

Nothing that the store has already is recorded twice.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from nnexp.analysis.report import report_files, write_report
from nnexp.commands.arguments import parser
from nnexp.core.errors import DamagedError, TrackingError, UserError, warn
from nnexp.core.exits import ExitStatus
from nnexp.core.files import absolute, is_there, relative, remove_temporaries
from nnexp.core.locks import held, lock_of
from nnexp.report import terminal
from nnexp.runs.deliver import deliver_run
from nnexp.runs.find import RUNS, SWEEPS
from nnexp.runs.record import RECORD
from nnexp.runs.tracked import InStore, read_old_note, read_tracked, write_tracked
from nnexp.storage.run_folder import TRACKED
from nnexp.sweeps.conclusion import conclude
from nnexp.sweeps.recording import Recorder
from nnexp.sweeps.sweep_folder import STATE, SweepRecord, ended_runs, results_in
from nnexp.tracking.mlflow import default_tracker, default_uri, existing_tracker
from nnexp.tracking.mlflow_store import absolute_uri
from nnexp.tracking.tracker import Tracker


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
        output_dir: The output folder, whose own store is made if it is not there.
        allowed: The stores that the user has named; a note beside a run may be from a stranger.
    """

    output_dir: Path
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
                own = uri == default_uri(self.output_dir)
                self._found[uri] = default_tracker(self.output_dir) if own else existing_tracker(uri)
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
    stores, delivered, left, busy = Stores(output_dir, uris), 0, 0, 0
    for folder, hand_over in _left_in(output_dir, stores):
        try:
            with held(lock_of(folder)) as ours:
                if not ours:
                    busy += 1
                    terminal.show_lines([f"In use, and left alone: {relative(folder)}"])
                    continue
                remove_temporaries(folder)
                hand_over()
        except (DamagedError, TrackingError, UserError, OSError) as error:
            left += 1
            warn(f"not delivered: {relative(folder)} ({error})")
        else:
            delivered += 1
            terminal.show_lines([f"Delivered {relative(folder)}"])
    if not (delivered or left or busy):
        terminal.show_lines([f"Nothing is left to deliver in {relative(output_dir)}."])
    return left == 0


def _left_in(output_dir: Path, stores: Stores) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Yield the folders with something left to deliver, each with a function that delivers it."""
    sweeps = sorted(path.parent for path in output_dir.glob(f"{SWEEPS}/*/{TRACKED}"))
    runs = sorted(path.parent for path in output_dir.glob(f"*/*/{TRACKED}") if path.parent.parent.name != SWEEPS)
    for folder in (*sweeps, *runs):
        for uri, there in read_tracked(folder).items():
            if not there.complete:
                hand_over = _deliver_sweep if folder.parent.name == SWEEPS else _deliver_run
                yield folder, partial(hand_over, folder, uri, stores)


def _deliver_run(folder: Path, uri: str, stores: Stores) -> None:
    deliver_run(folder, stores.at(uri), uri)


def _deliver_sweep(folder: Path, uri: str, stores: Stores) -> None:
    """Record the rest of a sweep and its runs; one that is damaged keeps no other from it.

    Raises DamagedError if not all of it could be recorded.
    """
    record, old, there = SweepRecord.read(folder), read_old_note(folder), read_tracked(folder)[uri]
    if record is None:
        raise DamagedError(f"{folder} has no {STATE}, or a damaged one")
    facts = record.facts if old is None or old.facts is None else old.facts
    tracker = stores.at(uri)
    tracked = tracker.start_sweep(facts, there.run_id)
    recorder = Recorder(tracker, tracked, folder / RUNS, record.metric)
    recorder.look_up()
    results = results_in(folder, record)
    fresh = {run.config_hash for run in results.fresh}
    left = 0
    for config_hash, path in ended_runs(folder).items():
        if old is not None and not is_there(path / RECORD) and not read_tracked(path):
            continue  # of an earlier version, which was not to record it
        error = recorder.record(path, config_hash, fresh=config_hash in fresh)
        if error is not None:
            left += 1
            warn(f"not delivered: {relative(path)} ({error})")
    if old is not None:
        tracked.finish(old.view, old.description, report_files(folder), old.status)
    else:
        if results.runs and not report_files(folder):
            write_report(results, folder)
        conclude(tracked, results, report_files(folder), "KILLED" if record.status == "RUNNING" else record.status)
    write_tracked(folder, uri, InStore(tracked.run_id, complete=not left))
    if left:
        raise DamagedError(f"{left} of its runs could not be recorded")
