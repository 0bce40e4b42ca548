"""One run, from its config to its logged results."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from nnexp import __version__
from nnexp.config.compose import default_config
from nnexp.config.experiment import Experiment
from nnexp.config.identity import config_hash, without_effect
from nnexp.config.overrides import command, run_name, slug
from nnexp.core.component import Array, flat, resolved
from nnexp.core.errors import UserError, warn
from nnexp.core.files import absolute, write_text
from nnexp.data.dataset import Data, Dataset
from nnexp.limits import check_limits, step_bytes
from nnexp.nn.losses import snake_case
from nnexp.plots.run import run_figures
from nnexp.plots.style import save_figures
from nnexp.report.rows import summary
from nnexp.report.run_report import RunReport
from nnexp.storage.run_folder import CONFIG, PARAMETERS, RunSummary, write_history, write_parameters, write_yaml
from nnexp.storage.saved_model import write_model
from nnexp.storage.served_model import SERVED, write_served_model
from nnexp.tracking.tracker import DatasetFacts, RunFacts
from nnexp.training.history import History, Outcome
from nnexp.training.metrics import lower_is_better
from nnexp.training.model import Trained
from nnexp.training.predictions import Predictions, predict
from nnexp.training.stack import Recipe


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
        return command(*self.overrides)

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
        return Trained.of(self.recipe, outcome.learned, self.data)

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
                moment: Trained.of(self.recipe, learned, self.data).parameters()
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
        If data and the rest do not go together, need more memory or disk than there is, or are to be gone on with.

    """
    if experiment.resume is not None:
        raise UserError(f"resume={experiment.resume}: must be null in a sweep; its command given again goes on with it")
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


def write_run(ready: Ready, outcome: Outcome, result: Result, *, figures: bool, served: bool = False) -> None:
    """Write everything about a run into its folder, its summary last; served, it is a model of MLflow, too."""
    folder = result.folder
    write_yaml(folder / CONFIG, result.config)
    write_history(folder, result.history)
    write_parameters(folder / PARAMETERS, result.parameters)
    if outcome.diverged_step is None:
        _write_model(ready.trained(outcome), folder, served=served)
    for moment, snapshot in result.snapshots.items():
        write_parameters(folder / f"parameters_{result.history.unit}_{moment}.npz", snapshot)
    drawn: list[str] = []
    if figures:
        (folder / "figures").mkdir(exist_ok=True)  # also where nothing can be drawn: it says that figures were wanted
        drawn = save_figures(run_figures(ready.trained(outcome), outcome, result.predictions), folder / "figures")
    write_text(folder / "report.md", report(result, ready.experiment.question, drawn).markdown())
    result.summary.write(folder)


def _write_model(trained: Trained, folder: Path, *, served: bool) -> None:
    """Write what it takes to predict; data of one's own may have what does not fit there, which harms no run."""
    try:
        write_model(folder, trained)
        if served:
            write_served_model(folder / SERVED, folder)
    except UserError as error:
        warn(f"the run cannot be asked for predictions later: {error}")


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
    return f"    {command}\n\n{summary(history, diverged_step)}\n\nFiles: `{folder}`"


def where(result: Result) -> list[str]:
    """Return lines that tell a person where the files are and how to open MLflow on them."""
    return [f"Files   {result.folder}", *[f"{title:7} {line}" for title, line in result.links]]
