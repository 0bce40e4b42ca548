"""Loss functions of logits, the outputs of the last layer: each loss also has the function from logits to predictions.

As functions of the logits, the losses are finite for any logit, and the gradient of the cross-entropies is just
prediction minus target. Losses and gradients are per example; the training loop takes the mean. At a kink the
derivative is 0.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self, cast

import numpy as np

from nnexp.core.component import (
    Array,
    Component,
    Fraction,
    InvalidFieldError,
    Labels,
    NonNegative,
    Number,
    Positive,
    plain,
)
from nnexp.core.errors import UserError, did_you_mean
from nnexp.core.task import Task
from nnexp.nn.activations import Sigmoid, Softmax, softplus_minus_relu

Pair = tuple[str | NonNegative, ...]
"""The name of a class and its weight."""
MOST_LISTED = 10
"""The most classes that an error message names."""


class LossMismatchError(UserError):
    """A loss does not fit the targets of the data; the message names one that does."""

    def __init__(self, loss: str, needs: str, task: Task) -> None:
        fitting = {
            "classification": "binary_cross_entropy" if len(task.classes) == 2 else "sparse_categorical_cross_entropy",
            "regression": "mean_squared_error",
            "distribution": "kullback_leibler",
            "pairs": "contrastive",
            "triplets": "triplet",
        }[task.kind]
        super().__init__(f"loss={loss}: needs {needs} and the data has {task}: use loss={fitting}")


@dataclass(frozen=True)
class Loss(Component):
    """A loss L(z, y) of logits `z`, shape (..., rows, outputs), and encoded targets `y`, broadcast against `z`.

    An example is one row of logits; in a loss on embeddings, it is `views` rows one after the other.
    """

    views: ClassVar[int] = 1

    @abstractmethod
    def outputs(self, task: Task) -> int | None:
        """Return how many output units this loss needs for a task; None leaves it to the architecture.

        Raises LossMismatchError if the loss cannot express the task.
        """

    def fitted(self, task: Task, targets: Array | Labels) -> Self:
        """Return this loss with all that it takes from the training targets as numbers.

        Raises UserError if it does not fit them.
        """
        return self

    @abstractmethod
    def encode(self, targets: Array | Labels, task: Task) -> Array:
        """Return the targets as the loss uses them, shape (examples, ...)."""

    @abstractmethod
    def forward(self, z: Array, y: Array) -> Array:
        """Return the loss of each example, shape (..., examples)."""

    @abstractmethod
    def backward(self, z: Array, y: Array) -> Array:
        """Return the gradient of each example's loss with respect to its logits, of the shape of `z`."""

    def predict(self, z: Array) -> Array:
        """Return the prediction, of the shape of `z` or, for a cross-entropy, the probability of every class."""
        return z

    def class_probabilities(self, z: Array) -> Array:
        """Return the probability of every class; a single output is the probability of the second of two classes."""
        p = np.clip(self.predict(z), 0, 1)
        return np.concatenate([1 - p, p], axis=-1) if p.shape[-1] == 1 else p

    def decide(self, z: Array) -> Labels:
        """Return the most probable class of each example of a classification, shape (..., examples)."""
        labels: Labels = self.predict(z).argmax(axis=-1)
        return labels


@dataclass(frozen=True)
class ElementwiseLoss(Loss):
    """A loss of the difference of prediction and target, the mean over the outputs of an example.

    In a classification, the targets are 0 and 1, with one output for two classes, else one for each class.
    """

    def outputs(self, task: Task) -> int:
        """Return the number of targets."""
        if task.kind == "regression":
            return len(task.columns)
        if task.kind == "distribution" or (task.kind == "classification" and len(task.classes) > 2):
            return len(task.classes)
        if task.kind == "classification":
            return 1
        raise LossMismatchError(snake_case(type(self)), "numbers or classes", task)

    def encode(self, targets: Array | Labels, task: Task) -> Array:
        """Return numbers as they are, labels as zeros and ones."""
        if task.kind == "classification":
            return one_hot(targets, task) if len(task.classes) > 2 else targets[:, None].astype(np.float64)
        return targets.astype(np.float64).reshape(len(targets), -1)

    def forward(self, z: Array, y: Array) -> Array:
        """Return the mean loss of the outputs of each example."""
        loss: Array = self.value(z - y).mean(axis=-1)
        return loss

    def backward(self, z: Array, y: Array) -> Array:
        """Return the derivative at the difference, over the number of outputs."""
        derivative = self.derivative(z - y)
        return derivative if z.shape[-1] == 1 else derivative / z.shape[-1]

    @abstractmethod
    def value(self, difference: Array) -> Array:
        """Return the loss of each difference prediction - target."""

    @abstractmethod
    def derivative(self, difference: Array) -> Array:
        """Return the derivative of `value`."""

    def decide(self, z: Array) -> Labels:
        """Return the class of the largest output; with one output for two classes, 1 where it is above 1/2."""
        labels: Labels = (z[..., 0] > 0.5).astype(np.intp) if z.shape[-1] == 1 else z.argmax(axis=-1)  # noqa: PLR2004
        return labels


