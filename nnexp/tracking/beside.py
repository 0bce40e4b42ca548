"""MLflow in a process beside this one, which begins before it is needed.

MLflow takes more than a second to be imported. In the meantime this process reads the data and imports what it draws
with; of MLflow it needs no more than what calls return.
"""

import gc
import io
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import ParamSpec, TypeVar, cast

from nnexp.core.errors import TrackingError, UserError
from nnexp.core.output import meanwhile
from nnexp.core.processes import DiedError, Failure, Process
from nnexp.tracking.tracker import FinishedRun, NoTracking, RunRecord, Status, TrackedRun, Tracker, Tracking

T = TypeVar("T")
P = ParamSpec("P")
Link = tuple[str, str]
Point = tuple[int, Mapping[str, float]]
"""A time, and the metrics then."""

KNOWN_ERRORS = UserError, TrackingError, OSError
"""What calls raise here as they do there."""
SECONDS_BETWEEN_POINTS = 1.0
"""How often the points of curves are sent."""
SECONDS_TO_BEGIN = 1.0
"""How long a run that is interrupted waits for its beginning there, without which there is nothing to close."""


@contextmanager
def beside() -> Iterator["Beside"]:
    """Yield a process that begins at once and ends with the block."""
    process = Process()
    try:
        yield Beside(process)
    finally:
        process.end()


