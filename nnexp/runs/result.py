"""The result of a run, as Python gets it, and its summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nnexp import __version__
from nnexp.core.component import Array, resolved
from nnexp.plots.drawn import DrawnFigures
from nnexp.plots.run import run_figures
from nnexp.report.html import fragment
from nnexp.report.look import about, network_rows, part_rows
from nnexp.report.markdown import escaped, table
from nnexp.report.rows import metric_rows
from nnexp.report.rows import summary as in_words
from nnexp.runs.prepare import Ready
from nnexp.runs.story import sentences
from nnexp.storage.run_folder import RunSummary
from nnexp.storage.saved_model import predictor
from nnexp.training.history import NOTHING, History, Outcome
from nnexp.training.metrics import lower_is_better
from nnexp.training.model import Trained
from nnexp.training.predictions import Predictions, predict
from nnexp.training.stack import Stack

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
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
        trained: The network, and the data that it was trained on, split and scaled.
        outcome: What the training gave, as the figures need it.
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
    trained: Trained
    outcome: Outcome
    rescued: bool = False

    def __repr__(self) -> str:
        """Return its name, what came out and its folder, in a line."""
        return f"{self.name}: {in_words(self.history, self.diverged_step, self.summary.final_time)} ({self.folder})"

    def _repr_html_(self) -> str:
        """Return its command, its metrics and its curves, for notebooks."""
        rows = metric_rows(self.history, self.predictions, self.summary.final_time) if len(self.history) else []
        parts = ["", *self.history.parts()]
        text = "\n\n".join([f"    {self.command}", *([table(parts, rows)] if rows else []), *self.story])
        curves = [f'<img alt="curves" src="{self.figures.address("curves")}">'] if "curves" in self.figures else []
        return "\n".join([fragment(text), *curves])

    @property
    def about(self) -> str:
        """Return what was learned with what, in Markdown: the parts of the data, and the layers of the network."""
        data = self.trained.data
        parts = table(("part", "examples"), part_rows(data))
        return "\n\n".join([f"{escaped(about(data))}.", parts, table(*network_rows(self.trained))])

    @property
    def figures(self) -> DrawnFigures:
        """Return the figures of the run by name, each drawn when it is asked for."""
        return DrawnFigures(run_figures(self.trained, self.outcome, self.predictions))

    def frame(self) -> "pd.DataFrame":
        """Return the history as a table: a row for every evaluation, with its time as the index."""
        import pandas as pd

        return pd.DataFrame(self.history.metrics, index=pd.Index(self.history.times, name=self.history.unit))

    def predict(self, x: "npt.ArrayLike | pd.DataFrame") -> npt.NDArray[np.generic]:
        """Return the predictions for raw features: names of classes, shape (examples,), or numbers or embeddings.

        Raises UserError if the features are not those of the training.

        Args:
            x: An array of shape (examples, features), or a table with the columns of the training.
        """
        model = predictor(self.trained)
        columns = model.answers(model.raw(x))
        if columns[0][0] == "predicted":
            return np.array(columns[0][1])
        values = np.column_stack([column for _, column in columns])
        return values[:, 0] if len(columns) == 1 else values


def result_of(ready: Ready, outcome: Outcome, folder: Path, seconds: float) -> Result:
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
        links=(),
        summary=summary,
        trained=trained,
        outcome=outcome,
    )


def summary_before(ready: Ready) -> RunSummary:
    """Return what is known of the result of a run before it is trained, baselines included."""
    stack = Stack([ready.recipe], ready.data.train.x.shape[-1], ready.experiment.dtype)
    outcome = Outcome(replace(NOTHING, unit=ready.experiment.trainer.unit), stack.learned(0))
    return _summary(ready, outcome, predict(ready.trained(outcome)), 0.0)


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
            name: float(np.nanmin(values) if lower_is_better(name) else np.nanmax(values))
            for name, values in (trained.metrics.items() if len(trained) else ())
            if not np.isnan(values).all()
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