@dataclass(frozen=True)
class MeanSquaredError(ElementwiseLoss):
    """The squared error: L = factor d^2, L' = 2 factor d, for the difference d = z - y."""

    factor: Positive = 1.0

    def value(self, difference: Array) -> Array:
        """Return factor d^2."""
        return self.factor * difference * difference

    def derivative(self, difference: Array) -> Array:
        """Return 2 factor d."""
        return 2 * self.factor * difference


@dataclass(frozen=True)
class MeanAbsoluteError(ElementwiseLoss):
    """The absolute error: L = |d|, L' = sign(d), for the difference d = z - y."""

    def value(self, difference: Array) -> Array:
        """Return |d|."""
        return np.abs(difference)

    def derivative(self, difference: Array) -> Array:
        """Return the sign of d."""
        return np.sign(difference)


@dataclass(frozen=True)
class Huber(ElementwiseLoss):
    """Squared where small, absolute where large: L = d^2 / 2 for |d| <= delta, else delta (|d| - delta / 2).

    References:
        Huber, Robust Estimation of a Location Parameter, Annals of Mathematical Statistics 35, 1964.
    """

    delta: Positive = 1.0

    def value(self, difference: Array) -> Array:
        """Return the loss as c (|d| - c / 2) with c = min(|d|, delta)."""
        size = np.abs(difference)
        clipped = np.minimum(size, self.delta)
        return clipped * (size - 0.5 * clipped)

    def derivative(self, difference: Array) -> Array:
        """Return d, clipped to [-delta, delta]."""
        return np.clip(difference, -self.delta, self.delta)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """A cross-entropy, with smoothed labels and weights of classes if wanted; the mean is still over all examples.

    The weights are numbers in the order of the classes, pairs of a class and its weight, or `balanced`: examples /
    (classes x examples of the class), of the training part.

    References:
        Szegedy et al., Rethinking the Inception Architecture for Computer Vision, arXiv 1512.00567 (label smoothing).
    """

    label_smoothing: Fraction | None = None
    class_weights: tuple[NonNegative, ...] | Literal["balanced"] | tuple[Pair, ...] | None = None

    def __post_init__(self) -> None:
        """Check every field, and that pairs of a class and its weight are such."""
        try:
            super().__post_init__()
            fits = not _are_pairs(self.class_weights) or all(map(_is_pair, self.class_weights or ()))
        except InvalidFieldError as error:
            if error.field != "class_weights":
                raise
            fits = False
        if not fits:
            allowed = "balanced, null, a list with a number of at least 0 for each class, or pairs, as [[no,1],[yes,2]]"
            raise InvalidFieldError("class_weights", plain(self.class_weights), allowed)

    def fitted(self, task: Task, targets: Array | Labels) -> Self:
        """Return this loss with a number for each class."""
        self.outputs(task)
        if self.class_weights == "balanced":
            return replace(self, class_weights=balanced(task, targets))
        if _are_pairs(self.class_weights):
            return replace(self, class_weights=_in_order(cast("tuple[Pair, ...]", self.class_weights), task))
        return self

    def _check(self, task: Task) -> None:
        weights = self.class_weights
        if weights is None or weights == "balanced" or _are_pairs(weights) or len(weights) == len(task.classes):
            return
        numbers = [float(np.ravel(number)[0]) for number in cast("Sequence[Number]", weights)]
        raise UserError(f"loss.class_weights={numbers}: must be a list of {len(task.classes)}, one for each class")

    def _smooth(self, y: Array, classes: int) -> Array:
        """Return targets y as (1 - s) y + s / classes."""
        return y if self.label_smoothing is None else y * (1 - self.label_smoothing) + self.label_smoothing / classes

    def _weighted(self, values: Array, y: Array) -> Array:
        """Return the values times the weights of their classes; y has a column for each class, or only for class 1."""
        if self.class_weights is None:
            return values
        shares = np.concatenate([1 - y, y], axis=-1) if y.shape[-1] == 1 else y
        numbers = cast("Sequence[Number]", self.class_weights)
        weights = np.concatenate([np.atleast_1d(number) for number in numbers], axis=-1)
        weighted: Array = values * (shares * weights).sum(axis=-1, keepdims=True)
        return weighted


