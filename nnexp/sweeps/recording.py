"""Recording the runs of a sweep with its tracker, while others train."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from nnexp.analysis.results import SweepRun
from nnexp.core.errors import DamagedError, TrackingError, warn
from nnexp.core.locks import held, lock_of
from nnexp.report import terminal
from nnexp.runs.deliver import deliver_run, run_to_record
from nnexp.runs.tracked import InStore, read_tracked, tracked_as, write_tracked
from nnexp.tracking.tracker import IDENTIFIER, Child, TrackedSweep, Tracker

SHOW_SECONDS = 0.2
"""How often the number of runs that are left to record is shown."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0
"""How long a store that does not answer is left alone, the first time and at most."""
SECONDS_FOR_OTHERS = 10.0
"""How long another process may have a run that it records, too."""


class Recorder:
    """Lets a store have the runs of a sweep: one for each job, the last that was trained, recorded once.

    Args:
        tracker: The tracker of the store.
        tracked: The sweep there.
        own: The folder with the runs that the sweep trained; it reuses all others.
        wanted: The path of the reading that ranks the runs, if it is asked for.
    """

    def __init__(self, tracker: Tracker, tracked: TrackedSweep, own: Path, wanted: str | None) -> None:
        self._tracker, self.tracked, self._own, self._wanted = tracker, tracked, own, wanted
        self._children: dict[str, Child] = {}

    def look_up(self) -> None:
        """Ask the store which runs it has, so that none is recorded twice.

        Raises TrackingError if it does not answer.
        """
        self._children = dict(self.tracked.children())

    def record(self, folder: Path, config_hash: str, *, fresh: bool = False) -> str | None:
        """Record the run in a folder, or reuse it; return why that cannot be done, if it is the fault of this run.

        Raises TrackingError if the store fails.
        """
        try:
            if self.tracked.uri:
                self._record(folder, config_hash, fresh=fresh)
        except (TrackingError, DamagedError, OSError) as error:
            self.look_up()  # if the store answers, it was this run's fault
            return str(error)
        return None

    def _record(self, folder: Path, config_hash: str, *, fresh: bool) -> None:
        uri, child = self.tracked.uri, self._children.get(config_hash)
        if child is not None and tracked_as(folder, uri) == child.run_id:
            return
        own = folder.parent == self._own
        with held(lock_of(folder), seconds=SECONDS_FOR_OTHERS) as ours:
            if not ours:
                raise TrackingError(f"another process is at work in {folder}")
            there = read_tracked(folder).get(uri)
            if there is not None and not there.complete and not own:
                there = deliver_run(folder, self._tracker, uri)
            run_id = there.run_id if there is not None and there.complete else None
            self._children.pop(config_hash, None)
            if run_id is None or not self.tracked.reuse(run_id, fresh=fresh):
                run_id = self._record_new(folder, config_hash, child, fresh=fresh)
        if child is not None and child.run_id != run_id:
            self.tracked.remove(child.run_id)

    def _record_new(self, folder: Path, config_hash: str, child: Child | None, *, fresh: bool) -> str | None:
        """Record the run in a folder, unless it is what the store has of the job; note it and return its ID."""
        run = run_to_record(folder, self._wanted)
        if run.status == "KILLED":
            raise DamagedError(f"{folder} has no result, or a damaged one")
        run_id = child.run_id if child is not None and child.is_of(run) else self.tracked.record(run, fresh=fresh)
        if run_id is not None:
            self._children[config_hash] = Child(run_id, run.facts.tags.get(IDENTIFIER, ""), run.status)
            write_tracked(folder, self.tracked.uri, InStore(run_id, self.tracked.run_id, complete=True))
        return run_id


class RecordingThread(Thread):
    """A thread that opens a tracker and records runs one after another, for each call waits for a database.

    When the store fails, the thread waits before it tries again, longer each time. It never keeps the process from
    ending: a run that is not recorded then has its files, and is recorded when the command is given again.

    Args:
        start: Opens the tracker, which takes seconds, and begins the sweep.
    """

    def __init__(self, start: Callable[[], Recorder]) -> None:
        super().__init__(daemon=True)
        self.refusal: TrackingError | None = None
        self.errors: list[str] = []
        self._start_sweep = start
        self._recorder: Recorder | None = None
        self._queue: SimpleQueue[SweepRun | None] = SimpleQueue()
        self._left: deque[SweepRun] = deque()
        self._put, self._done = 0, 0
        self._abandoned = False
        self._failure: Exception | None = None
        self._known_is_complete = False
        self._wait, self._next = FIRST_WAIT, 0.0
        self.start()

    def run(self) -> None:
        """Record the runs of the queue, until `close` or `abandon` ends it."""
        try:
            recorder = self._recorder = self._start_sweep()
            while (run := self._queue.get()) is not None:
                self._left.append(run)
                if time.monotonic() > self._next:
                    self._record_left(recorder)
            self._record_left(recorder)
        except Exception as error:  # noqa: BLE001 - `check` raises it
            self._failure = error

    def put(self, run: SweepRun) -> None:
        """Put a run into the queue; one that is recorded already is not recorded again.

        Raises what ended the thread, such as a UserError if the tracker could not be opened.
        """
        self.check()
        self._put += 1
        self._queue.put(run)

    def close(self) -> None:
        """Wait until all runs are recorded, as far as they can be."""
        self._queue.put(None)
        with terminal.waiting("runs recorded", lambda: self.left) as show:
            while self.is_alive():
                self.join(SHOW_SECONDS)
                show()

    def check(self) -> None:
        """Raise what ended the thread, such as a UserError if the tracker could not be opened."""
        if self._failure is not None:
            raise self._failure

    def abandon(self, seconds: float) -> None:
        """Wait at most some seconds for the run that is being recorded, and leave the others."""
        self._abandoned = True
        self._queue.put(None)
        if self.tracked is not None:
            self.join(seconds)

    @property
    def tracked(self) -> TrackedSweep | None:
        """Return the sweep in its tracker, None before it has begun there."""
        return None if self._recorder is None else self._recorder.tracked

    @property
    def left(self) -> int:
        """Return how many runs wait to be recorded."""
        return self._put - self._done

    def _record_left(self, recorder: Recorder) -> None:
        """Record the waiting runs, until the store fails."""
        if self._abandoned:
            return
        try:
            if not self._known_is_complete:
                recorder.look_up()
                self.refusal, self._known_is_complete, self._wait = None, True, FIRST_WAIT
            while self._left and not self._abandoned:
                run = self._left[0]
                folder, key = run.folder, run.config_hash
                error = None if folder is None else recorder.record(folder, key, fresh=run.fresh)
                self.errors += [] if error is None else [error]
                self._left.popleft()
                self._done += 1
        except TrackingError as refusal:
            if self.refusal is None:
                warn(f"MLflow does not take runs for now; the training goes on ({refusal})")
            self.refusal, self._known_is_complete = refusal, False
            self._next, self._wait = time.monotonic() + self._wait, min(2 * self._wait, LONGEST_WAIT)
