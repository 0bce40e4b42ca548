"""One run, from its config to its logged results."""

import hashlib
import json
import re
import shlex
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType

import numpy as np

from nnexp import __version__, terminal
from nnexp.component import Array
from nnexp.config.compose import compose_experiment, default_config
from nnexp.config.experiment import Experiment
from nnexp.config.identity import config_hash, flat, resolved, without_effect
from nnexp.data.dataset import Data, Dataset
from nnexp.errors import UserError
from nnexp.files import absolute, new_folder, write_text
from nnexp.limits import check_limits, step_bytes
from nnexp.nn.losses import snake_case
from nnexp.plots.run import run_figures
from nnexp.plots.style import save_figures
from nnexp.report import RunReport
from nnexp.run_folder import CONFIG, RunSummary, note_tracked, write_history, write_parameters, write_yaml
from nnexp.tracking.environment import environment
from nnexp.tracking.tracker import DatasetFacts, RunFacts, Status, TrackedRun, TrackingError
from nnexp.training.history import History, Outcome, Row
from nnexp.training.loop import train
from nnexp.training.metrics import lower_is_better
from nnexp.training.predictions import Predictions, predict
from nnexp.training.roster import Observer
from nnexp.training.stack import Recipe
from nnexp.training.trained import Trained
from nnexp.training.worker import BLAS_THREADS

SLUG_LENGTH = 60
"""The most characters of a run's name in the name of its folder."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end with SIGTERM."""


@dataclass(frozen=True)
class Result:
    """What a run gives back.

    Attributes
    ----------
    name
        What sets the run apart.
    command
        The command that does the same.
    config
        The resolved config: every field, defaults included.
    config_hash
        The run's identity: a hash of everything in the config that its numbers depend on.
    history
        `history.times` (epochs) and `history.metrics["test/loss"]` and so on, as arrays.
    predictions
        What the network says of the test part, beside what is true, and a baseline to compare it with: classes and
        probabilities, numbers, or embeddings. None if the run diverged.
    parameters
        The trained parameters by name, such as `0.weight`.
    diverged_step
        The step at which the loss was no longer finite, or None.
    stopped
        Why the run ended before its time, `early stopping` or `time limit`; or None.
    snapshots
        The parameters at the times of `trainer.snapshots`.
    folder
        Where the run's files are.
    notes
        What was done to the data that a person should know.
    links
        How to open MLflow on the run, as pairs of a title and a line; empty without tracking.
    summary
        The result in a few numbers.

    """

    name: str
    command: str
    config: Mapping[str, object]
    config_hash: str
    history: History
    predictions: Predictions | None
    parameters: Mapping[str, Array]
    diverged_step: int | None
    stopped: str | None
    snapshots: Mapping[int, Mapping[str, Array]]
    folder: Path
    notes: Sequence[str]
    links: Sequence[tuple[str, str]]
    summary: RunSummary


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


