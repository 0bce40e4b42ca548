"""Recording the runs of a sweep with its tracker, while others train."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from nnexp.analysis.results import SweepRun
from nnexp.config.overrides import Job
from nnexp.core.errors import TrackingError, warn
from nnexp.report import terminal
from nnexp.runs.prepare import Ready
from nnexp.runs.tracking_note import RunNote, tracked_as
from nnexp.runs.write import best_metrics, describe, outcome_tags
from nnexp.storage.run_folder import RunSummary, files_to_record
from nnexp.tracking.tracker import FinishedRun, TrackedSweep
from nnexp.training.history import NOTHING, History

ERROR_TAG = "error"
SHOW_SECONDS = 0.2
"""How often the number of runs that are left to record is shown."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0
"""How long a store that does not answer is left alone, the first time and at most."""


@dataclass(frozen=True, kw_only=True)
class WrittenRun:
    """A run whose files are written.

    Attributes:
        ready: Its config and data.
        folder: Where its files are.
        summary: Its results; None if it failed.
        curves: Its history, thinned; None if it failed.
        error: Why it failed, or None.
    """

    ready: Ready
    folder: Path
    summary: RunSummary | None = None
    curves: History | None = None
    error: str | None = None

    def swept(self, job: Job, *, reused: bool) -> SweepRun:
        """Return the run as the results of the sweep have it, for one of the jobs that mean it."""
        return SweepRun(
            job=tuple(job),
            name=self.ready.name,
            summary=self.summary,
            curves=self.curves,
            error=self.error,
            reused=reused,
            folder=self.folder,
        )


class RecordingThread(Thread):
    """A thread that opens a tracker and records runs one after another, for each call waits for a database.

    When the store fails, the thread waits before it tries again, longer each time. It never keeps the process from
    ending: a run that is not recorded then has its files, and is recorded when the command is given again.

    Args:
        start: Opens the tracker, which takes seconds, and begins the sweep.
        tags: The versions and the commit, for every run.
    """

    def __init__(self, start: Callable[[], TrackedSweep], tags: Mapping[str, str]) -> None:
        super().__init__(daemon=True)
        self.tracked: TrackedSweep | None = None
        self.refusal: TrackingError | None = None
        self.errors: list[str] = []
        self._start_sweep, self._tags, self._known = start, tags, dict[str, str]()
        self._queue: SimpleQueue[WrittenRun | None] = SimpleQueue()
        self._left: deque[WrittenRun] = deque()
        self._failed: list[WrittenRun] = []
        self._abandoned = False
        self._failure: Exception | None = None
        self._known_is_complete = False
        self._wait, self._next = FIRST_WAIT, 0.0
        self.start()

    def run(self) -> None:
        """Record the runs of the queue, until `close` or `abandon` ends it."""
        try:
            tracked = self.tracked = self._start_sweep()
            while (written := self._queue.get()) is not None:
                self._left.append(written)
                if time.monotonic() > self._next:
                    self._record_left(tracked)
            self._record_left(tracked)
        except Exception as error:  # noqa: BLE001 - `put` and `close` raise it
            self._failure = error

    def put(self, written: WrittenRun) -> None:
        """Put a run into the queue; one that is recorded already is not recorded again.

        Raises what ended the thread, such as a UserError if the tracker could not be opened.
        """
        if self._failure is not None:
            raise self._failure
        self._queue.put(written)

    def close(self) -> None:
        """Wait until all runs are recorded, as far as they can be.

        Raises what ended the thread, such as a UserError if the tracker could not be opened.
        """
        self._queue.put(None)
        with terminal.waiting("runs recorded", lambda: self._queue.qsize() + len(self._left)) as show:
            while self.is_alive():
                self.join(SHOW_SECONDS)
                show()
        if self._failure is not None:
            raise self._failure

    def abandon(self, seconds: float) -> None:
        """Wait at most some seconds for the run that is being recorded, and leave the others."""
        self._abandoned = True
        self._queue.put(None)
        if self.tracked is not None:
            self.join(seconds)

    def left(self) -> dict[Path, FinishedRun]:
        """Return the runs that are trained and not recorded, by their folders."""
        waiting = [*self._failed, *self._left]
        while not self._queue.empty():
            written = self._queue.get()
            waiting += [] if written is None else [written]
        return {written.folder: self._finished(written) for written in waiting if written.folder.is_dir()}

    def _record_left(self, tracked: TrackedSweep) -> None:
        """Record the waiting runs, until the store fails."""
        if self._abandoned:
            return
        try:
            if not self._known_is_complete:
                self._look_up(tracked)
            while self._left and not self._abandoned:
                try:
                    self._record(tracked, self._left[0])
                except (TrackingError, OSError) as error:
                    self._look_up(tracked)  # if the store answers, it was this run's fault
                    self.errors.append(str(error))
                    self._failed.append(self._left[0])
                self._left.popleft()
        except TrackingError as error:
            if self.refusal is None:
                warn(f"MLflow does not take runs for now; the training goes on ({error})")
            self.refusal, self._known_is_complete = error, False
            self._next, self._wait = time.monotonic() + self._wait, min(2 * self._wait, LONGEST_WAIT)

    def _look_up(self, tracked: TrackedSweep) -> None:
        """Ask the store which runs it has, so that none is recorded twice; it removes those that were not ended."""
        self._known |= tracked.recorded()
        self.refusal, self._known_is_complete, self._wait = None, True, FIRST_WAIT

    def _record(self, tracked: TrackedSweep, written: WrittenRun) -> None:
        config_hash, earlier = written.ready.config_hash, tracked_as(written.folder, tracked.uri)
        if config_hash in self._known:
            if earlier is None:
                _note(tracked, self._known[config_hash], written.folder)
        elif earlier is None or not tracked.reuse(earlier):
            run_id = tracked.record(self._finished(written))
            if run_id is not None and written.summary is not None:
                _note(tracked, run_id, written.folder)

    def _finished(self, written: WrittenRun) -> FinishedRun:
        ready, summary, curves = written.ready, written.summary, written.curves or NOTHING
        diverged_step = None if summary is None else summary.diverged_step
        return FinishedRun(
            facts=ready.facts(self._tags),
            history=curves,
            metrics={} if summary is None else best_metrics(summary),
            tags={ERROR_TAG: written.error or ""} if summary is None else outcome_tags(summary),
            description=describe(ready.command, curves, diverged_step, written.folder),
            files=files_to_record(written.folder),
            seconds=0.0 if summary is None else summary.seconds,
            status="FAILED" if summary is None else "FINISHED",
        )


def _note(tracked: TrackedSweep, run_id: str, folder: Path) -> None:
    """Note in a run's folder where it is recorded; on a full disk the store alone knows it."""
    earlier = RunNote.read(folder)
    if earlier is not None and earlier.left is not None and earlier.parent != tracked.run_id:
        return  # a note of what another store or sweep still has to get
    with suppress(OSError):
        RunNote(tracked.uri, run_id, tracked.run_id).write(folder)
