"""Metrics that are taken at every evaluation, for all runs of a stack at once.

Each takes predictions and targets with the examples on their last axis and returns one value a run. They agree with
scikit-learn's functions of these names; where a class is never predicted, its precision counts as 0.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from nnexp.core.component import Array, Labels
from nnexp.core.errors import UserError
from nnexp.core.task import Task
from nnexp.data.dataset import Data
from nnexp.nn.losses import Loss

ClassificationMetric = Literal["accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "log_loss"]
RegressionMetric = Literal["mean_squared_error", "mean_absolute_error", "r2"]
EmbeddingMetric = Literal["neighbour_accuracy"]
MetricName = ClassificationMetric | RegressionMetric | EmbeddingMetric

LOWER_IS_BETTER = ("loss", "log_loss", "mean_squared_error", "mean_absolute_error")


def accuracy(decided: Labels, labels: Labels) -> Array:
    """Return the share of examples whose most probable class is the right one."""
    share: Array = (decided == labels).mean(axis=-1)
    return share


def class_counts(decided: Labels, labels: Labels, classes: int) -> tuple[Array, Array, Array]:
    """Return for every class how many examples were rightly called it, were called it, and are of it."""
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


def balanced_accuracy(decided: Labels, labels: Labels, classes: int) -> Array:
    """Return the mean recall of the classes that occur."""
    right, _, true = class_counts(decided, labels, classes)
    mean: Array = share(right, true).sum(axis=-1) / (true > 0).sum(axis=-1)
    return mean


def macro(values: Array, called: Array, true: Array) -> Array:
    """Return the mean over the classes that occur or were called; of two classes only the second counts."""
    if values.shape[-1] == 2:
        return values[..., 1]
    occurs = (called > 0) | (true > 0)
    mean: Array = (values * occurs).sum(axis=-1) / occurs.sum(axis=-1)
    return mean


def precision(decided: Labels, labels: Labels, classes: int) -> Array:
    """Return the share of the examples called a class that are of it."""
    right, called, true = class_counts(decided, labels, classes)
    return macro(share(right, called), called, true)


def recall(decided: Labels, labels: Labels, classes: int) -> Array:
    """Return the share of the examples of a class that were called it."""
    right, called, true = class_counts(decided, labels, classes)
    return macro(share(right, true), called, true)


def f1(decided: Labels, labels: Labels, classes: int) -> Array:
    """Return the harmonic mean of precision and recall."""
    right, called, true = class_counts(decided, labels, classes)
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


def evaluate(name: MetricName, loss: Loss, z: Array, targets: Array | Labels, task: Task) -> Array:
    """Return one metric of each run, for logits of shape (runs, examples, outputs) and the targets of the data."""
    by_labels: dict[str, Callable[[Labels, Labels, int], Array]] = {
        "balanced_accuracy": balanced_accuracy,
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }
    by_numbers: dict[str, Callable[[Array, Array | Labels], Array]] = {
        "mean_squared_error": mean_squared_error,
        "mean_absolute_error": mean_absolute_error,
        "r2": r2,
    }
    if name in by_numbers:
        return by_numbers[name](loss.predict(z), targets)
    labels: Labels = targets.argmax(axis=-1) if task.kind == "distribution" else targets.astype(np.intp, copy=False)
    if name == "accuracy":
        return accuracy(loss.decide(z), labels)
    if name == "roc_auc":
        return roc_auc(z[..., -1] - (z[..., 0] if z.shape[-1] > 1 else 0), labels)
    if name == "log_loss":
        return log_loss(loss.class_probabilities(z), labels)
    return by_labels[name](loss.decide(z), labels, len(task.classes))


def metrics_for(data: Data, chosen: tuple[MetricName, ...] | None) -> tuple[MetricName, ...]:
    """Return the chosen metrics, or those that are usual for the data.

    Raises
    ------
    UserError
        If a chosen metric does not fit the data.

    """
    task = data.task
    fitting: dict[str, tuple[MetricName, ...]] = {
        "classification": ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "log_loss"),
        "distribution": ("accuracy",),
        "regression": ("r2", "mean_squared_error", "mean_absolute_error"),
    }
    known = fitting.get(task.kind, () if data.labelled is None else ("neighbour_accuracy",))
    if task.kind == "classification" and len(task.classes) != 2:
        known = tuple(name for name in known if name != "roc_auc")
    for name in chosen or ():
        if name not in known:
            raise UserError(f"trainer.metrics={name}: must be {' or '.join(known) or 'empty'} for data with {task}")
    return known[:1] if chosen is None else chosen


def lower_is_better(name: str) -> bool:
    """Tell whether a metric such as `test/loss` is better when it is lower."""
    return name.rpartition("/")[2] in LOWER_IS_BETTER
