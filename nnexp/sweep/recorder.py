"""Recording the runs of a sweep with its tracker, while others train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

import numpy as np

from nnexp import terminal
from nnexp.run_folder import Note, RunSummary, tracked_as
from nnexp.runs import Ready, best_metrics, describe, outcome_tags
from nnexp.sweep.results import SweepRun
from nnexp.sweep.search import Job
from nnexp.tracking.tracker import FinishedRun, TrackedSweep
from nnexp.training.history import History

ERROR_TAG = "error"
SHOW_SECONDS = 0.2
"""How often it is shown how much is left to record."""
NOTHING = History(np.empty(0, np.intp), {})
"""The history of a run that failed."""


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
        return SweepRun(tuple(job), self.run.name, self.summary, self.curves, self.error, reused, self.folder)


class Recorder(Thread):
    """A thread that opens a tracker and records runs one after another, for each call waits for a database.

    It never keeps the process from ending: what is not recorded then has its files, and is recorded when the command is
    given again.

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
        self._start_sweep, self._tags, self._known = start, tags, dict[str, str]()
        self._queue: SimpleQueue[Kept | None] = SimpleQueue()
        self._opened = Event()
        self._at_once = False
        self._failure: Exception | None = None
        self._errors: list[str] = []
        self.start()

    def run(self) -> None:
        """Record what is put into the queue, until nothing more comes."""
        try:
            tracked = self._start_sweep()
            self._known |= tracked.recorded()
            self.tracked = tracked
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for it
            self._failure = error
            return
        finally:
            self._opened.set()
        while (kept := self._queue.get()) is not None and not self._at_once:
            try:
                self._record(tracked, kept)
            except Exception as error:  # noqa: BLE001 - the others are recorded all the same
                self._errors.append(str(error))

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

    def close(self) -> list[str]:
        """Wait until all is recorded; return what went wrong.

        Raises
        ------
        UserError
            If the tracker could not be opened.

        """
        self._queue.put(None)
        with terminal.waiting("runs recorded", self._queue.qsize) as show:
            while self.is_alive():
                self.join(SHOW_SECONDS)
                show()
        if self._failure is not None:
            raise self._failure
        return self._errors

    def abandon(self, seconds: float) -> list[str]:
        """Wait so many seconds for the run that is being recorded, and leave the others; return what went wrong."""
        self._at_once = True
        self._queue.put(None)
        if self.tracked is not None:
            self.join(seconds)
        return self._errors

    def _record(self, tracked: TrackedSweep, kept: Kept) -> None:
        run, summary = kept.run, kept.summary
        if run.config_hash in self._known:
            if tracked_as(kept.folder, tracked.uri) is None:
                Note(tracked.uri, self._known[run.config_hash]).write(kept.folder)
            return
        earlier = tracked_as(kept.folder, tracked.uri)
        if earlier is not None and tracked.reuse(earlier):
            return
        curves, diverged_step = kept.curves or NOTHING, None if summary is None else summary.diverged_step
        recorded = tracked.record(
            FinishedRun(
                run.facts(self._tags),
                curves,
                {} if summary is None else best_metrics(summary),
                {ERROR_TAG: kept.error or ""} if summary is None else outcome_tags(summary),
                describe(run.command, curves, diverged_step, kept.folder),
                kept.folder,
                0.0 if summary is None else summary.seconds,
                "FINISHED" if summary is not None else "FAILED",
            )
        )
        if recorded is not None and summary is not None:
            Note(tracked.uri, recorded).write(kept.folder)
