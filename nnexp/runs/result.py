"""The result of a run, as Python gets it, and its summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnexp import __version__
from nnexp.core.component import Array, resolved
from nnexp.runs.prepare import Ready
from nnexp.runs.story import sentences
from nnexp.storage.run_folder import RunSummary
from nnexp.training.history import History, Outcome
from nnexp.training.metrics import lower_is_better
from nnexp.training.model import Trained
from nnexp.training.predictions import Predictions, predict


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes:
        name: The name of the run, made of its overrides.
        command: The command that trains the same run.
        config: The resolved config: every field, defaults included.
        config_hash: The run's identity: a hash of everything in the config that its numbers depend on.
        history: `history.times` (epochs) and `history.metrics["test/loss"]` and so on, as arrays.
        predictions: The predictions for the test part, with the true targets and a baseline: classes and probabilities,
            numbers, or embeddings. None if the run diverged.
        parameters: The trained parameters by name, such as `0.weight`.
        diverged_step: The step at which the loss was no longer finite, or None.
        stopped: Why the run ended early, as `early stopping`, `time limit` or `test/loss below 0.2`; or None.
        snapshots: The parameters at the times of `trainer.snapshots`.
        folder: The folder with the run's files.
        rescued: Whether that is in the temporary directory, since the files could not be written where they belong.
        story: What became of it, in sentences, with the command to try next; empty where it simply learned.
        notes: Notes on what was done to the data.
        links: How to open the run in MLflow, as pairs of a title and a command or address; empty without tracking.
        summary: The result in a few numbers.
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
    story: Sequence[str]
    notes: Sequence[str]
    links: Sequence[tuple[str, str]]
    summary: RunSummary
    rescued: bool = False


def result_of(
    ready: Ready, outcome: Outcome, folder: Path, seconds: float, links: Sequence[tuple[str, str]] = ()
) -> Result:
    """Return the result of the training of a run."""
    trained = ready.trained(outcome)
    predictions = predict(trained) if outcome.diverged_step is None else None
    summary = _summary(ready, outcome, predictions, seconds)
    return Result(
        name=ready.name,
        command=ready.command,
        config=resolved(ready.experiment),
        config_hash=ready.config_hash,
        history=outcome.history,
        predictions=predictions,
        parameters=trained.parameters(),
        diverged_step=outcome.diverged_step,
        stopped=outcome.stopped,
        snapshots={
            moment: Trained.of(ready.recipe, learned, ready.data).parameters()
            for moment, learned in outcome.snapshots.items()
        },
        folder=folder,
        story=sentences(ready, outcome, summary),
        notes=ready.data.notes,
        links=links,
        summary=summary,
    )


def _summary(ready: Ready, outcome: Outcome, predictions: Predictions | None, seconds: float) -> RunSummary:
    history, trained = outcome.history, outcome.history.trained
    known = {} if predictions is None else predictions.baselines()
    left = len(trained) > 0 and outcome.diverged_step is None
    return RunSummary(
        config_hash=ready.config_hash,
        data_digest=ready.dataset.digest,
        version=__version__,
        unit=history.unit,
        length=ready.experiment.trainer.length,
        end=trained.at(-1) if len(trained) else {},
        best={
            name: float(values.min() if lower_is_better(name) else values.max())
            for name, values in (trained.metrics.items() if len(trained) else ())
        },
        best_time=int(trained.times[trained.best()]) if len(trained) else None,
        at_best=trained.at(trained.best()) if len(trained) else {},
        baselines={f"test/{metric}": value for metric, (_, value) in known.items()},
        diverged_step=outcome.diverged_step,
        stopped=outcome.stopped,
        seconds=seconds,
        examples={name: len(part) for name, part in ready.data.parts().items()},
        final=history.at(outcome.final) if left else {},
        final_time=int(history.times[outcome.final]) if left else None,
    )
