"""MLflow in a process beside this one, which begins before it is needed.

MLflow takes more than a second to be imported. In the meantime this process reads the data and imports what it draws
with; of MLflow it needs no more than what calls return.
"""

import io
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
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
        self._process, self._unanswered = process, False
        self.tell(_begin)

    def open(self, tracking: Tracking, output_dir: Path) -> Tracker:
        """Return a tracker that is opened there, if there is anything to open.

        Raises UserError if it does not work.
        """
        if isinstance(tracking, NoTracking):
            return tracking.open(output_dir)
        meanwhile("Opening MLflow")
        try:
            return TrackerBeside(self, self.ask(partial(_open, tracking, output_dir)))
        except TrackingError as error:
            uri = tracking.address(output_dir)
            raise UserError(f"tracking.uri={uri}: must be a store that MLflow can open ({error})") from error

    def ask(self, call: Callable[[], T]) -> T:
        """Return what a call returns there, or raise what it raises.

        Raises TrackingError if the process has died.
        """
        self.tell(call)
        return cast("T", self._answer())

    def do(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Return what a function returns there, see `ask`."""
        return self.ask(partial(function, *arguments, **options))

    def tell(self, call: Callable[[], object]) -> None:
        """Have a call done there, whose answer is nobody's."""
        if self._unanswered:
            self._answer()
        try:
            self._process.send(partial(_answered, call))
        except DiedError as error:
            raise TrackingError(f"the process that records has died: {error}") from error
        self._unanswered = True

    def _answer(self) -> object:
        try:
            answer = self._process.receive()
        except DiedError as error:
            raise TrackingError(f"the process that records has died: {error}") from error
        except KeyboardInterrupt:  # the answer is still to come, and the next call's is another one
            self._process.end()
            raise
        self._unanswered = False
        match answer:
            case Failure(details=details):  # a bug there
                raise RuntimeError(details)
        value, said = cast("tuple[object, str]", answer)
        if said:
            sys.stderr.write(said)
        if isinstance(value, KNOWN_ERRORS):
            raise value
        return value


class TrackerBeside(Tracker):
    """A tracker in the process beside this one.

    Args:
        beside: The process.
        uri: The address of the tracker's store.
    """

    def __init__(self, beside: Beside, uri: str) -> None:
        self._beside, self.uri = beside, uri

    def start(self, record: RunRecord, epochs: Sequence[int], run_id: str | None = None) -> TrackedRun:
        """Begin a run there, or go on with one."""
        return RunBeside(self._beside, self.uri, *self._beside.ask(partial(_start, record, epochs, run_id)))


class RunBeside(TrackedRun):
    """A run that is tracked in the process beside this one.

    Args:
        beside: The process.
        uri, run_id, links: Those of the run there.
    """

    def __init__(self, beside: Beside, uri: str, run_id: str | None, links: Sequence[Link]) -> None:
        self._beside, self.uri, self.run_id, self._links = beside, uri, run_id, links
        self._points, self._next = list[Point](), monotonic() + SECONDS_BETWEEN_POINTS

    def links(self) -> Sequence[Link]:
        """Return how to open it."""
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
        self._beside.ask(partial(_finish, run))

    def end(self, status: Status, files: Sequence[Path] = ()) -> None:
        """Close an unfinished run."""
        self._send_points()
        self._beside.ask(partial(_end, status, files))

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
    with suppress(ImportError):  # it comes again when the tracker is opened
        from mlflow import MlflowClient  # noqa: F401
        from mlflow.models import Model  # noqa: F401


def _open(tracking: Tracking, output_dir: Path) -> str:
    opened = _opened()
    opened.tracker = tracking.open(output_dir)
    return opened.tracker.uri


def _start(record: RunRecord, epochs: Sequence[int], run_id: str | None) -> tuple[str | None, Sequence[Link]]:
    opened = _opened()
    opened.run = opened.tracker.start(record, epochs, run_id)
    return opened.run.run_id, [*opened.run.links()]


def _log(points: Sequence[Point]) -> None:
    for epoch, metrics in points:
        _opened().run.log(epoch, metrics)


def _finish(run: FinishedRun) -> None:
    _opened().run.finish(run)


def _end(status: Status, files: Sequence[Path]) -> None:
    _opened().run.end(status, files)
