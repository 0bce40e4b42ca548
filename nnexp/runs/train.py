"""Trains a run alone, from its config to its folder: with checkpoints, figures and tracking.

`execute` is the whole life of a run. Its folder is claimed, and what is known of it written there, before anything is
trained; its result comes last, and is then recorded from the folder.
"""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from math import isnan
from pathlib import Path
from shutil import rmtree

from nnexp.config.experiment import Experiment
from nnexp.core.disk import write_or_rescue
from nnexp.core.errors import DamagedError, TrackingError, UserError, warn
from nnexp.core.files import is_there, writable_folder
from nnexp.core.output import meanwhile
from nnexp.core.signals import sigterm_interrupts, waiting_interrupts
from nnexp.core.threads import one_thread
from nnexp.core.timeout import call_within
from nnexp.plots.style import load
from nnexp.report import terminal
from nnexp.runs.change import beside_the_last
from nnexp.runs.claim import claimed, go_on
from nnexp.runs.prepare import Ready, prepare
from nnexp.runs.record import RECORD, finished_run, summary_in, write_error, write_record
from nnexp.runs.result import Result, result_of
from nnexp.runs.resume import Resumed, check_store, facts, resume_command, resumed
from nnexp.runs.tracked import deliver_command, note, read_tracked
from nnexp.runs.write import file_and_links, serve, write_run
from nnexp.storage.checkpoints import Checkpoints
from nnexp.storage.run_folder import files_to_record, write_history
from nnexp.tracking.beside import Beside
from nnexp.tracking.environment import environment
from nnexp.tracking.tracker import RunRecord, Status, TrackedRun, Tracker
from nnexp.training.active_runs import Observer
from nnexp.training.history import Row
from nnexp.training.loop import Training
from nnexp.training.trainer import Trainer

SECONDS_TO_END, SECONDS_TO_FAIL = 1.2, 10.0
"""How long a run that is interrupted waits for its tracker, and one that fails."""


def execute(experiment: Experiment, overrides: Sequence[str] = (), recorder: Beside | None = None) -> Result:
    """Train, draw and track one checked experiment; the overrides name and explain it.

    Raises UserError before anything is trained, if data, loss, output folder or tracking do not fit together; then
    nothing is left of a new run, and an earlier one is unchanged. Raises KeyboardInterrupt after Ctrl-C, SIGTERM or
    SIGHUP; its argument is the command that resumes the run.

    Args:
        experiment: The config; its `resume` names a run to go on with.
        overrides: The overrides of the command.
        recorder: A process that does what needs MLflow; without one it is done here.
    """
    earlier = None if experiment.resume is None else resumed(experiment, overrides)
    ready = prepare(experiment, overrides) if earlier is None else prepare(earlier.experiment, earlier.overrides)
    experiment, trainer = ready.experiment, ready.experiment.trainer
    observers: list[Observer] = []
    training = Training(
        [ready.recipe],
        ready.data,
        trainer,
        dtype=experiment.dtype,
        observe=partial(_tell, observers),
        watch_layers=experiment.draws(alone=True),
    )
    if earlier is not None:
        earlier.restore(training, ready.dataset.digest)
    experiment.tracking.check()
    output_dir = writable_folder(experiment.output_dir)
    with one_thread(), sigterm_interrupts():
        if recorder is not None and experiment.draws(alone=True):
            load()  # in the meantime the other process imports MLflow
        tracking = experiment.tracking
        tracker = tracking.open(output_dir) if recorder is None else recorder.open(tracking, output_dir)
        check_store(earlier, tracker.uri, overrides, output_dir)
        tags = environment() if earlier is None else {**environment(), **earlier.tags}
        with (
            claimed(ready, tags, output_dir, uri=tracker.uri, earlier=earlier) as (place, record),
            _saying_how_to_go_on(place, overrides),
        ):
            times = [0, *trainer.evaluations()]
            tracked = _begin_to_track(tracker, record, folder=place, earlier=earlier, times=times)
            folder = place if earlier is None else go_on(place, record, ready)
            if earlier is not None:
                terminal.show_lines([_how_far(training, trainer, folder)])
            with _saying_how_to_go_on(folder, overrides), _closed_if_it_fails(tracked, training, folder):
                content = facts(experiment, ready.overrides, ready.dataset.digest)
                every = trainer.checkpoint_every and trainer.steps(trainer.checkpoint_every, len(ready.data.train))
                checkpoints = Checkpoints(folder, content, every, kept=earlier is not None)
                train(training, ready, checkpoints, tracked=tracked, observers=observers)
                try:
                    result = write(training, ready, record, folder=folder, tracked=tracked)
                    record_run(tracked, result.folder, output_dir, own=folder, recorder=recorder)
                except KeyboardInterrupt:
                    checkpoints.write(training)
                    raise
    result = replace(result, links=tracked.links())
    history, diverged_step, final_time = result.history, result.diverged_step, result.summary.final_time
    if experiment.verbose is not False:
        beside = beside_the_last(result.folder, record, result.summary, output_dir)
        terminal.show_results(history, result.predictions, diverged_step, final_time, story=result.story)
        terminal.show_lines(beside)
        terminal.show_links(file_and_links(result))
    else:
        terminal.show_line(result.name, history, diverged_step, final_time)
    return result


