"""One run, from its config to its logged results."""

import csv
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
from omegaconf import OmegaConf

from nnexp import terminal
from nnexp.component import Array
from nnexp.config.compose import compose_experiment, default_config
from nnexp.config.experiment import Experiment
from nnexp.config.identity import config_hash, flat, resolved, without_effect
from nnexp.data.dataset import Data
from nnexp.errors import UserError
from nnexp.files import atomically, new_folder, write_text
from nnexp.plots.run import run_figures
from nnexp.plots.style import styled
from nnexp.report import RunReport
from nnexp.tracking.environment import environment
from nnexp.tracking.tracker import DatasetFacts, RunFacts, Status, TrackedRun
from nnexp.training.history import History, Outcome, Row
from nnexp.training.loop import train
from nnexp.training.predictions import Predictions, predict
from nnexp.training.roster import Observer
from nnexp.training.trained import Trained

BLAS_THREADS = 1
"""Matrices are small, and a thread count that varies could change the last bits of a product."""
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

    def best_loss(self) -> float | None:
        """Return the lowest test loss, or None where nothing was evaluated."""
        return self.history.at(self.history.best())["test/loss"] if len(self.history) else None


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


def execute(experiment: Experiment, overrides: Sequence[str] = (), *, alone: bool = True) -> Result:
    """Train, draw and track one checked experiment; the overrides name and explain it.

    Arguments
    ---------
    experiment
        What to train.
    overrides
        What was asked for.
    alone
        Whether figures are drawn and tables shown where the config leaves it open.

    Raises
    ------
    UserError
        Before anything is trained, if data, loss, output folder or tracking do not go together.

    """
    from threadpoolctl import threadpool_limits

    data = experiment.dataset.load()
    recipe = experiment.recipe(data)
    experiment.tracking.check()
    output_dir = writable_folder(experiment.output_dir)
    tracker = experiment.tracking.open(output_dir)
    figures, verbose = (alone if choice is None else choice for choice in (experiment.figures, experiment.verbose))
    name = run_name(overrides) or data.name
    identity = config_hash(experiment)
    with threadpool_limits(BLAS_THREADS), _sigterm_interrupts():
        facts = RunFacts(
            group=data.name,
            name=name,
            parameters={key: value for key, value in flat(resolved(experiment)).items() if not without_effect(key)},
            tags={**environment(), "config_hash": identity},
            dataset=dataset_facts(experiment, data),
        )
        with _tracked(tracker.start(facts, experiment.trainer.evaluations())) as tracked:
            with terminal.progress(experiment.trainer, verbose=verbose) as show:
                observe = _observer(tracked, show)
                (outcome,) = train([recipe], data, experiment.trainer, experiment.dtype, observe, watch_layers=figures)
            trained = Trained(recipe, outcome.learned, data)
            result = Result(
                name=name,
                command=shlex.join(["python", "-m", "nnexp", *overrides]),
                config=resolved(experiment),
                config_hash=identity,
                history=outcome.history,
                predictions=predict(trained) if outcome.diverged_step is None else None,
                parameters=trained.parameters(),
                diverged_step=outcome.diverged_step,
                stopped=outcome.stopped,
                snapshots={
                    time: Trained(recipe, learned, data).parameters() for time, learned in outcome.snapshots.items()
                },
                folder=new_folder(
                    output_dir / data.name, f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{slug(name)}_{identity}"
                ),
                notes=data.notes,
                links=tracked.where(),
            )
            write_files(result)
            drawn = draw_figures(result, trained, outcome) if figures else []
            write_text(result.folder / "report.md", report(result, experiment.question, drawn).markdown())
            tracked.finish(best_metrics(result), outcome_tags(result), describe(result), result.folder)
    if verbose:
        terminal.show_results(result.history, result.predictions, result.diverged_step, result.notes, where(result))
    else:
        terminal.show_line(name, result.history, result.diverged_step)
    return result


def writable_folder(path: str) -> Path:
    """Return the absolute path of the output folder, made if needed.

    Raises
    ------
    UserError
        If nothing can be written there.

    """
    folder = Path(path).expanduser().absolute()
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


def dataset_facts(experiment: Experiment, data: Data) -> DatasetFacts:
    """Return what identifies the data of a run: its digest is of the training and test arrays, split and scaled."""
    digest = hashlib.sha256()
    for part in (data.train, data.test):
        for array in (part.x, part.targets):
            digest.update(np.ascontiguousarray(array).data)  # without a copy
    schema = {"train": [*data.train.x.shape], "test": [*data.test.x.shape], "classes": [*data.task.classes]}
    return DatasetFacts(data.name, digest.hexdigest()[:8], json.dumps(resolved(experiment.dataset)), schema)


def write_files(result: Result) -> None:
    """Write config, history and parameters into the run's folder."""
    write_text(result.folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(result.config))))
    with atomically(result.folder / "history.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([result.history.unit, *result.history.metrics])
        writer.writerows(zip(result.history.times, *result.history.metrics.values(), strict=True))
    with atomically(result.folder / "parameters.npz") as path:
        np.savez(path, allow_pickle=False, **result.parameters)
    for moment, snapshot in result.snapshots.items():
        with atomically(result.folder / f"parameters_{result.history.unit}_{moment}.npz") as path:
            np.savez(path, allow_pickle=False, **snapshot)


def draw_figures(result: Result, trained: Trained, outcome: Outcome) -> list[str]:
    """Draw the figures of a run into its folder, and return their names."""
    (result.folder / "figures").mkdir()
    figures = run_figures(trained, outcome, result.predictions)
    with styled():
        for name, draw in figures.items():
            with atomically(result.folder / "figures" / f"{name}.png") as path:
                draw().savefig(path)
    return list(figures)


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


def best_metrics(result: Result) -> dict[str, float]:
    """Return the metrics of the best epoch under names of their own."""
    if not len(result.history):
        return {}
    best = result.history.best()
    metrics = {f"best/{name}": value for name, value in result.history.at(best).items()}
    return {**metrics, f"best/{result.history.unit}": float(result.history.times[best])}


def outcome_tags(result: Result) -> dict[str, str]:
    """Return the tags by which diverged runs are found; not a number is never logged as a metric."""
    tags = {"diverged": str(result.diverged_step is not None).lower()}
    if result.diverged_step is not None:
        tags["diverged_step"] = str(result.diverged_step)
    return tags if result.stopped is None else {**tags, "stopped": result.stopped}


def describe(result: Result) -> str:
    """Return the run in a few lines of Markdown."""
    lines = [
        f"    {result.command}",
        terminal.summary(result.history, result.diverged_step),
        f"Files: `{result.folder}`",
    ]
    return "\n\n".join(lines)


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
        run.end(status)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
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
