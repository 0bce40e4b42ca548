"""Recording the runs of a sweep with its tracker, while others train."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from nnexp.analysis.results import SweepRun
from nnexp.core.errors import DamagedError, TrackingError, warn
from nnexp.report import terminal
from nnexp.runs.record import finished_run
from nnexp.runs.tracked import InStore, tracked_as, write_tracked
from nnexp.tracking.tracker import TrackedSweep

SHOW_SECONDS = 0.2
"""How often the number of runs that are left to record is shown."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0
"""How long a store that does not answer is left alone, the first time and at most."""


class RecordingThread(Thread):
    """A thread that opens a tracker and records runs one after another, for each call waits for a database.

    When the store fails, the thread waits before it tries again, longer each time. It never keeps the process from
    ending: a run that is not recorded then has its files, and is recorded when the command is given again.

    Args:
        start: Opens the tracker, which takes seconds, and begins the sweep.
        wanted: The path of the reading that ranks the runs, if it is asked for.
    """

    def __init__(self, start: Callable[[], TrackedSweep], wanted: str | None = None) -> None:
        super().__init__(daemon=True)
        self.tracked: TrackedSweep | None = None
        self.refusal: TrackingError | None = None
        self.errors: list[str] = []
        self._start_sweep, self._wanted, self._known = start, wanted, dict[str, str]()
        self._queue: SimpleQueue[SweepRun | None] = SimpleQueue()
        self._left: deque[SweepRun] = deque()
        self._abandoned = False
        self._failure: Exception | None = None
        self._known_is_complete = False
        self._wait, self._next = FIRST_WAIT, 0.0
        self.start()

    def run(self) -> None:
        """Record the runs of the queue, until `close` or `abandon` ends it."""
        try:
            tracked = self.tracked = self._start_sweep()
            while (run := self._queue.get()) is not None:
                self._left.append(run)
                if time.monotonic() > self._next:
                    self._record_left(tracked)
            self._record_left(tracked)
        except Exception as error:  # noqa: BLE001 - `put` and `close` raise it
            self._failure = error

    def put(self, run: SweepRun) -> None:
        """Put a run into the queue; one that is recorded already is not recorded again.

        Raises what ended the thread, such as a UserError if the tracker could not be opened.
        """
        if self._failure is not None:
            raise self._failure
        self._queue.put(run)

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

    @property
    def left(self) -> int:
        """Return how many trained runs are not recorded."""
        return len(self.errors) + len(self._left) + self._queue.qsize()

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
                except (TrackingError, DamagedError, OSError) as error:
                    self._look_up(tracked)  # if the store answers, it was this run's fault
                    self.errors.append(str(error))
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

    def _record(self, tracked: TrackedSweep, run: SweepRun) -> None:
        if run.folder is None:
            return
        earlier = tracked_as(run.folder, tracked.uri)
        if run.config_hash in self._known:
            if earlier is None:
                _note(tracked, self._known[run.config_hash], run.folder)
        elif earlier is None or not tracked.reuse(earlier):
            run_id = tracked.record(finished_run(run.folder, self._wanted))
            if run_id is not None and run.summary is not None:
                _note(tracked, run_id, run.folder)


def _note(tracked: TrackedSweep, run_id: str, folder: Path) -> None:
    """Note in a run's folder where it is recorded."""
    write_tracked(folder, tracked.uri, InStore(run_id, tracked.run_id, complete=True))
