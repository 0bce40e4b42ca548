"""Trains a run alone, from its config to its folder: with checkpoints, figures and tracking."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nnexp.config.compose import compose_experiment
from nnexp.config.experiment import Experiment
from nnexp.core.component import resolved
from nnexp.core.disk import retry_while_disk_full
from nnexp.core.errors import TrackingError, UserError, warn
from nnexp.core.files import new_folder, remove_temporaries, writable_folder
from nnexp.core.locks import lock_of, locked
from nnexp.core.signals import sigterm_interrupts, waiting_interrupts
from nnexp.core.threads import one_thread
from nnexp.report import terminal
from nnexp.runs.prepare import Ready, prepare
from nnexp.runs.result import Result, result_of
from nnexp.runs.resume import Resumed, facts, resume_command, resumed
from nnexp.runs.tracking_note import RunNote, deliver_command
from nnexp.runs.write import best_metrics, describe, file_and_links, outcome_tags, write_run
from nnexp.storage.checkpoints import Checkpoints
from nnexp.storage.run_folder import CONFIG, files_to_record, write_history, write_yaml
from nnexp.tracking.environment import environment
from nnexp.tracking.tracker import FinishedRun, RunFacts, Status, TrackedRun
from nnexp.training.active_runs import Observer, unobserved
from nnexp.training.history import Outcome, Row
from nnexp.training.loop import Training

if TYPE_CHECKING:
    from filelock import BaseFileLock

T = TypeVar("T")


def run(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Result:
    """Train one network as the command line would, and return its results.

    Raises UserError if the overrides do not make a valid run.

    Args:
        overrides: Such as `["optimizer.learning_rate=0.3"]`.
        config_dir: A folder with configs of your own.
    """
    return execute(compose_experiment(overrides, config_dir), overrides)


def execute(experiment: Experiment, overrides: Sequence[str] = ()) -> Result:
    """Train, draw and track one checked experiment; the overrides name and explain it.

    Raises UserError before anything is trained, if data, loss, output folder or tracking do not fit together. Raises
    KeyboardInterrupt after Ctrl-C or SIGTERM; its argument is the command that resumes the run, if it has a checkpoint.

    Args:
        experiment: The config; its `resume` names a run to go on with.
        overrides: The overrides of the command.
    """
    earlier, again = None, overrides
    if experiment.resume is not None:
        earlier = resumed(experiment, overrides)
        experiment, overrides = earlier.experiment, earlier.overrides
    solo = Solo(prepare(experiment, overrides), earlier)
    experiment.tracking.check()
    solo.output_dir = writable_folder(experiment.output_dir)
    with one_thread(), sigterm_interrupts(), closing(solo):
        if earlier is not None:
            terminal.show_lines([f"Going on after {solo.progress} in {solo.folder}"])
        tracker = experiment.tracking.open(solo.output_dir)
        run_id = None if earlier is None else earlier.tracked_as(tracker.uri)
        try:
            begun = tracker.start(solo.facts, experiment.trainer.evaluations(), run_id)
            with solo.tracked(begun):
                solo.train(begun)
                result = solo.result(begun)
        except TrackingError as error:
            raise UserError(f"tracking.uri={tracker.uri}: must be a store that takes the run ({error})") from error
        except KeyboardInterrupt as interrupt:
            if solo.checkpoints.kept:
                raise type(interrupt)(resume_command(solo.folder, again)) from interrupt
            raise
    if solo.verbose:
        terminal.show_results(
            result.history, result.predictions, result.diverged_step, notes=result.notes, lines=file_and_links(result)
        )
    else:
        terminal.show_line(result.name, result.history, result.diverged_step)
    return result


class Solo:
    """A run alone while it is trained.

    Raises UserError if it cannot be resumed.

    Args:
        ready: The run.
        earlier: The run that it resumes; None for a new one.
    """

    def __init__(self, ready: Ready, earlier: Resumed | None) -> None:
        experiment, trainer = ready.experiment, ready.experiment.trainer
        self.ready, self.output_dir = ready, Path(experiment.output_dir)
        self.figures, self.verbose = experiment.figures is not False, experiment.verbose is not False
        self._earlier, self._started = earlier, time.strftime("%Y-%m-%d_%H-%M-%S")
        self._observer: Observer = unobserved
        self._tracked: TrackedRun | None = None
        self._lock: BaseFileLock | None = None
        self._training = Training(
            [ready.recipe],
            ready.data,
            trainer,
            dtype=experiment.dtype,
            observe=self._observe,
            watch_layers=self.figures,
        )
        if earlier is not None:
            earlier.restore(self._training, ready.dataset.digest)
        every = trainer.checkpoint_every and trainer.steps(trainer.checkpoint_every, len(ready.data.train))
        content = facts(experiment, ready.overrides, ready.dataset.digest)
        self.checkpoints = Checkpoints(lambda: self.folder, content, every, kept=earlier is not None)

    @property
    def progress(self) -> str:
        """Return the progress of the training in words."""
        trainer, done = self.ready.experiment.trainer, self._training.time
        return f"{trainer.unit} {done} of {trainer.length}"

    @cached_property
    def facts(self) -> RunFacts:
        """Return the facts that a tracker records before the training."""
        return self.ready.facts(environment())

    @cached_property
    def folder(self) -> Path:
        """Return the run's folder, which is made when it is first used."""
        remove_temporaries(self._place)
        write_yaml(self._place / CONFIG, resolved(self.ready.experiment))
        self._note(self._unfinished("KILLED"))  # right if the process dies now
        return self._place

    @cached_property
    def _place(self) -> Path:
        """Return the run's folder, made and locked."""
        if self._earlier is not None and self._earlier.folder is not None:
            folder = self._earlier.folder
        else:
            folder = new_folder(self.output_dir / self.ready.data.name, f"{self._started}_{self.ready.folder_name}")
        self._lock = locked(lock_of(folder))
        if self._lock is None:
            raise UserError(f"resume={folder}: must not be a run that another process is training")
        return folder

    def close(self) -> None:
        """Release the lock of the run's folder."""
        if self._lock is not None:
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def _observe(self, moment: int, runs: Sequence[int], row: Row) -> None:
        self._observer(moment, runs, row)

    @contextmanager
    def tracked(self, run: TrackedRun) -> Iterator[None]:
        """Track the run within the block, and close it if the block raises an error."""
        self._tracked = run
        if self._earlier is not None:
            self._note(self._unfinished("KILLED"))
        try:
            yield
        except KeyboardInterrupt:
            self._end(run, "KILLED")
            raise
        except BaseException:
            self._end(run, "FAILED")
            raise

    def train(self, tracked: TrackedRun) -> None:
        """Train to the end, with checkpoints; a signal waits until the step ends and a checkpoint is written."""
        training, checkpoints = self._training, self.checkpoints
        for moment, metrics in training.history(0).evaluations():
            tracked.log(moment, metrics)  # of before it was resumed; the tracker skips those it has
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
        """Write, record and return the result of the training."""
        try:
            (outcome,) = self._training.outcomes().values()
            seconds = self._training.seconds
            result = self._retry_while_full(
                lambda: result_of(self.ready, outcome, self.folder, seconds=seconds, links=tracked.links())
            )
            self._retry_while_full(lambda: self._write(outcome, result, tracked))
            self._record(tracked, result)
        except KeyboardInterrupt:
            self.checkpoints.write(self._training)
            raise
        return result

    def _write(self, outcome: Outcome, result: Result, tracked: TrackedRun) -> None:
        write_run(self.ready, outcome, result, figures=self.figures, served=tracked.run_id is not None)

    def _record(self, tracked: TrackedRun, result: Result) -> None:
        """Record the run; it is noted first, so that it can be delivered later if that fails now."""
        summary, folder = result.summary, result.folder
        description = describe(result.command, result.history, result.diverged_step, folder)
        done = self._unfinished("FINISHED", best_metrics(summary), outcome_tags(summary), description)
        self._retry_while_full(lambda: self._note(done))
        try:
            tracked.finish(done.metrics, done.tags, description, files_to_record(folder))
        except TrackingError as error:
            again = deliver_command(self.output_dir, tracked.uri)
            warn(f"not recorded: {error}. All of the run is in {folder}; to record it later: {again}")
        else:
            self._retry_while_full(lambda: self._note(None))

    def _end(self, tracked: TrackedRun, status: Status) -> None:
        """Close an unfinished run, with its checkpoints, if any."""
        kept = self.checkpoints.kept
        left = None
        try:
            tracked.end(status, files_to_record(self.folder) if kept else ())
        except TrackingError as error:
            warn(f"the run was not closed where it is recorded: {error}")
            left = self._unfinished(status)
        if kept:
            with suppress(OSError):  # the note from the beginning of the run is still right
                if left is not None:
                    write_history(self.folder, self._training.history(0))
                self._note(left)

    def _unfinished(
        self,
        status: Status,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        description: str = "",
    ) -> FinishedRun:
        """Return everything that is to be recorded of the run, without its files."""
        return FinishedRun(
            facts=self.facts,
            metrics=metrics or {},
            tags=tags or {},
            description=description,
            seconds=self._training.seconds,
            status=status,
        )

    def _note(self, left: FinishedRun | None) -> None:
        if self._tracked is not None and self._tracked.run_id is not None:
            RunNote(self._tracked.uri, self._tracked.run_id, left=left).write(self._place)

    def _retry_while_full(self, write: Callable[[], T]) -> T:
        return retry_while_disk_full(write, self.output_dir)
