"""A run alone: trained with checkpoints, drawn, tracked, and gone on with where it was interrupted."""

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nnexp import terminal
from nnexp.checkpoints import Checkpoints
from nnexp.config.compose import compose_experiment
from nnexp.config.experiment import Experiment
from nnexp.config.identity import resolved
from nnexp.errors import UserError
from nnexp.files import new_folder, remove_temporaries
from nnexp.locks import locked
from nnexp.resume import Resumed, command, facts, resumed
from nnexp.run_folder import CONFIG, Note, write_yaml
from nnexp.runs import (
    Ready,
    Result,
    best_metrics,
    describe,
    outcome_tags,
    prepare,
    where,
    writable_folder,
    write_run,
)
from nnexp.signals import sigterm_interrupts, waiting_interrupts
from nnexp.tracking.environment import environment
from nnexp.tracking.tracker import Status, TrackedRun, TrackingError
from nnexp.training.history import Outcome, Row
from nnexp.training.loop import Training
from nnexp.training.roster import Observer, unobserved
from nnexp.training.worker import BLAS_THREADS

if TYPE_CHECKING:
    from filelock import BaseFileLock

T = TypeVar("T")
FULL = (errno.ENOSPC, errno.EDQUOT)
ROOM_SECONDS = 600.0
"""How long a run that is trained waits for room on a full disk."""