def balanced(task: Task, targets: Array | Labels) -> tuple[float, ...]:
    """Return examples / (classes x examples of the class) for each class; a distribution is a share of an example.

    Raises UserError if a class has no example.
    """
    classes = len(task.classes)
    if task.kind == "distribution":
        counts = targets.sum(axis=0)
    else:
        counts = np.bincount(targets.astype(np.intp, copy=False), minlength=classes)
    if not counts.all():
        name = task.classes[int(counts.argmin())]
        raise UserError(f"loss.class_weights=balanced: must have training examples of each class, and {name} has none")
    return tuple((len(targets) / (classes * counts)).tolist())


def _in_order(pairs: tuple[Pair, ...], task: Task) -> tuple[Number, ...]:
    """Return the weights of pairs in the order of the classes."""
    weights = {str(name): cast("Number", weight) for name, weight in pairs}
    if weights.keys() != {*task.classes} or len(weights) < len(pairs):
        unknown = next((name for name in weights if name not in task.classes), None)
        missing = [name for name in task.classes if name not in weights]
        reason = "each once" if not missing else f"and {missing[0]} has none"
        if unknown is not None:
            reason = f"and {unknown} is none of them{did_you_mean(unknown, task.classes)}"
        raise UserError(f"loss.class_weights={plain(pairs)}: must have a weight for {_listed(task.classes)}, {reason}")
    return tuple(weights[name] for name in task.classes)


def _listed(classes: Sequence[str]) -> str:
    shown = ", ".join(classes[:MOST_LISTED])
    return shown if len(classes) <= MOST_LISTED else f"{shown} and {len(classes) - MOST_LISTED} more"


def _are_pairs(weights: object) -> bool:
    return isinstance(weights, tuple) and any(isinstance(item, tuple) for item in weights)


def _is_pair(item: object) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and not isinstance(item[1], str)


@dataclass(frozen=True)
class BinaryCrossEntropy(CrossEntropy):
    """Cross-entropy between a label 0 or 1 and one sigmoid unit.

    L(z, y) = -y log p - (1 - y) log(1 - p) with p = sigmoid(z), which is softplus(z) - y z; dL/dz = p - y.
    """

    def outputs(self, task: Task) -> int:
        """Return 1 for two classes."""
        if task.kind != "classification" or len(task.classes) != 2:
            raise LossMismatchError("binary_cross_entropy", "2 classes", task)
        self._check(task)
        return 1

    def encode(self, targets: Array | Labels, task: Task) -> Array:
        """Return the labels as a column of zeros and ones."""
        return targets[:, None].astype(np.float64)

    def forward(self, z: Array, y: Array) -> Array:
        """Return softplus(z) - y z, a form that cannot overflow."""
        loss: Array = np.maximum(z, 0) + softplus_minus_relu(z) - self._smooth(y, 2) * z
        return self._weighted(loss, y)[..., 0]

    def backward(self, z: Array, y: Array) -> Array:
        """Return p - y."""
        gradient: Array = Sigmoid().forward(z, np.empty_like(z)) - self._smooth(y, 2)
        return self._weighted(gradient, y)

    def predict(self, z: Array) -> Array:
        """Return the columns 1 - p and p."""
        return np.concatenate([Sigmoid().forward(sign * z, np.empty_like(z)) for sign in (-1, 1)], axis=-1)

    def decide(self, z: Array) -> Labels:
        """Return 1 where p > 1/2, which is z > 0."""
        return (z[..., 0] > 0).astype(np.intp)


