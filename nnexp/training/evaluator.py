"""Evaluates a stack: the losses and metrics of all its runs, on every part of the data."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.data.dataset import Data
from nnexp.nn.layers import Layer
from nnexp.nn.losses import Loss
from nnexp.nn.network import Network
from nnexp.training.batches import Examples
from nnexp.training.diagnostic import diagnostic_names
from nnexp.training.history import Row
from nnexp.training.metrics import MetricName, evaluate, metrics_for
from nnexp.training.stack import Stack
from nnexp.training.tape import Results
from nnexp.training.trainer import Trainer

TRAIN = "train"
CANDIDATES = 2000
"""The most examples among which nearest neighbours are searched: the number of distances is its square."""


class Evaluator:
    """Evaluates a stack on the parts of its data.

    Raises UserError if a metric does not fit the data.

    Args:
        of_runs: The data set of all runs, or that of each.
        loss: The loss of any of the runs, which encodes the targets.
        chosen: The metrics, or None for the default of the data.
        dtype: The dtype of training.
    """

    def __init__(
        self, of_runs: Sequence[Data], loss: Loss, chosen: tuple[MetricName, ...] | None, dtype: npt.DTypeLike
    ) -> None:
        data = of_runs[0]
        self._task, self._metrics = data.task, metrics_for(data, chosen)
        self._parts = {
            name: Examples.of_runs([one.parts()[name] for one in of_runs], data.task, loss, dtype)
            for name in data.parts()
        }
        self._labelled = {} if data.labelled is None else {TRAIN: data.labelled.train, **data.labelled.parts()}
        self._dtype = dtype
        self.names = metric_names(data, chosen)

    def keep(self, runs: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs."""
        self._parts = {name: part.keep(runs) for name, part in self._parts.items()}

    def evaluate(self, stack: Stack, z: Array, seen: Examples, *, fully: bool) -> tuple[Array, Row]:
        """Return the loss of every training example of a round, shape (runs, examples), and the row of metrics.

        Args:
            stack: The stack after the round.
            z, seen: The logits of the round, each from before its step, and their examples.
            fully: Whether to take all metrics of all parts, or `train/loss` alone.
        """
        parts = self._parts if fully else None
        row = dict(stack.evaluate(self._row, z, seen, parts))
        return row.pop("losses"), row

    def start(self, stack: Stack, training: Examples) -> Row:
        """Return the row of metrics before the first step; those of the training part are as those of the others.

        They are of all its examples, without dropout, and normalized by running statistics, which are those of the
        start; after a round they are of the examples of its batches, each from before its step.
        """
        z = stack.network.predict(training.rows())
        row = dict(self._row(stack.loss, stack.network, z, training=training, parts=self._parts))
        del row["losses"]
        return row

    def _row(
        self, loss: Loss, network: Network, z: Array, training: Examples, parts: Mapping[str, Examples] | None
    ) -> Results:
        """Return the losses of the training examples and the metrics, of the other parts only if they are given."""
        losses = losses_of(loss, z, training)
        row = {"losses": losses, f"{TRAIN}/loss": losses.mean(axis=-1)}
        if parts is None:
            return row
        row |= self._scores(TRAIN, loss, network, z=z, examples=training)
        for name, examples in parts.items():
            predicted = network.predict(examples.rows())
            row[f"{name}/loss"] = losses_of(loss, predicted, examples).mean(axis=-1)
            row |= self._scores(name, loss, network, z=predicted, examples=examples)
        return row

    def _scores(self, part: str, loss: Loss, network: Network, z: Array, examples: Examples) -> Results:
        """Return all metrics of a part but its loss, given its logits."""
        targets = examples.targets
        if self._metrics and part in self._labelled:  # the examples that pairs and triplets were drawn from
            labelled = self._labelled[part]
            z, targets = network.predict(labelled.x[:CANDIDATES].astype(self._dtype)), labelled.targets[:CANDIDATES]
        return {f"{part}/{name}": evaluate(name, loss, z, targets, task=self._task) for name in self._metrics}


def all_names(data: Data, trainer: Trainer, layers: Sequence[Layer]) -> list[str]:
    """Return the names of everything that is evaluated: of all metrics, and of what the diagnostics see.

    Raises UserError if a chosen metric or a diagnostic does not fit.
    """
    return [*metric_names(data, trainer.metrics), *diagnostic_names(trainer.diagnostics, data.task, layers)]


def metric_names(data: Data, chosen: tuple[MetricName, ...] | None) -> list[str]:
    """Return the names of all metrics of all parts, such as `test/loss`.

    Raises UserError if a chosen metric does not fit the data.
    """
    metrics = metrics_for(data, chosen)
    return [f"{part}/{metric}" for metric in ("loss", *metrics) for part in (TRAIN, *data.parts())]


def losses_of(loss: Loss, z: Array, examples: Examples) -> Array:
    """Return the loss of every example times its weight, shape (runs, examples)."""
    losses = loss.forward(z, examples.y)
    return losses if examples.weights is None else losses * examples.weights


def diverged_step(losses: Array, before: int, steps: int) -> int:
    """Return the step whose batch had the first loss that is not finite, given one run's losses of its last round.

    The round began after the step `before` and had `steps` steps, all with the same number of examples but perhaps the
    last. If all of these losses are finite, and only the loss after the round is not, it is the last step.
    """
    bad = np.flatnonzero(~np.isfinite(losses))
    return before + 1 + int(bad[0]) // -(-len(losses) // steps) if len(bad) else before + steps
