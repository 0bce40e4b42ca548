"""MLflow in a process beside this one, which begins before it is needed.

MLflow takes more than a second to be imported. In the meantime this process reads the data and imports what it draws
with; of MLflow it needs no more than what calls return.
"""

import gc
import io
import os
import pickle
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, ParamSpec, TypeVar, cast

from nnexp.core.errors import TrackingError, UserError
from nnexp.core.output import meanwhile
from nnexp.core.processes import DiedError, Failure, Process
from nnexp.tracking.mlflow_store import OPENING, set_defaults
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
def beside() -> Iterator["Beside | None"]:
    """Yield a process that begins at once and ends with the block; None if the system does not let one begin."""
    try:
        process = Process()
    except OSError:
        yield None
        return
    try:
        yield Beside(process)
    finally:
        process.end()


def ignore(_answer: object) -> None:
    """Do nothing with an answer."""


class Beside:
    """The process beside this one.

    Calls are done one after another. What a call that is not waited for raises, the next one raises that is.

    Args:
        process: The process, which has done nothing yet.

    Attributes:
        is_open: Whether a tracker is known to be open there.
    """

    def __init__(self, process: Process) -> None:
        self._process, self._calls, self._answers = process, SimpleQueue[bytes](), SimpleQueue[object]()
        self._expected = deque[Callable[[Any], object]]()
        self._failure: TrackingError | None = None
        self.is_open = False
        for work in (self._send, self._receive):
            Thread(target=work, daemon=True).start()
        self.tell(_begin)

    def open(self, tracking: Tracking, output_dir: Path) -> Tracker:
        """Return a tracker that is opened there, if there is anything to open.

        It is not waited for where it is as good as sure that it opens.

        Raises UserError if it does not work.
        """
        if isinstance(tracking, NoTracking):
            return tracking.open(output_dir)
        variables = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
        call, uri = partial(_open, tracking, output_dir, variables), tracking.address(output_dir)
        sure = tracking.opens_surely(output_dir)
        try:
            if sure:
                self.tell(call, self._has_opened)
            else:
                meanwhile(OPENING)
                self._has_opened(self.ask(call))
        except TrackingError as error:
            raise UserError(f"tracking.uri={uri}: must be a store that MLflow can open ({error})") from error
        return TrackerBeside(self, uri, sure=sure)

    def _has_opened(self, _: object) -> None:
        self.is_open = True

    def ask(self, call: Callable[[], T]) -> T:
        """Return what a call returns there, or raise what it raises.

        Raises TrackingError if a call failed before that was not waited for, or if the process has died.
        """
        answers = list[T]()
        self.tell(call, answers.append)
        while len(self._expected) > 1:
            self._settle(self._answers.get())
        self._take(self._answers.get())
        if self._failure is not None:
            raise self._failure
        return answers[0]

    def do(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Return what a function returns there, see `ask`."""
        return self.ask(partial(function, *arguments, **options))

    def tell(self, call: Callable[[], T], then: Callable[[T], object] = ignore) -> None:
        """Have a call done there without waiting for it; `then` gets the answer once others are taken."""
        self._calls.put(pickle.dumps(partial(_answered, call)))
        self._expected.append(then)

    def catches_up(self, seconds: float = 0.0) -> bool:
        """Take the answers that come within some seconds, and tell whether they are all."""
        end = monotonic() + seconds
        with suppress(Empty):
            while self._expected:
                left = max(0.0, end - monotonic())
                self._settle(self._answers.get(timeout=None if left == inf else left))
        return not self._expected

    def _send(self) -> None:
        """Send calls, so that nobody else waits for a process that does not read them."""
        with suppress(DiedError):  # which is noticed where answers are received
            while True:
                self._process.write(self._calls.get())

    def _receive(self) -> None:
        """Receive answers, so that the other process does not wait for them to be read."""
        try:
            while True:
                self._answers.put(self._process.receive())
        except DiedError as error:
            self._answers.put(error)

    def _settle(self, answer: object) -> None:
        """Take an answer that nobody waits for."""
        try:
            self._take(answer)
        except KNOWN_ERRORS as error:
            self._failure = self._failure or TrackingError(str(error))

    def _take(self, answer: object) -> None:
        """Pass on what a call has returned, or raise what it has raised; a bug there leaves its traceback."""
        if isinstance(answer, DiedError):
            self._answers.put(answer)  # for whoever asks next
            self._expected.clear()
            raise TrackingError(f"the process that records has died: {answer}") from answer
        then = self._expected.popleft()
        if isinstance(answer, Failure):
            sys.stderr.write(answer.details)
            raise TrackingError(answer.reason)
        value, said = cast("tuple[object, str]", answer)
        sys.stderr.write(said)
        if isinstance(value, KNOWN_ERRORS):
            raise value
        then(value)


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
        """Begin a run there, or go on with one.

        Raises TrackingError if that fails and is waited for.
        """
        call, run = partial(_start, record, epochs, run_id), RunBeside(self._beside, self.uri)
        if self._sure and run_id is None:
            self._beside.tell(call, run.has_begun)
        else:
            run.has_begun(self._beside.ask(call))
        return run


class RunBeside(TrackedRun):
    """A run that is tracked in the process beside this one; it has no ID until that has told it.

    Args:
        beside: The process.
        uri: The address of its store.
    """

    def __init__(self, beside: Beside, uri: str) -> None:
        self._beside, self.uri, self._links = beside, uri, list[Link]()
        self._points, self._next = list[Point](), monotonic() + SECONDS_BETWEEN_POINTS

    def has_begun(self, told: tuple[str | None, list[Link]]) -> None:
        """Take what the other process knows of the run: its ID, and how to open it."""
        self.run_id, self._links = told

    def links(self) -> Sequence[Link]:
        """Return how to open it, as far as that is known."""
        return self._links

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of an epoch, and send them with others."""
        self._points.append((epoch, metrics))
        if monotonic() > self._next:
            self._send_points()
            self._beside.catches_up()  # so that what it has to say comes in time; a failure is that of the end

    def finish(self, run: FinishedRun) -> None:
        """Record what came out of the run, and close it."""
        self._send_points()
        self._beside.do(_finish, run)
        self._beside.catches_up()

    def end(self, status: Status, files: Sequence[Path] = ()) -> None:
        """Close an unfinished run, if it has begun there."""
        if not self._beside.catches_up(SECONDS_TO_BEGIN if status == "KILLED" else inf):
            if not self._beside.is_open:  # there is nothing to close yet
                return
            raise TrackingError("it is not known whether it has begun there")
        self._send_points()
        self._beside.do(_end, status, files)

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
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdout = sys.stderr = _opened().said
    set_defaults()
    gc.disable()  # all that is imported stays, and it is faster without
    with suppress(ImportError):  # it comes again when the tracker is opened
        from mlflow.models import Model  # noqa: F401
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: F401
    gc.freeze()
    gc.enable()


def _open(tracking: Tracking, output_dir: Path, variables: Mapping[str, str]) -> None:
    os.environ.update(variables)
    _opened().tracker = tracking.open(output_dir)


def _start(record: RunRecord, epochs: Sequence[int], run_id: str | None) -> tuple[str | None, list[Link]]:
    opened = _opened()
    opened.run = run = opened.tracker.start(record, epochs, run_id)
    return run.run_id, [*run.links()]


def _log(points: Sequence[Point]) -> None:
    for epoch, metrics in points:
        _opened().run.log(epoch, metrics)


def _finish(run: FinishedRun) -> None:
    _opened().run.finish(run)


def _end(status: Status, files: Sequence[Path]) -> None:
    _opened().run.end(status, files)