def run(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Result:
    """Train one network as the command line would, and return its results.

    Arguments
    ---------
    overrides
        Such as `["optimizer.learning_rate=0.3"]`.
    config_dir
        A folder with configs of one's own.

    Raises
    ------
    UserError
        If the overrides do not make a valid run.

    """
    return execute(compose_experiment(overrides, config_dir), overrides)


def execute(
    experiment: Experiment, overrides: Sequence[str] = (), *, alone: bool = True, parent: str | None = None
) -> Result:
    """Train, draw and track one checked experiment; the overrides name and explain it.

    Arguments
    ---------
    experiment
        What to train, or with its `resume` what to go on with.
    overrides
        What was asked for.
    alone
        Whether figures are drawn and tables shown where the config leaves it open.
    parent
        The run that explains this one, where the tracker knows such.

    Raises
    ------
    UserError
        Before anything is trained, if data, loss, output folder or tracking do not go together.
    KeyboardInterrupt
        After Ctrl-C or SIGTERM; its argument is the command that goes on with the run, where there is a checkpoint.

    """
    from threadpoolctl import threadpool_limits

    earlier, again = None, overrides
    if experiment.resume is not None and alone:
        earlier = resumed(experiment, overrides)
        experiment, overrides = earlier.experiment, earlier.overrides
    solo = Solo(prepare(experiment, overrides), earlier, alone=alone)
    experiment.tracking.check()
    solo.output_dir = writable_folder(experiment.output_dir)
    with threadpool_limits(BLAS_THREADS), sigterm_interrupts(), closing(solo):
        if earlier is not None:
            terminal.show_lines([f"Going on after {solo.progress} in {solo.folder}"])
        tracker = experiment.tracking.open(solo.output_dir)
        run_id = None if earlier is None else earlier.tracked_as(tracker.uri)
        run_facts = solo.ready.facts(environment())
        try:
            begun = tracker.start(run_facts, experiment.trainer.evaluations(), parent, run_id)
            with _tracked(begun) as tracked:
                solo.train(tracked)
                result = solo.result(tracked)
        except TrackingError as error:
            raise UserError(f"tracking.uri={tracker.uri}: must be a store that takes the run ({error})") from error
        except KeyboardInterrupt as interrupt:
            if solo.checkpoints.kept:
                raise type(interrupt)(command(solo.folder, again)) from interrupt
            raise
    if solo.verbose:
        terminal.show_results(result.history, result.predictions, result.diverged_step, result.notes, where(result))
    else:
        terminal.show_line(result.name, result.history, result.diverged_step)
    return result


class Solo:
    """A run alone on its way.

    Arguments
    ---------
    ready
        What to train.
    earlier
        What it goes on from; None begins it.
    alone
        Whether figures are drawn and tables shown where the config leaves it open.

    Raises
    ------
    UserError
        If it cannot go on from there.

    """

    def __init__(self, ready: Ready, earlier: Resumed | None, *, alone: bool) -> None:
        experiment, trainer = ready.experiment, ready.experiment.trainer
        self.ready, self.output_dir = ready, Path(experiment.output_dir)
        self.figures = alone if experiment.figures is None else experiment.figures
        self.verbose = alone if experiment.verbose is None else experiment.verbose
        self._earlier, self._started = earlier, time.strftime("%Y-%m-%d_%H-%M-%S")
        self._observer: Observer = unobserved
        self._tracked: TrackedRun | None = None
        self._lock: BaseFileLock | None = None
        self._training = Training(
            [ready.recipe], ready.data, trainer, experiment.dtype, self._observe, watch_layers=self.figures
        )
        if earlier is not None:
            earlier.restore(self._training, ready.dataset.digest)
        every = trainer.checkpoint_every and trainer.steps(trainer.checkpoint_every, len(ready.data.train))
        said = facts(experiment, ready.overrides, ready.dataset.digest)
        self.checkpoints = Checkpoints(lambda: self.folder, said, every, kept=earlier is not None)

    @property
    def progress(self) -> str:
        """Return how far the training is."""
        trainer, done = self.ready.experiment.trainer, self._training.time
        return f"{trainer.unit} {done} of {trainer.length}"

    @cached_property
    def folder(self) -> Path:
        """Return the run's folder, which is made when something is to be kept."""
        remove_temporaries(self._place)
        write_yaml(self._place / CONFIG, resolved(self.ready.experiment))
        self._note(complete=False)
        return self._place

    @cached_property
    def _place(self) -> Path:
        """Return a folder in which no other process works."""
        if self._earlier is not None and self._earlier.folder is not None:
            folder = self._earlier.folder
        else:
            folder = new_folder(self.output_dir / self.ready.data.name, f"{self._started}_{self.ready.folder_name}")
        self._lock = locked(folder.with_name(f".{folder.name}.lock"))
        if self._lock is None:
            raise UserError(f"resume={folder}: must not be a run that another process is training")
        return folder

    def close(self) -> None:
        """Let others go on with the run."""
        if self._lock is not None:
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def _observe(self, moment: int, runs: Sequence[int], row: Row) -> None:
        self._observer(moment, runs, row)

    def train(self, tracked: TrackedRun) -> None:
        """Train to the end, with checkpoints on the way; a signal waits for the end of a step and its checkpoint."""
        training, checkpoints = self._training, self.checkpoints
        self._tracked = tracked
        if self._earlier is not None:
            self._note(complete=False)
        for moment, metrics in training.evaluations(0):
            tracked.log(moment, metrics)  # those of before that the tracker does not have
        with terminal.progress(self.ready.experiment.trainer, verbose=self.verbose) as show:

            def observe(moment: int, _runs: Sequence[int], row: Row) -> None:
                metrics = {name: float(values[0]) for name, values in row.items()}
                tracked.log(moment, metrics)
                show(moment, metrics)

            self._observer = observe
            with waiting_interrupts() as interruption:
                while training.advance(pause=lambda steps: interruption.asked or checkpoints.due(steps)):
                    checkpoints.write(training)
                    interruption.happen()
                if checkpoints.wanted or interruption.asked:
                    checkpoints.write(training)

    def result(self, tracked: TrackedRun) -> Result:
        """Write and record what came of the training, and return it."""
        try:
            (outcome,) = self._training.outcomes().values()
            seconds = self._training.seconds
            result = self._once_there_is_room(lambda: self.ready.result(outcome, self.folder, seconds, tracked.where()))
            self._once_there_is_room(lambda: self._write(outcome, result, tracked))
            self._record(tracked, result)
        except KeyboardInterrupt:
            self.checkpoints.write(self._training)
            raise
        return result

    def _write(self, outcome: Outcome, result: Result, tracked: TrackedRun) -> None:
        write_run(self.ready, outcome, result, figures=self.figures, served=tracked.run_id is not None)

    def _once_there_is_room(self, write: Callable[[], T]) -> T:
        """Write into the run's folder, and wait where the disk is full: what is trained is not to be lost."""
        patience = time.monotonic() + ROOM_SECONDS
        told = False
        while True:
            try:
                return write()
            except OSError as error:
                if error.errno not in FULL:
                    raise
                if time.monotonic() > patience:
                    raise UserError(f"output_dir={self.output_dir}: must have room for the files of a run") from error
                if not told:
                    terminal.warn(f"no space left in {self.output_dir}; the run is trained and waits for room")
                told = True
            time.sleep(1)

    def _record(self, tracked: TrackedRun, result: Result) -> None:
        summary, folder = result.summary, result.folder
        description = describe(result.command, result.history, result.diverged_step, folder)
        try:
            tracked.finish(best_metrics(summary), outcome_tags(summary), description, folder)
        except TrackingError as error:
            terminal.warn(f"not recorded: {error}. All of the run is in {folder}")
        else:
            self._note(complete=True)

    def _note(self, *, complete: bool) -> None:
        if self._tracked is not None and self._tracked.run_id is not None:
            Note(self._tracked.uri, self._tracked.run_id, complete).write(self._place)


@contextmanager
def _tracked(run: TrackedRun) -> Iterator[TrackedRun]:
    """Give a run the status with which the block ends."""
    status: Status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        try:
            run.end(status)
        except TrackingError as error:
            terminal.warn(f"the run was not closed where it is recorded: {error}")