class Beside:
    """The process beside this one.

    Args:
        process: The process, which has done nothing yet.
    """

    def __init__(self, process: Process) -> None:
        self._process, self._answers = process, SimpleQueue[object]()
        self._expected, self._failure = 0, cast("TrackingError | None", None)
        Thread(target=self._receive, daemon=True).start()
        self.tell(_begin)

    def open(self, tracking: Tracking, output_dir: Path) -> Tracker:
        """Return a tracker that is opened there, if there is anything to open.

        It is not waited for where it is as good as sure that it opens.

        Raises UserError if it does not work.
        """
        if isinstance(tracking, NoTracking):
            return tracking.open(output_dir)
        call, uri, sure = partial(_open, tracking, output_dir), tracking.address(output_dir), False
        try:
            if tracking.opens_surely(output_dir):
                self.tell(call)
                sure = True
            else:
                meanwhile("Opening MLflow")
                self.ask(call)
        except TrackingError as error:
            raise UserError(f"tracking.uri={uri}: must be a store that MLflow can open ({error})") from error
        return TrackerBeside(self, uri, sure=sure)

    def ask(self, call: Callable[[], T]) -> T:
        """Return what a call returns there, or raise what it raises.

        Raises TrackingError if a call failed of those whose answers were not waited for, or if the process has died.
        """
        self.tell(call)
        while self._expected > 1:
            self._settle(self._answers.get())
        answer = self._value(self._answers.get())
        if self._failure is not None:
            raise self._failure
        return cast("T", answer)

    def do(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Return what a function returns there, see `ask`."""
        return self.ask(partial(function, *arguments, **options))

    def tell(self, call: Callable[[], object]) -> None:
        """Have a call done there, after those before, without waiting for it."""
        try:
            self._process.send(partial(_answered, call))
        except DiedError as error:
            raise TrackingError(f"the process that records has died: {error}") from error
        self._expected += 1

    def _receive(self) -> None:
        """Receive answers, so that the other process never waits for them to be read."""
        try:
            while True:
                self._answers.put(self._process.receive())
        except DiedError as error:
            self._answers.put(error)

    def catches_up(self, seconds: float) -> bool:
        """Tell whether all calls so far are done within some seconds."""
        end = monotonic() + seconds
        with suppress(Empty):
            while self._expected:
                self._settle(self._answers.get(timeout=max(0.0, end - monotonic())))
        return not self._expected

    def _settle(self, answer: object) -> None:
        """Take an answer that nobody waits for; a failure is that of the next call that is waited for."""
        try:
            self._value(answer)
        except KNOWN_ERRORS as error:
            self._failure = self._failure or TrackingError(str(error))

    def _value(self, answer: object) -> object:
        """Return what a call has returned, or raise what it has raised."""
        match answer:
            case DiedError() as death:
                self._answers.put(death)  # for whoever asks next
                self._expected = 0
                raise TrackingError(f"the process that records has died: {death}") from death
            case Failure(details=details):  # a bug there
                self._expected -= 1
                raise RuntimeError(details)
        self._expected -= 1
        value, said = cast("tuple[object, str]", answer)
        sys.stderr.write(said)
        if isinstance(value, KNOWN_ERRORS):
            raise value
        return value


class TrackerBeside(Tracker):
    """A tracker in the process beside this one.

    Args:
        beside: The process.
        uri: The address of the tracker's store.
        sure: Whether a new run is not waited for.
    """

    def __init__(self, beside: Beside, uri: str, *, sure: bool) -> None:
        self._beside, self.uri, self._sure = beside, uri, sure

    def start(self, record: RunRecord, epochs: Sequence[int], run_id: str | None = None) -> TrackedRun:
        """Begin a run there, or go on with one."""
        call, run = partial(_start, record, epochs, run_id), RunBeside(self._beside, self.uri)
        if self._sure and run_id is None:
            self._beside.tell(call)
        else:
            run.run_id = self._beside.ask(call)
        return run


class RunBeside(TrackedRun):
    """A run that is tracked in the process beside this one; its ID may be known only at its end.

    Args:
        beside: The process.
        uri: The address of its store.
    """

    def __init__(self, beside: Beside, uri: str) -> None:
        self._beside, self.uri, self._links = beside, uri, list[Link]()
        self._points, self._next = list[Point](), monotonic() + SECONDS_BETWEEN_POINTS

    def links(self) -> Sequence[Link]:
        """Return how to open it, once it has ended."""
        return self._links

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of an epoch, and send them with others."""
        self._points.append((epoch, metrics))
        if monotonic() > self._next:
            with suppress(TrackingError):  # the run goes on, and its end says so
                self._send_points()

    def finish(self, run: FinishedRun) -> None:
        """Record what came out of the run, and close it."""
        self._send_points()
        self.run_id, self._links = self._beside.ask(partial(_finish, run))

    def end(self, status: Status, files: Sequence[Path] = ()) -> None:
        """Close an unfinished run, if it is known to have begun there."""
        if self.run_id is None and not self._beside.catches_up(SECONDS_TO_BEGIN):
            return
        self._send_points()
        self.run_id = self._beside.ask(partial(_end, status, files))

    def _send_points(self) -> None:
        self._beside.tell(partial(_log, self._points))
        self._points, self._next = [], monotonic() + SECONDS_BETWEEN_POINTS


class _Opened:
    """What the process beside has opened, and what it has to say."""

    def __init__(self) -> None:
        self.tracker, self.run = Tracker(), TrackedRun()
        self.said = io.StringIO()


@cache
def _opened() -> _Opened:
    return _Opened()


def _answered(call: Callable[[], object]) -> tuple[object, str]:
    """Return what a call returns or raises, and what was printed on standard error since the last answer."""
    try:
        value = call()
    except KNOWN_ERRORS as error:
        value = error
    said = _opened().said
    text = said.getvalue()
    said.seek(0)
    said.truncate()
    return value, text


def _begin() -> None:
    """Import what will be needed, and let this process end when the other one wants it to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout = sys.stderr = _opened().said
    gc.disable()  # all that is imported stays, and it is faster without
    with suppress(ImportError):  # it comes again when the tracker is opened
        from mlflow.models import Model  # noqa: F401
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: F401
    gc.freeze()
    gc.enable()


def _open(tracking: Tracking, output_dir: Path) -> None:
    _opened().tracker = tracking.open(output_dir)


def _start(record: RunRecord, epochs: Sequence[int], run_id: str | None) -> str | None:
    opened = _opened()
    opened.run = opened.tracker.start(record, epochs, run_id)
    return opened.run.run_id


def _log(points: Sequence[Point]) -> None:
    for epoch, metrics in points:
        _opened().run.log(epoch, metrics)


def _finish(run: FinishedRun) -> tuple[str | None, list[Link]]:
    tracked = _opened().run
    tracked.finish(run)
    return tracked.run_id, [*tracked.links()]


def _end(status: Status, files: Sequence[Path]) -> str | None:
    tracked = _opened().run
    tracked.end(status, files)
    return tracked.run_id
