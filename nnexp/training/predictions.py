"""The predictions of a trained run for the test part, made once at the end."""

from dataclasses import dataclass

import numpy as np

from nnexp.core.component import Array, Labels
from nnexp.training.evaluator import CANDIDATES
from nnexp.training.metrics import class_counts, neighbour_accuracy, share
from nnexp.training.model import Trained


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class, and the number of its examples."""

    name: str
    precision: float
    recall: float
    f1: float
    examples: int


@dataclass(frozen=True)
class ClassPredictions:
    """The predictions of a classification.

    Attributes:
        classes: The names of the classes.
        labels: The true class of each example.
        predicted: The most probable class of each example.
        probabilities: The probability of every class, shape (examples, classes).
        baseline: The accuracy of always naming the class that is most frequent in the training part.
    """

    classes: tuple[str, ...]
    labels: Labels
    predicted: Labels
    probabilities: Array
    baseline: float

    def baselines(self) -> dict[str, tuple[str, float]]:
        """Return the baselines of metrics of the test part, each with its name and value."""
        return {"accuracy": ("majority class", self.baseline)}

    def confusion(self) -> Labels:
        """Return how many examples of each true class (row) were predicted as each class (column)."""
        matrix = np.zeros((len(self.classes), len(self.classes)), np.intp)
        np.add.at(matrix, (self.labels, self.predicted), 1)
        return matrix

    def roc(self) -> tuple[Array, Array, float]:
        """Return the shares of class 0 and class 1 that are predicted as 1, at every threshold, and the area."""
        order = np.argsort(self.probabilities[:, 1], kind="stable")[::-1]
        ones, scores = self.labels[order] == 1, self.probabilities[order, 1]
        last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of those with the same probability
        right = np.cumsum(ones)[last]
        wrong = 1 + last - right
        wrong, right = (np.append(0, counts) / counts[-1] for counts in (1 + last - right, right))
        return wrong, right, float(np.trapezoid(right, wrong))

    def class_scores(self) -> list[ClassScore]:
        """Return the scores of every class; a class that is never predicted has precision 0."""
        right, called, true = class_counts(self.predicted, self.labels, len(self.classes))
        columns = [share(right, called), share(right, true), share(2 * right, called + true), true.astype(np.intp)]
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [ClassScore(name, *row) for name, row in zip(self.classes, rows, strict=True)]


@dataclass(frozen=True)
class NumberPredictions:
    """The predictions of a regression, in the units of its targets.

    Attributes:
        columns: The names of the targets.
        targets, predicted: Shape (examples, columns).
        baseline: The mean of each target in the training part, the best guess without the features.
        loss_baseline: The loss of this guess in the test part.
    """

    columns: tuple[str, ...]
    targets: Array
    predicted: Array
    baseline: Array
    loss_baseline: float

    def baselines(self) -> dict[str, tuple[str, float]]:
        """Return the baselines of metrics of the test part, each with its name and value."""
        return {"loss": ("training mean", self.loss_baseline)}

    def typical_errors(self) -> list[tuple[str, float, float]]:
        """Return for every target its root mean squared error, and that of the baseline."""
        errors, others = (
            np.sqrt(((self.targets - guess) ** 2).mean(axis=0)).tolist() for guess in (self.predicted, self.baseline)
        )
        return list(zip(self.columns, errors, others, strict=True))


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of the examples that pairs or triplets were drawn from.

    Attributes:
        classes: The names of the classes.
        labels: The class of each example.
        points: The embedding of each example, shape (examples, dimensions).
        baseline: The share of examples whose nearest neighbour in the features is of their class.
    """

    classes: tuple[str, ...]
    labels: Labels
    points: Array
    baseline: float

    def baselines(self) -> dict[str, tuple[str, float]]:
        """Return the baselines of metrics of the test part, each with its name and value."""
        return {"neighbour_accuracy": ("by the features themselves", self.baseline)}


Predictions = ClassPredictions | NumberPredictions | Embeddings


def predict(trained: Trained) -> Predictions | None:
    """Return the predictions for the test part; None for pairs and triplets whose classes are not known."""
    data, task = trained.data, trained.data.task
    if task.kind == "regression":
        return _numbers(trained)
    if task.kind in ("pairs", "triplets"):
        return None if data.labelled is None else _embeddings(trained, data.labelled.test.x, data.labelled.test.targets)
    labels, training = (
        (part.targets.argmax(axis=-1) if task.kind == "distribution" else part.targets).astype(np.intp, copy=False)
        for part in (data.test, data.train)
    )
    most_frequent = np.bincount(training).argmax()
    return ClassPredictions(
        classes=task.classes,
        labels=labels,
        predicted=trained.decide(data.test.x),
        probabilities=trained.probabilities(data.test.x),
        baseline=float((labels == most_frequent).mean()),
    )


def _numbers(trained: Trained) -> NumberPredictions:
    data, loss = trained.data, trained.loss
    training, test = (part.targets.astype(np.float64, copy=False) for part in (data.train, data.test))
    mean = training.mean(axis=0, keepdims=True)
    losses = loss.forward(np.broadcast_to(mean, test.shape), test)
    return NumberPredictions(
        columns=data.task.columns,
        targets=data.raw_targets(test),
        predicted=trained.numbers(data.test.x),
        baseline=data.raw_targets(mean),
        loss_baseline=float(losses.mean()),
    )


def _embeddings(trained: Trained, x: Array, targets: Array | Labels) -> Embeddings:
    labels = targets[:CANDIDATES].astype(np.intp, copy=False)
    baseline = neighbour_accuracy(x[:CANDIDATES].astype(np.float64, copy=False), labels)
    return Embeddings(trained.data.task.classes, labels, trained.logits(x[:CANDIDATES]), float(baseline))
