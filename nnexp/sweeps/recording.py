"""Recording the runs of a sweep with its tracker, while others train."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

from nnexp.analysis.results import SweepRun
from nnexp.config.overrides import Job
from nnexp.core.errors import TrackingError, warn
from nnexp.report import terminal
from nnexp.runs.prepare import Ready
from nnexp.runs.tracking_note import NOTHING, RunNote, tracked_as
from nnexp.runs.write import best_metrics, describe, outcome_tags
from nnexp.storage.run_folder import RunSummary, files_to_record
from nnexp.tracking.tracker import FinishedRun, TrackedSweep
from nnexp.training.history import History

ERROR_TAG = "error"
SHOW_SECONDS = 0.2
"""How often it is shown how much is left to record."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0
"""How long a store that does not answer is left alone, the first time and at most."""


@dataclass(frozen=True)
class Kept:
    """A run whose files are written.

    Attributes
    ----------
    run
        What was asked for.
    folder
        Where its files are.
    summary
        What came out; None if it failed.
    curves
        Its history, thinned; None if it failed.
    error
        Why it failed, or None.

    """

    run: Ready
    folder: Path
    summary: RunSummary | None
    curves: History | None
    error: str | None = None

    def swept(self, job: Job, *, reused: bool) -> SweepRun:
        """Return what the sweep keeps of the run, for a job that asks for it."""
        return SweepRun(
            job=tuple(job),
            name=self.run.name,
            summary=self.summary,
            curves=self.curves,
            error=self.error,
            reused=reused,
            folder=self.folder,
        )


class Recorder(Thread):
    """A thread that opens a tracker and records runs one after another, for each call waits for a database.

    A store that fails is left alone for a while, longer each time, and the runs wait. It never keeps the process from
    ending: what is not recorded then has its files, and is recorded when the command is given again.

    Arguments
    ---------
    start
        Opens the tracker, which takes seconds, and begins the sweep.
    tags
        Where the runs come from.

    """

    def __init__(self, start: Callable[[], TrackedSweep], tags: Mapping[str, str]) -> None:
        super().__init__(daemon=True)
        self.tracked: TrackedSweep | None = None
        self.refusal: TrackingError | None = None
        self.errors: list[str] = []
        self._start_sweep, self._tags, self._known = start, tags, dict[str, str]()
        self._queue: SimpleQueue[Kept | None] = SimpleQueue()
        self._left: deque[Kept] = deque()
        self._failed: list[Kept] = []
        self._opened = Event()
        self._at_once = False
        self._failure: Exception | None = None
        self._sure = False
        self._wait, self._next = FIRST_WAIT, 0.0
        self.start()

    def run(self) -> None:
        """Record what is put into the queue, until nothing more comes."""
        try:
            tracked = self.tracked = self._start_sweep()
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for it
            self._failure = error
            return
        finally:
            self._opened.set()
        while (kept := self._queue.get()) is not None:
            self._left.append(kept)
            if time.monotonic() > self._next:
                self._record_left(tracked)
        self._record_left(tracked)

    def begun(self) -> TrackedSweep:
        """Return the sweep in the tracker, once it is open.

        Raises
        ------
        UserError
            If the tracker could not be opened.

        """
        self._opened.wait()
        if self._failure is not None:
            raise self._failure
        assert self.tracked is not None  # noqa: S101 - it is open
        return self.tracked

    def put(self, kept: Kept) -> None:
        """Record a run, soon, unless it is recorded already.

        Raises
        ------
        UserError
            If the tracker could not be opened.

        """
        if self._failure is not None:
            raise self._failure
        self._queue.put(kept)

    def close(self) -> None:
        """Wait until all is recorded, as far as it can be.

        Raises
        ------
        UserError
            If the tracker could not be opened.

        """
        self._queue.put(None)
        with terminal.waiting("runs recorded", lambda: self._queue.qsize() + len(self._left)) as show:
            while self.is_alive():
                self.join(SHOW_SECONDS)
                show()
        if self._failure is not None:
            raise self._failure

    def abandon(self, seconds: float) -> None:
        """Wait so many seconds for the run that is being recorded, and leave the others."""
        self._at_once = True
        self._queue.put(None)
        if self.tracked is not None:
            self.join(seconds)

    def left(self) -> dict[Path, FinishedRun]:
        """Return the runs that are trained and not recorded, by their folders."""
        waiting = [*self._failed, *self._left]
        while not self._queue.empty():
            waiting += [kept for kept in (self._queue.get(),) if kept is not None]
        return {kept.folder: self._finished(kept) for kept in waiting if kept.folder.is_dir()}

    def _record_left(self, tracked: TrackedSweep) -> None:
        """Record the runs that wait, until the store fails."""
        if self._at_once:
            return
        try:
            if not self._sure:
                self._look(tracked)
            while self._left and not self._at_once:
                try:
                    self._record(tracked, self._left[0])
                except (TrackingError, OSError) as error:
                    self._look(tracked)  # where the store answers, the others may have better luck
                    self.errors.append(str(error))
                    self._failed.append(self._left[0])
                self._left.popleft()
        except TrackingError as error:
            if self.refusal is None:
                warn(f"MLflow does not take runs for now; the training goes on ({error})")
            self.refusal, self._sure = error, False
            self._next, self._wait = time.monotonic() + self._wait, min(2 * self._wait, LONGEST_WAIT)

    def _look(self, tracked: TrackedSweep) -> None:
        """See what the store has, and remove what was begun and not ended, so that nothing is recorded twice."""
        self._known |= tracked.recorded()
        self.refusal, self._sure, self._wait = None, True, FIRST_WAIT

    def _record(self, tracked: TrackedSweep, kept: Kept) -> None:
        config_hash = kept.run.config_hash
        if config_hash in self._known:
            if tracked_as(kept.folder, tracked.uri) is None:
                _note(tracked, self._known[config_hash], kept.folder)
            return
        earlier = tracked_as(kept.folder, tracked.uri)
        if earlier is not None and tracked.reuse(earlier):
            return
        recorded = tracked.record(self._finished(kept))
        if recorded is not None and kept.summary is not None:
            _note(tracked, recorded, kept.folder)

    def _finished(self, kept: Kept) -> FinishedRun:
        run, summary = kept.run, kept.summary
        curves, diverged_step = kept.curves or NOTHING, None if summary is None else summary.diverged_step
        return FinishedRun(
            run.facts(self._tags),
            curves,
            {} if summary is None else best_metrics(summary),
            {ERROR_TAG: kept.error or ""} if summary is None else outcome_tags(summary),
            describe(run.command, curves, diverged_step, kept.folder),
            files_to_record(kept.folder),
            0.0 if summary is None else summary.seconds,
            "FINISHED" if summary is not None else "FAILED",
        )


def _note(tracked: TrackedSweep, run_id: str, folder: Path) -> None:
    """Note where a run is recorded, if there is room on the disk; the store itself knows, too."""
    earlier = RunNote.read(folder)
    if earlier is not None and earlier.left is not None and earlier.parent != tracked.run_id:
        return  # it is still to be delivered as what it was before, too
    with suppress(OSError):
        RunNote(tracked.uri, run_id, tracked.run_id).write(folder)