def _how_far(training: Training, trainer: Trainer, folder: Path) -> str:
    """Return in words how far a run is that is resumed."""
    how_far = f"{trainer.unit} {training.time} of {trainer.length}"
    if not training.ended:
        return f"Going on after {how_far} in {folder}"
    return f"Ended before, at {how_far}; its files are written again in {folder}"


@contextmanager
def _saying_how_to_go_on(folder: Path, overrides: Sequence[str]) -> Iterator[None]:
    """Give an interruption of the block the command that resumes the run."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if interrupt.args:  # it says so already
            raise
        raise type(interrupt)(resume_command(folder, overrides)) from interrupt


def _begin_to_track(
    tracker: Tracker, record: RunRecord, *, folder: Path, earlier: Resumed | None, times: Sequence[int]
) -> TrackedRun:
    """Return the run in its tracker, and note its ID; the store finds it by its identifier where that fails.

    Raises UserError if the tracker does not take the run; nothing is left of a new one, an earlier one is unchanged.
    """
    try:
        tracked = tracker.start(record, times, None if earlier is None else earlier.tracked_as(tracker.uri))
    except TrackingError as error:
        if earlier is None or earlier.folder is None:
            rmtree(folder, ignore_errors=True)
        raise UserError(f"tracking.uri={tracker.uri}: must be a store that takes the run ({error})") from error
    with suppress(OSError):
        note(folder, tracked, complete=False)
    return tracked


@contextmanager
def _closed_if_it_fails(tracked: TrackedRun, training: Training, folder: Path) -> Iterator[None]:
    """Close the run in its tracker if the block raises an error; what could not be closed can be delivered.

    One that has its result is not: what is left of it can be delivered, too.
    """
    try:
        yield
    except BaseException as error:
        if summary_in(folder) is not None:
            raise
        status: Status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        with suppress(OSError):
            write_history(folder, training.history(0))
            if status == "FAILED":
                write_error(folder, f"{type(error).__name__}: {error}", traceback.format_exc())
        try:
            files = files_to_record(folder) if folder.is_dir() else ()
            seconds = SECONDS_TO_END if status == "KILLED" else SECONDS_TO_FAIL
            call_within(seconds, partial(tracked.end, status, files))
        except TrackingError as refusal:
            warn(f"the run was not closed where it is recorded: {refusal}")
        else:
            with suppress(OSError):
                note(folder, tracked, complete=True)
        raise


def train(
    training: Training, ready: Ready, checkpoints: Checkpoints, tracked: TrackedRun, observers: list[Observer]
) -> None:
    """Train to the end, with checkpoints; a signal waits until the step ends and a checkpoint is written."""
    for moment, metrics in training.history(0).evaluations():
        tracked.log(moment, metrics)  # of before it was resumed; the tracker skips those it has
    with terminal.progress(ready.experiment.trainer, verbose=ready.experiment.verbose is not False) as show:

        def observe(moment: int, _runs: Sequence[int], row: Row) -> None:
            metrics = {name: float(values[0]) for name, values in row.items() if not isnan(values[0])}
            tracked.log(moment, metrics)
            show(moment, metrics)

        observers.append(observe)
        with waiting_interrupts() as interruption:
            while training.advance(
                pause=lambda steps: interruption.asked or checkpoints.due(steps), every=checkpoints.every
            ):
                checkpoints.write(training)
                interruption.happen()
            if checkpoints.wanted or interruption.asked:
                checkpoints.write(training)


def write(training: Training, ready: Ready, record: RunRecord, folder: Path, tracked: TrackedRun) -> Result:
    """Write the files of a trained run, its result last, and return the result."""
    (outcome,) = training.outcomes().values()
    experiment = ready.experiment

    def write_to(folder: Path) -> Result:
        result = result_of(ready, outcome, folder, seconds=training.seconds)
        if not is_there(folder / RECORD):  # the folder was removed, or is another one
            write_record(folder, record, experiment)
        shown, figures = bool(tracked.uri or read_tracked(folder)), experiment.draws(alone=True)
        write_run(ready, outcome, result, figures=figures, shown=shown, durable=True)
        return result

    result = write_or_rescue(write_to, folder)
    return replace(result, rescued=result.folder != folder)


def record_run(tracked: TrackedRun, folder: Path, output_dir: Path, *, own: Path, recorder: Beside | None) -> None:
    """Record the finished run in a folder, its own or where it was rescued; if that fails, it is delivered later."""
    meanwhile("Recording the run")
    try:
        if tracked.uri:
            serve(folder) if recorder is None else recorder.do(serve, folder)
        tracked.finish(finished_run(folder))
    except (TrackingError, DamagedError, OSError) as error:
        again = deliver_command(output_dir, tracked.uri)
        warn(f"not recorded: {error}. All of the run is in {folder}; to record it later: {again}")
    else:
        for place in {folder, own}:
            with suppress(OSError):  # it is then delivered again, which finds everything there
                note(place, tracked, complete=True)


def _tell(observers: Sequence[Observer], moment: int, runs: Sequence[int], row: Row) -> None:
    for observe in observers:
        observe(moment, runs, row)
