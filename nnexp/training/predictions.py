"""What a trained run predicts, and how good that is, taken once at the end."""

from dataclasses import dataclass

import numpy as np

from nnexp.component import Array, Labels
from nnexp.data.dataset import Data
from nnexp.nn.network import Layout, Network
from nnexp.training.history import Parameters
from nnexp.training.run_axis import stacked
from nnexp.training.stack import Recipe


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class, and the number of its examples."""

    name: str
    precision: float
    recall: float
    f1: float
    examples: int


@dataclass(frozen=True)
class Predictions:
    """What a run predicts for a part of the data.

    Attributes
    ----------
    classes
        The names of the classes.
    labels
        The true class of each example.
    predicted
        The most probable class of each example.
    probabilities
        The probability of every class, shape (examples, classes).
    baseline
        The accuracy of always naming the class that is most frequent in the training part.

    """

    classes: tuple[str, ...]
    labels: Labels
    predicted: Labels
    probabilities: Array
    baseline: float

    def confusion(self) -> Labels:
        """Return how many examples of each true class (row) were taken for each class (column)."""
        matrix = np.zeros((len(self.classes), len(self.classes)), np.intp)
        np.add.at(matrix, (self.labels, self.predicted), 1)
        return matrix

    def class_scores(self) -> list[ClassScore]:
        """Return the scores of every class; a class that is never predicted has precision 0."""
        from sklearn.metrics import precision_recall_fscore_support

        columns = precision_recall_fscore_support(
            self.labels, self.predicted, labels=np.arange(len(self.classes)), zero_division=0
        )
        return [
            ClassScore(name, float(precision), float(recall), float(f1), int(examples))
            for name, precision, recall, f1, examples in zip(self.classes, *columns, strict=True)
        ]


@np.errstate(over="ignore", invalid="ignore")  # probabilities of extreme logits are right all the same
def predict(recipe: Recipe, learned: Parameters, data: Data) -> Predictions:
    """Return the predictions of a trained run for the test part of a classification."""
    x = np.ascontiguousarray(data.test.x, learned.theta.dtype)
    layers = [stacked([layer], 2, learned.theta.dtype) for layer in recipe.layers]
    layout = Layout.of(recipe.layers, x.shape[-1])
    z = Network(layers, layout, learned.theta[None], learned.statistics[None]).forward(x)[0]
    labels = data.test.targets.astype(np.intp, copy=False)
    most_frequent = np.bincount(data.train.targets.astype(np.intp, copy=False)).argmax()
    return Predictions(
        data.task.classes,
        labels,
        recipe.loss.decide(z),
        recipe.loss.class_probabilities(z),
        float((labels == most_frequent).mean()),
    )


def parameters(recipe: Recipe, learned: Parameters, fan_in: int) -> dict[str, Array]:
    """Return what a run has learned by name, such as `0.weight` for the weight of the first layer."""
    layout = Layout.of(recipe.layers, fan_in)
    pairs = [(layout.parameters, learned.theta), (layout.statistics, learned.statistics)]
    return {slot.title: flat[slot.begin : slot.end].reshape(slot.shape) for slots, flat in pairs for slot in slots}