@dataclass(frozen=True)
class Ready:
    """A run that is checked and can be trained.

    Attributes
    ----------
    experiment
        What to train.
    overrides
        What was asked for.
    name
        What sets the run apart.
    data, dataset
        What it is trained on, and what is recorded of that.
    recipe
        What the training loop needs.
    config_hash
        The run's identity.

    """

    experiment: Experiment
    overrides: Sequence[str]
    name: str
    data: Data
    dataset: DatasetFacts
    recipe: Recipe
    config_hash: str

    @property
    def command(self) -> str:
        """Return the command that does this run."""
        return shlex.join(["python", "-m", "nnexp", *self.overrides])

    @property
    def step_bytes(self) -> int:
        """Return about how much memory the run works on in a step."""
        return step_bytes(self.experiment, self.data, self.recipe)

    @property
    def folder_name(self) -> str:
        """Return the name of the run's folder, but for the time."""
        return f"{slug(self.name)}_{self.config_hash}"

    def facts(self, tags: Mapping[str, str]) -> RunFacts:
        """Return what a tracker is told before the training."""
        config = flat(resolved(self.experiment))
        return RunFacts(
            group=self.data.name,
            name=self.name,
            parameters={key: value for key, value in config.items() if not without_effect(key)},
            tags={**tags, "config_hash": self.config_hash},
            dataset=self.dataset,
        )

    def trained(self, outcome: Outcome) -> Trained:
        """Return the trained network."""
        return Trained(self.recipe, outcome.learned, self.data)

    def result(self, outcome: Outcome, folder: Path, seconds: float, links: Sequence[tuple[str, str]] = ()) -> Result:
        """Return the result of the training."""
        trained = self.trained(outcome)
        predictions = predict(trained) if outcome.diverged_step is None else None
        return Result(
            name=self.name,
            command=self.command,
            config=resolved(self.experiment),
            config_hash=self.config_hash,
            history=outcome.history,
            predictions=predictions,
            parameters=trained.parameters(),
            diverged_step=outcome.diverged_step,
            stopped=outcome.stopped,
            snapshots={
                moment: Trained(self.recipe, learned, self.data).parameters()
                for moment, learned in outcome.snapshots.items()
            },
            folder=folder,
            notes=self.data.notes,
            links=links,
            summary=self._summary(outcome, predictions, seconds),
        )

    def _summary(self, outcome: Outcome, predictions: Predictions | None, seconds: float) -> RunSummary:
        history, known = outcome.history, {} if predictions is None else predictions.baselines()
        return RunSummary(
            config_hash=self.config_hash,
            data_digest=self.dataset.digest,
            version=__version__,
            unit=history.unit,
            length=self.experiment.trainer.length,
            end=history.at(-1) if len(history) else {},
            best={
                name: float(values.min() if lower_is_better(name) else values.max())
                for name, values in (history.metrics.items() if len(history) else ())
            },
            best_time=int(history.times[history.best()]) if len(history) else None,
            at_best=history.at(history.best()) if len(history) else {},
            baselines={f"test/{metric}": value for metric, (_, value) in known.items()},
            diverged_step=outcome.diverged_step,
            stopped=outcome.stopped,
            seconds=seconds,
        )


def prepare(
    experiment: Experiment,
    overrides: Sequence[str] = (),
    name: str | None = None,
    loaded: tuple[Data, DatasetFacts] | None = None,
) -> Ready:
    """Return a checked experiment as a run that can be trained.

    Arguments
    ---------
    experiment
        What to train.
    overrides
        What was asked for; they name and explain the run.
    name
        What sets the run apart; None makes it of the overrides.
    loaded
        The data, where another run has loaded it before.

    Raises
    ------
    UserError
        If data and the rest do not go together, or need more memory or disk than there is.

    """
    data, dataset = loaded or load(experiment.dataset)
    recipe = experiment.recipe(data)
    check_limits(experiment, data, recipe)
    return Ready(
        experiment,
        overrides,
        name or run_name(overrides) or data.name,
        data,
        dataset,
        recipe,
        config_hash(experiment),
    )


def load(dataset: Dataset) -> tuple[Data, DatasetFacts]:
    """Return the data and what is recorded of it: the digest is of the training and test arrays, split and scaled.

    Raises
    ------
    UserError
        If the examples are not what the config says, or there is no memory for them.

    """
    try:
        data = dataset.load()
    except MemoryError as error:
        raise UserError(f"dataset={snake_case(type(dataset))}: must fit into memory ({error})") from error
    digest = hashlib.sha256()
    for part in (data.train, data.test):
        for array in (part.x, part.targets):
            digest.update(np.ascontiguousarray(array).data)  # without a copy
    schema = {"train": [*data.train.x.shape], "test": [*data.test.x.shape], "classes": [*data.task.classes]}
    return data, DatasetFacts(data.name, digest.hexdigest()[:8], json.dumps(resolved(dataset)), schema)


def execute(
    experiment: Experiment, overrides: Sequence[str] = (), *, alone: bool = True, parent: str | None = None
) -> Result:
    """Train, draw and track one checked experiment; the overrides name and explain it.

    Arguments
    ---------
    experiment
        What to train.
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

    """
    from threadpoolctl import threadpool_limits

    ready = prepare(experiment, overrides)
    experiment.tracking.check()
    output_dir = writable_folder(experiment.output_dir)
    tracker = experiment.tracking.open(output_dir)
    figures, verbose = (alone if choice is None else choice for choice in (experiment.figures, experiment.verbose))
    with threadpool_limits(BLAS_THREADS), sigterm_interrupts():
        facts = ready.facts(environment())
        with _tracked(tracker.start(facts, experiment.trainer.evaluations(), parent)) as tracked:
            started = time.monotonic()
            with terminal.progress(experiment.trainer, verbose=verbose) as show:
                observe = _observer(tracked, show)
                (outcome,) = train(
                    [ready.recipe], ready.data, experiment.trainer, experiment.dtype, observe, watch_layers=figures
                )
            seconds = time.monotonic() - started
            folder = new_folder(
                output_dir / ready.data.name, f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{ready.folder_name}"
            )
            result = ready.result(outcome, folder, seconds, tracked.where())
            write_run(ready, outcome, result, figures=figures)
            description = describe(result.command, result.history, result.diverged_step, folder)
            try:
                tracked.finish(best_metrics(result.summary), outcome_tags(result.summary), description, folder)
            except TrackingError as error:
                terminal.warn(f"not recorded: {error}. All of the run is in {folder}")
            else:
                if tracked.run_id is not None:
                    note_tracked(folder, tracked.uri, tracked.run_id)
    if verbose:
        terminal.show_results(result.history, result.predictions, result.diverged_step, result.notes, where(result))
    else:
        terminal.show_line(result.name, result.history, result.diverged_step)
    return result


