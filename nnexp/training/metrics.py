"""The metrics of an evaluation, for all runs of a stack at once: one row of `METRICS` each.

They take predictions and targets with the examples on their last axis and return one value per run. They agree with
scikit-learn's functions of these names; where a class is never predicted, its precision counts as 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from nnexp.core.component import Array, Labels
from nnexp.core.errors import UserError
from nnexp.core.task import Task
from nnexp.core.words import one_of
from nnexp.data.dataset import Data
from nnexp.nn.losses import Loss

SHARE, MEAN, DIAGNOSTIC = "share of examples", "mean over examples", "diagnostic"
"""The units of metrics from 0 to 1, of losses, and of what is no metric but a diagnostic."""
NUMBERS = ("regression",)


@dataclass(frozen=True)
class Predicted:
    """The predictions of the runs of a stack for some examples, and the true targets.

    Attributes:
        loss: Turns logits into predictions.
        z: The logits, shape (runs, examples, outputs).
        targets: The targets of the data, shape (examples, ...) or (runs, examples, ...).
        task: The task of the data.
    """

    loss: Loss
    z: Array
    targets: Array | Labels
    task: Task

    @property
    def labels(self) -> Labels:
        """Return the true class of every example."""
        shares = self.task.kind == "distribution"
        labels: Labels = self.targets.argmax(axis=-1) if shares else self.targets.astype(np.intp, copy=False)
        return labels

    @property
    def decided(self) -> Labels:
        """Return the most probable class of every example."""
        return self.loss.decide(self.z)

    @property
    def probabilities(self) -> Array:
        """Return the probability of every class."""
        return self.loss.class_probabilities(self.z)

    @property
    def scores(self) -> Array:
        """Return a score of the second of two classes, which grows with its probability."""
        return self.z[..., -1] - (self.z[..., 0] if self.z.shape[-1] > 1 else 0)

    @property
    def numbers(self) -> Array:
        """Return the predictions of a regression."""
        return self.loss.predict(self.z)

    def class_counts(self) -> tuple[Array, Array, Array]:
        """Return for every class the numbers of its true positives, predictions and true examples."""
        return class_counts(self.decided, self.labels, len(self.task.classes))


def accuracy(decided: Labels, labels: Labels) -> Array:
    """Return the share of examples whose most probable class is the right one."""
    share: Array = (decided == labels).mean(axis=-1)
    return share


def class_counts(decided: Labels, labels: Labels, classes: int) -> tuple[Array, Array, Array]:
    """Return for every class the numbers of its true positives, predictions and true examples."""
    numbers = np.arange(classes)[:, None]
    called, true = decided[..., None, :] == numbers, labels[..., None, :] == numbers
    right = (called & true).sum(axis=-1).astype(np.float64)
    return (
        right,
        called.sum(axis=-1).astype(np.float64),
        np.broadcast_to(true.sum(axis=-1), right.shape).astype(np.float64),
    )


def share(part: Array, whole: Array) -> Array:
    """Return part / whole, 0 where the whole is 0."""
    return part / np.where(whole > 0, whole, 1)


def balanced_accuracy(predicted: Predicted) -> Array:
    """Return the mean recall of the classes that occur."""
    right, _, true = predicted.class_counts()
    mean: Array = share(right, true).sum(axis=-1) / (true > 0).sum(axis=-1)
    return mean


def macro(values: Array, called: Array, true: Array) -> Array:
    """Return the mean over the classes that occur or are predicted; of two classes the value of the second."""
    if values.shape[-1] == 2:
        return values[..., 1]
    occurs = (called > 0) | (true > 0)
    mean: Array = (values * occurs).sum(axis=-1) / occurs.sum(axis=-1)
    return mean


def precision(predicted: Predicted) -> Array:
    """Return the share of the predictions of a class that are right."""
    right, called, true = predicted.class_counts()
    return macro(share(right, called), called, true)


def recall(predicted: Predicted) -> Array:
    """Return the share of the examples of a class that are predicted as it."""
    right, called, true = predicted.class_counts()
    return macro(share(right, true), called, true)


def f1(predicted: Predicted) -> Array:
    """Return the harmonic mean of precision and recall."""
    right, called, true = predicted.class_counts()
    return macro(share(2 * right, called + true), called, true)


def roc_auc(scores: Array, labels: Labels) -> Array:
    """Return the probability that an example of class 1 scores higher than one of class 0, ties counting half."""
    order = np.sort(scores, axis=-1)
    runs = scores.reshape(-1, scores.shape[-1])
    ranks = [
        (np.searchsorted(ordered, row, "left") + np.searchsorted(ordered, row, "right") + 1) / 2
        for ordered, row in zip(order.reshape(runs.shape), runs, strict=True)
    ]
    positive = np.broadcast_to(labels == 1, scores.shape)
    count = positive.sum(axis=-1)
    above = (np.reshape(ranks, scores.shape) * positive).sum(axis=-1) - count * (count + 1) / 2
    return share(above, count * (scores.shape[-1] - count))


def log_loss(probabilities: Array, labels: Labels) -> Array:
    """Return the mean of -log of the probability of the true class, probabilities of 0 taken as the smallest number."""
    index = np.broadcast_to(labels, probabilities.shape[:-1])[..., None]
    true = np.take_along_axis(probabilities, index, axis=-1)[..., 0]
    mean: Array = -np.log(np.maximum(true, np.finfo(true.dtype).eps)).mean(axis=-1)
    return mean


def mean_squared_error(predicted: Array, targets: Array | Labels) -> Array:
    """Return the mean of (prediction - target)^2."""
    mean: Array = ((predicted - targets) ** 2).mean(axis=(-2, -1))
    return mean


def mean_absolute_error(predicted: Array, targets: Array | Labels) -> Array:
    """Return the mean of |prediction - target|."""
    mean: Array = np.abs(predicted - targets).mean(axis=(-2, -1))
    return mean


def r2(predicted: Array, targets: Array | Labels) -> Array:
    """Return 1 - (squared error) / (squared distance to the mean target), the mean over the columns."""
    error = ((predicted - targets) ** 2).sum(axis=-2)
    spread = ((targets - targets.mean(axis=-2, keepdims=True)) ** 2).sum(axis=-2)
    mean: Array = (1 - share(error, spread)).mean(axis=-1)
    return mean


def neighbour_accuracy(embeddings: Array, labels: Labels) -> Array:
    """Return the share of rows whose nearest other row, by Euclidean distance, has the same label."""
    squares = (embeddings * embeddings).sum(axis=-1)
    distances = squares[..., :, None] + squares[..., None, :] - 2 * embeddings @ embeddings.mT
    rows = np.arange(embeddings.shape[-2])
    distances[..., rows, rows] = np.inf
    return accuracy(labels[distances.argmin(axis=-1)], labels)


@dataclass(frozen=True)
class Metric:
    """How a metric is computed, for which data, and what its values mean.

    Attributes:
        compute: Returns the value of each run.
        unit: The unit of its values; a share of examples is drawn from 0 to 1.
        kinds: The kinds of task that it fits; `embedding` stands for pairs and triplets whose classes are known.
        classes: The number of classes that it needs; None for any.
        lower_is_better: Whether lower values are better.
    """

    compute: Callable[[Predicted], Array]
    unit: str
    kinds: tuple[str, ...] = ("classification",)
    classes: int | None = None
    lower_is_better: bool = False


METRICS = {
    "accuracy": Metric(lambda p: accuracy(p.decided, p.labels), SHARE, kinds=("classification", "distribution")),
    "balanced_accuracy": Metric(balanced_accuracy, SHARE),
    "precision": Metric(precision, SHARE),
    "recall": Metric(recall, SHARE),
    "f1": Metric(f1, SHARE),
    "roc_auc": Metric(lambda p: roc_auc(p.scores, p.labels), SHARE, classes=2),
    "log_loss": Metric(lambda p: log_loss(p.probabilities, p.labels), MEAN, lower_is_better=True),
    "r2": Metric(lambda p: r2(p.numbers, p.targets), "share of variance", kinds=NUMBERS),
    "mean_squared_error": Metric(
        lambda p: mean_squared_error(p.numbers, p.targets), MEAN, kinds=NUMBERS, lower_is_better=True
    ),
    "mean_absolute_error": Metric(
        lambda p: mean_absolute_error(p.numbers, p.targets), MEAN, kinds=NUMBERS, lower_is_better=True
    ),
    "neighbour_accuracy": Metric(lambda p: neighbour_accuracy(p.z, p.labels), SHARE, kinds=("embedding",)),
}
"""All metrics beside the loss; the first that fits a kind of task is its default."""

if TYPE_CHECKING:
    MetricName: TypeAlias = str
else:
    MetricName = Literal[tuple(METRICS)]


def evaluate(name: MetricName, loss: Loss, z: Array, targets: Array | Labels, task: Task) -> Array:
    """Return one metric of each run, for logits of shape (runs, examples, outputs) and the targets of the data."""
    return METRICS[name].compute(Predicted(loss, z, targets, task))


def metrics_for(data: Data, chosen: tuple[MetricName, ...] | None) -> tuple[MetricName, ...]:
    """Return the chosen metrics, or the default of the data.

    Raises UserError if a chosen metric does not fit the data.
    """
    kind = data.task.kind if data.labelled is None else "embedding"
    classes = (None, len(data.task.classes))
    known = tuple(name for name, metric in METRICS.items() if kind in metric.kinds and metric.classes in classes)
    for name in chosen or ():
        if name not in known:
            raise UserError(
                f"trainer.metrics={name}: must be {' or '.join(known) or 'empty'} for data with {data.task}"
            )
    return known[:1] if chosen is None else chosen


def no_such_metric(key: str, metric: str, names: Sequence[str]) -> str:
    """Return a line about a metric that is not evaluated."""
    missing = metric.startswith("val") and not any(name.startswith("validation/") for name in names)
    return one_of(key, metric, names) + ("; a validation part takes dataset.validation_size=0.2" if missing else "")


def lower_is_better(name: str) -> bool:
    """Tell whether a metric such as `test/loss` is better when it is lower."""
    metric = name.rpartition("/")[2]
    return metric == "loss" or (metric in METRICS and METRICS[metric].lower_is_better)


def unit_of(name: str) -> str:
    """Return the unit of a metric such as `test/accuracy`."""
    metric = name.rpartition("/")[2]
    return METRICS[metric].unit if metric in METRICS else MEAN if metric == "loss" else DIAGNOSTIC
