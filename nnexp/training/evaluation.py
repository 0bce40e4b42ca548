"""What a trained run predicts, and how good that is, taken once at the end."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnexp.component import Array, Labels
from nnexp.data.dataset import Data
from nnexp.nn.network import Network, layout
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
def predict(recipe: Recipe, theta: Array, data: Data) -> Predictions:
    """Return the predictions of a trained run for the test part."""
    x = np.ascontiguousarray(data.test.x, theta.dtype)
    layers = [stacked([layer], 2, theta.dtype) for layer in recipe.layers]
    z = Network(layers, layout(recipe.layers, x.shape[1]), theta[None]).forward(x)[0]
    most_frequent = np.bincount(data.train.labels).argmax()
    return Predictions(
        data.task.classes,
        data.test.labels,
        recipe.loss.decide(z),
        recipe.loss.probabilities(z),
        float((data.test.labels == most_frequent).mean()),
    )


def parameters(recipe: Recipe, theta: Array, fan_in: int) -> dict[str, npt.NDArray[np.floating]]:
    """Return the parameters of a run by name, such as `0.weight` for the weight of the first layer."""
    return {
        f"{slot.layer}.{slot.name}": theta[slot.start : slot.stop].reshape(slot.shape)
        for slot in layout(recipe.layers, fan_in)
    }