@dataclass(frozen=True)
class CategoricalCrossEntropy(CrossEntropy):
    """Cross-entropy between one-hot targets and a softmax over one unit a class.

    L(z, y) = -sum_j y_j log p_j with p = softmax(z), which is log sum_j exp(z_j) - sum_j y_j z_j; dL/dz = p - y.
    """

    def outputs(self, task: Task) -> int:
        """Return the number of classes."""
        if task.kind not in ("classification", "distribution"):
            raise LossMismatchError(snake_case(type(self)), "classes", task)
        self._check(task)
        return len(task.classes)

    def encode(self, targets: Array | Labels, task: Task) -> Array:
        """Return labels one-hot, and distributions as they are."""
        return one_hot(targets, task) if task.kind == "classification" else targets.astype(np.float64)

    def forward(self, z: Array, y: Array) -> Array:
        """Return L; the largest logit is subtracted from all logits first, so that exp cannot overflow."""
        shifted = z - z.max(axis=-1, keepdims=True)
        target = self._smooth(y, z.shape[-1])
        log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        loss = log_sum - (shifted * target).sum(axis=-1, keepdims=True)
        return self._weighted(loss, y)[..., 0]

    def backward(self, z: Array, y: Array) -> Array:
        """Return p - y."""
        return self._weighted(self.predict(z) - self._smooth(y, z.shape[-1]), y)

    def predict(self, z: Array) -> Array:
        """Return softmax(z)."""
        return Softmax().forward(z, np.empty_like(z))

    def decide(self, z: Array) -> Labels:
        """Return the class of the largest logit."""
        labels: Labels = z.argmax(axis=-1)
        return labels


@dataclass(frozen=True)
class SparseCategoricalCrossEntropy(CategoricalCrossEntropy):
    """The categorical cross-entropy with labels as targets: one column instead of one for each class."""

    def outputs(self, task: Task) -> int:
        """Return the number of classes."""
        if task.kind != "classification":
            raise LossMismatchError("sparse_categorical_cross_entropy", "labels", task)
        return super().outputs(task)

    def encode(self, targets: Array | Labels, task: Task) -> Array:
        """Return the labels as a column."""
        return targets[:, None].astype(np.float64)

    def forward(self, z: Array, y: Array) -> Array:
        """Return the loss of the labels."""
        return super().forward(z, self._one_hot(z, y))

    def backward(self, z: Array, y: Array) -> Array:
        """Return p - onehot(y)."""
        return super().backward(z, self._one_hot(z, y))

    def _one_hot(self, z: Array, y: Array) -> Array:
        one_hot: Array = (y == np.arange(z.shape[-1])).astype(z.dtype)
        return one_hot


@dataclass(frozen=True)
class KullbackLeibler(Loss):
    """The divergence of the predicted distribution q = softmax(z) from the target y.

    L(z, y) = sum_j y_j log(y_j / q_j), with 0 log 0 = 0; dL/dz = q - y.

    References:
        Kullback and Leibler, On Information and Sufficiency, Annals of Mathematical Statistics 22, 1951.
    """

    def outputs(self, task: Task) -> int:
        """Return the number of classes."""
        if task.kind not in ("classification", "distribution"):
            raise LossMismatchError("kullback_leibler", "distributions", task)
        return len(task.classes)

    def encode(self, targets: Array | Labels, task: Task) -> Array:
        """Return distributions as they are, and labels one-hot."""
        return CategoricalCrossEntropy().encode(targets, task)

    def forward(self, z: Array, y: Array) -> Array:
        """Return the cross-entropy minus the entropy of the target."""
        entropy = -(y * np.log(np.where(y > 0, y, 1))).sum(axis=-1)
        loss: Array = CategoricalCrossEntropy().forward(z, y) - entropy
        return loss

    def backward(self, z: Array, y: Array) -> Array:
        """Return q - y."""
        return self.predict(z) - y

    def predict(self, z: Array) -> Array:
        """Return softmax(z)."""
        return Softmax().forward(z, np.empty_like(z))