def writable_folder(path: str) -> Path:
    """Return the absolute path of the output folder, made if needed.

    Raises
    ------
    UserError
        If nothing can be written there.

    """
    folder = absolute(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"output_dir={path}: must be a folder that can be written to ({error.strerror})") from error
    return folder


def run_name(overrides: Sequence[str]) -> str:
    """Return what sets a run apart, its overrides with short keys, as in `learning_rate=0.3 scale=0.1`."""
    parts = []
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if not without_effect(key) and not key.startswith("hydra"):
            parts.append(value if key == "experiment" else f"{re.split('[./]', key)[-1]}={value}")
    return " ".join(parts)


def slug(name: str) -> str:
    """Return a name as a part of a path: short, and without characters that a shell or a file system minds."""
    return re.sub(r"[^\w.=+-]+", "_", name).strip("_.")[:SLUG_LENGTH]


def write_run(ready: Ready, outcome: Outcome, result: Result, *, figures: bool) -> None:
    """Write everything about a run into its folder, its summary last."""
    folder = result.folder
    write_yaml(folder / CONFIG, result.config)
    write_history(folder, result.history)
    write_parameters(folder / "parameters.npz", result.parameters)
    for moment, snapshot in result.snapshots.items():
        write_parameters(folder / f"parameters_{result.history.unit}_{moment}.npz", snapshot)
    drawn: list[str] = []
    if figures:
        (folder / "figures").mkdir(exist_ok=True)  # also where nothing can be drawn: it says that figures were wanted
        drawn = save_figures(run_figures(ready.trained(outcome), outcome, result.predictions), folder / "figures")
    write_text(folder / "report.md", report(result, ready.experiment.question, drawn).markdown())
    result.summary.write(folder)


def report(result: Result, question: str | None, figures: Sequence[str]) -> RunReport:
    """Return the report of a run."""
    return RunReport(
        result.name,
        question,
        result.command,
        result.config,
        default_config(),
        result.history,
        result.predictions,
        result.diverged_step,
        result.stopped,
        result.notes,
        figures,
    )


def best_metrics(summary: RunSummary) -> dict[str, float]:
    """Return the metrics of the best epoch under names of their own."""
    if summary.best_time is None:
        return {}
    metrics = {f"best/{name}": value for name, value in summary.at_best.items()}
    return {**metrics, f"best/{summary.unit}": float(summary.best_time)}


def outcome_tags(summary: RunSummary) -> dict[str, str]:
    """Return the tags by which diverged runs are found; not a number is never logged as a metric."""
    tags = {"diverged": str(summary.diverged_step is not None).lower()}
    if summary.diverged_step is not None:
        tags["diverged_step"] = str(summary.diverged_step)
    return tags if summary.stopped is None else {**tags, "stopped": summary.stopped}


def describe(command: str, history: History, diverged_step: int | None, folder: Path) -> str:
    """Return a run in a few lines of Markdown."""
    return f"    {command}\n\n{terminal.summary(history, diverged_step)}\n\nFiles: `{folder}`"


def where(result: Result) -> list[str]:
    """Return lines that tell a person where the files are and how to open MLflow on them."""
    return [f"Files   {result.folder}", *[f"{title:7} {line}" for title, line in result.links]]


def _observer(tracked: TrackedRun, show: terminal.Progress) -> Observer:
    def observe(epoch: int, runs: Sequence[int], row: Row) -> None:
        for run in range(len(runs)):
            metrics = {name: float(values[run]) for name, values in row.items()}
            tracked.log(epoch, metrics)
            show(epoch, metrics)

    return observe


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


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does; only the main thread of a process can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