@dataclass(frozen=True)
class EmbeddingLoss(Loss):
    """A loss of the distances within a pair or triplet of rows; `architecture.outputs` is the number of dimensions."""

    def outputs(self, task: Task) -> None:
        """Return None, which leaves the number of dimensions to the architecture."""
        kind = {2: "pairs", 3: "triplets"}[self.views]
        if task.kind != kind:
            raise LossMismatchError(snake_case(type(self)), kind, task)

    def encode(self, targets: Array | Labels, task: Task) -> Array:
        """Return the targets as a column."""
        return targets.astype(np.float64).reshape(len(targets), -1)

    def _views(self, z: Array) -> list[Array]:
        """Return the first rows of all examples, the second rows and so on, of shape (..., examples, dimensions)."""
        grouped = z.reshape(*z.shape[:-2], -1, self.views, z.shape[-1])
        return [grouped[..., view, :] for view in range(self.views)]

    def _together(self, *views: Array) -> Array:
        """Return the gradient with respect to z, from those with respect to first rows, second rows and so on."""
        joined = np.stack(views, axis=-2)
        return joined.reshape(*joined.shape[:-3], -1, joined.shape[-1])


@dataclass(frozen=True)
class Contrastive(EmbeddingLoss):
    """Pairs that belong together are pulled together, others pushed apart up to a margin.

    L = y d^2 / 2 + (1 - y) max(0, margin - d)^2 / 2, for the distance d of the two and y = 1 where they belong
    together.

    References:
        Hadsell, Chopra and LeCun, Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006.
    """

    views: ClassVar[int] = 2
    margin: Positive = 1.0

    def forward(self, z: Array, y: Array) -> Array:
        """Return the loss of each pair."""
        a, b = self._views(z)
        distance, _ = norm(a - b)
        loss: Array = 0.5 * (y * distance**2 + (1 - y) * np.maximum(self.margin - distance, 0) ** 2)
        return loss[..., 0]

    def backward(self, z: Array, y: Array) -> Array:
        """Return dL/da and dL/db = -dL/da."""
        a, b = self._views(z)
        distance, direction = norm(a - b)
        gradient = y * (a - b) - (1 - y) * np.maximum(self.margin - distance, 0) * direction
        return self._together(gradient, -gradient)


@dataclass(frozen=True)
class Triplet(EmbeddingLoss):
    """An anchor a is pulled towards an example p that belongs to it, and away from one n that does not.

    L = max(0, d(a, p) - d(a, n) + margin), with d the squared Euclidean distance, or the distance itself.

    References:
        Schroff, Kalenichenko and Philbin, FaceNet, arXiv 1503.03832.
    """

    views: ClassVar[int] = 3
    margin: Positive = 0.2
    squared: bool = True

    def _distance(self, difference: Array) -> tuple[Array, Array]:
        """Return the distance and its gradient."""
        if self.squared:
            return (difference * difference).sum(axis=-1, keepdims=True), 2 * difference
        return norm(difference)

    def forward(self, z: Array, y: Array) -> Array:
        """Return the loss of each triplet."""
        a, p, n = self._views(z)
        loss: Array = np.maximum(self._distance(a - p)[0] - self._distance(a - n)[0] + self.margin, 0)
        return loss[..., 0]

    def backward(self, z: Array, y: Array) -> Array:
        """Return the gradients with respect to anchor, positive and negative."""
        a, p, n = self._views(z)
        (near, towards), (far, away) = self._distance(a - p), self._distance(a - n)
        active = near - far + self.margin > 0
        return self._together(active * (towards - away), active * -towards, active * away)


def norm(difference: Array) -> tuple[Array, Array]:
    """Return the Euclidean length of each row, shape (..., 1), and its gradient, the direction (0 for zeros)."""
    length = np.sqrt((difference * difference).sum(axis=-1, keepdims=True))
    return length, difference / np.where(length > 0, length, 1)


def one_hot(labels: Labels | Array, task: Task) -> Array:
    """Return labels as rows with a single 1."""
    return np.eye(len(task.classes))[labels.astype(np.intp)]


def snake_case(kind: type) -> str:
    """Return the name of the config option of a class: `mean_squared_error` for `MeanSquaredError`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__).lstrip("_")
