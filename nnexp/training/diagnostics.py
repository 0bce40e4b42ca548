"""Diagnostics: what can be seen of a network while it trains, beside its predictions.

`look(view)` returns a number for each run, or one for each of its layers; a `View` offers parameters, activations,
gradients and curvature. Everything is of the training part, in the state after a round, without dropout or penalties.
Gradients and curvature are by the parameters that learn: frozen and pruned ones are constants of the loss. Factors on
the learning rates of layers change how it is descended, not the loss, and count nowhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import annotated_types as at
import numpy as np

from nnexp.core.component import Array, Count, Labels, Positive
from nnexp.core.task import Task
from nnexp.nn.activations import ReLU
from nnexp.nn.layers import Activate, Layer, every_layer
from nnexp.nn.network import Slot
from nnexp.training.batches import Examples
from nnexp.training.diagnostic import Diagnostic, LookedAt
from nnexp.training.view import View

AT_A_TIME = 128
"""The most examples whose gradients are in memory at a time."""
CHECKED_EVERY = 4
"""After how many steps of Lanczos it is asked whether it is over."""


@dataclass(frozen=True)
class Sharpness(Diagnostic):
    """The largest eigenvalue of the Hessian of the training loss, by the method of Lanczos.

    It ends when the residual |H u - s u| of the unit vector u that it found is at most `tolerance` |s|. The error of s
    is then no larger, and mostly much smaller, as it goes with the square of the residual. Gradient descent is stable
    up to a learning rate of 2 / s, where no layer has a rate of its own.

    References:
        Cohen et al., Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability, arXiv 2103.00065.
    """

    examples: LookedAt | None = None
    tolerance: Positive = 0.01
    most_steps: Count = 100

    def look(self, view: View) -> Array:
        """Return s."""
        product = view.curvature(view.examples(self.examples))
        return largest_eigenvalue(product, view.theta, float(self.tolerance), self.most_steps)


@dataclass(frozen=True)
class GradientNoise(Diagnostic):
    """How noisy gradients are: the trace of the covariance of those of single examples, over the square of their mean.

    It is the batch size from which on a larger one brings little. Of a part of the examples it is a rough estimate, for
    late in a training few of them have most of the gradient.

    References:
        McCandlish et al., An Empirical Model of Large-Batch Training, arXiv 1812.06162, equation 2.9.
    """

    examples: LookedAt | None = None

    def look(self, view: View) -> Array:
        """Return tr(C) / |g|^2, for the unbiased C and the mean g."""
        some = view.examples(self.examples)
        total, squares = np.zeros(view.theta.shape), np.zeros(len(view))
        for begin in range(0, len(some), AT_A_TIME):
            part = some.take(slice(begin, begin + AT_A_TIME))
            for run, of_each in enumerate(view.loss_gradients(part)):
                total[run] += of_each.sum(axis=0, dtype=np.float64)
                squares[run] += np.square(of_each, dtype=np.float64).sum()
        count, square = len(some), (total * total).sum(axis=-1)
        trace = (squares - square / count) / (count - 1)
        noise: Array = trace * count**2 / square
        return noise


@dataclass(frozen=True)
class KernelTargetAlignment(Diagnostic):
    """How well the tangent kernel fits the targets: the cosine between the two, both centred.

    The kernel of two examples is the inner product of the gradients of their logits, summed over the logits; that of
    the targets is 1 where two have the same class, else 0, or the inner product of the numbers to predict.

    References:
        Cortes, Mohri and Rostamizadeh, Algorithms for Learning Kernels Based on Centered Alignment, JMLR 13, 2012.
        Atanasov, Bordelon and Pehlevan, Neural Networks as Kernel Learners, arXiv 2111.00034.
    """

    examples: LookedAt = 96

    def misfit(self, task: Task, layers: Sequence[Layer]) -> str | None:
        """Return that it needs a target for every example."""
        return "classes or numbers as targets" if task.kind in ("pairs", "triplets") else None

    def look(self, view: View) -> Array:
        """Return <K, Y> / (|K| |Y|)."""
        some = view.examples(self.examples)
        kernels = np.zeros((len(view), len(some), len(some)))
        outputs = view.outputs
        for output in range(outputs):
            for run, of_each in enumerate(view.example_gradients(some, _chosen(output))):
                kernels[run] += of_each @ of_each.T
        targets = np.asarray(some.targets, np.float64).reshape(len(some), -1)
        if view.task.kind == "classification":
            wanted = (targets == targets.T).astype(np.float64)
        else:
            wanted = targets @ targets.T
        wanted = _centred(wanted)
        return np.array([_cosine(_centred(kernel), wanted) for kernel in kernels])


@dataclass(frozen=True)
class WithinClassVariability(Diagnostic):
    """How far features of a class are apart, beside classes: it falls towards 0 in neural collapse.

    The features are the inputs of the last layer with weights. It is the mean squared distance of an example from the
    mean of its class, over that of the means of the classes from the mean of all.

    References:
        Papyan, Han and Donoho, Prevalence of Neural Collapse, arXiv 2008.08186 (NC1, here as a ratio of traces).
    """

    examples: LookedAt | None = None

    def misfit(self, task: Task, layers: Sequence[Layer]) -> str | None:
        """Return that it needs classes."""
        return None if task.kind == "classification" else "classes as targets"

    def look(self, view: View) -> Array:
        """Return the ratio."""
        some = view.examples(self.examples)
        labels: Labels = some.targets.astype(np.intp)
        return np.array([_class_ratio(features.astype(np.float64), labels) for features in view.features(some)])


@dataclass(frozen=True)
class WeightNorm(Diagnostic):
    """The Euclidean length of all parameters together, biases and frozen ones included."""

    def look(self, view: View) -> Array:
        """Return |theta|."""
        return length(view.theta)


@dataclass(frozen=True)
class DistanceFromStart(Diagnostic):
    """How far the parameters have gone: |theta - theta_0| / |theta_0|, where frozen ones count in theta_0 alone."""

    def look(self, view: View) -> Array:
        """Return the distance over the length at the start."""
        return length(view.theta - view.start) / length(view.start)


@dataclass(frozen=True)
class EffectiveRank(Diagnostic):
    """How many dimensions the features fill: exp(-sum p log p), where p are their singular values over the sum of them.

    The features are the inputs of the last layer with weights, one row an example, as they are.

    References:
        Roy and Vetterli, The Effective Rank: A Measure of Effective Dimensionality, EUSIPCO 2007.
    """

    examples: LookedAt = 512

    def look(self, view: View) -> Array:
        """Return the exponential of the entropy."""
        features = view.features(view.examples(self.examples))
        return np.array([_effective_rank(one) for one in features])


@dataclass(frozen=True)
class Saturation(Diagnostic):
    """A percentile of the absolute values of each layer's activations; near 1, units of tanh are saturated.

    References:
        Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks, AISTATS 2010.
    """

    examples: LookedAt = 512
    percentile: Annotated[float, at.Interval(ge=0, le=100)] = 98.0

    def count(self, layers: Sequence[Layer]) -> int:
        """Return the number of activations."""
        return len(activations_of(layers))

    def look(self, view: View) -> Array:
        """Return the percentile for each layer."""
        found = view.activations(view.examples(self.examples))
        return in_columns([np.percentile(np.abs(a), self.percentile, axis=(-2, -1)) for _, a in found], len(view))


@dataclass(frozen=True)
class ActivationSize(Diagnostic):
    """The root mean square of each layer's activations."""

    examples: LookedAt = 512

    def count(self, layers: Sequence[Layer]) -> int:
        """Return the number of activations."""
        return len(activations_of(layers))

    def look(self, view: View) -> Array:
        """Return the size for each layer."""
        return activation_sizes(view, view.examples(self.examples))


@dataclass(frozen=True)
class DeadUnits(Diagnostic):
    """The share of the units of each layer of rectified ones that are zero for all examples, and so cannot learn."""

    examples: LookedAt = 512

    def misfit(self, task: Task, layers: Sequence[Layer]) -> str | None:
        """Return that it needs rectified units."""
        return None if self.count(layers) else "rectified units, architecture.activation=relu"

    def count(self, layers: Sequence[Layer]) -> int:
        """Return the number of activations by rectified units."""
        return sum(isinstance(layer.activation, ReLU) for layer in activations_of(layers))

    def look(self, view: View) -> Array:
        """Return the share for each layer."""
        return dead_units(view, view.examples(self.examples))


@dataclass(frozen=True)
class OfWeights(Diagnostic):
    """The root mean square over each layer's weight of something of the shape of the parameters."""

    def count(self, layers: Sequence[Layer]) -> int:
        """Return the number of weights."""
        starts = [one.start for layer in every_layer(layers) for one in layer.parameters(1).values()]
        return starts.count("weight")


@dataclass(frozen=True)
class GradientSize(OfWeights):
    """The root mean square of the gradient of each layer's weight."""

    examples: LookedAt | None = None

    def look(self, view: View) -> Array:
        """Return the size for each layer."""
        return by_weight(view.gradient(view.examples(self.examples)), view.weights)


@dataclass(frozen=True)
class WeightSize(OfWeights):
    """The root mean square of each layer's weight."""

    def look(self, view: View) -> Array:
        """Return the size for each layer."""
        return by_weight(view.theta, view.weights)


@dataclass(frozen=True)
class UpdateSize(OfWeights):
    """The root mean square of the change of each layer's weight in a round: an epoch, or since the last evaluation."""

    def look(self, view: View) -> Array:
        """Return the size for each layer."""
        return by_weight(view.theta - view.before, view.weights)


def largest_eigenvalue(product: Callable[[Array], Array], like: Array, tolerance: float, most: int) -> Array:
    """Return the largest eigenvalue of the symmetric matrix of each run, by the method of Lanczos.

    After j steps, the largest eigenvalue of the matrix T of j coefficients is that of the matrix on the space of the
    first j vectors; each vector is made orthogonal to all before it.

    Args:
        product: Returns the product of the matrix of each run with a vector of each, shape (runs, n).
        like: Has the shape and type of the vectors.
        tolerance: The largest residual, as a share of the eigenvalue.
        most: The most steps.
    """
    runs, n = like.shape
    most = min(most, n)
    vectors = np.zeros((runs, most + 1, n), like.dtype)
    first = np.random.default_rng(0).standard_normal(n)
    vectors[:, 0] = first / np.linalg.norm(first)
    coefficients, found, over = np.zeros((runs, most + 1, most + 1)), np.full(runs, np.nan), np.zeros(runs, np.bool_)
    for step in range(most):
        v, known = vectors[:, step], vectors[:, : step + 1]
        w = product(v)
        coefficients[:, step, step] = (w * v).sum(axis=-1)
        for _ in range(2):  # once is not enough: what is left is not orthogonal where most of it was taken away
            w -= (known.mT @ (known @ w[..., None]))[..., 0]
        size = length(w)
        coefficients[:, step, step + 1] = coefficients[:, step + 1, step] = size
        vectors[:, step + 1] = w / np.where(size > 0, size, 1)[:, None]
        if (step + 1) % CHECKED_EVERY == 0 or step == most - 1:
            inner = coefficients[:, : step + 1, : step + 1]
            values, ways = np.linalg.eigh(np.where(np.isfinite(inner), inner, 0))
            residual = np.abs(size * ways[:, -1, -1])
            found = np.where(over, found, values[:, -1])
            over |= ~(residual > tolerance * np.abs(values[:, -1]))
            if over.all():
                break
    return np.where(np.isfinite(coefficients[:, 0, 0]), found, np.nan)


def length(vectors: Array) -> Array:
    """Return the Euclidean length of the last axis, computed so that nothing overflows."""
    euclidean: Array = root_mean_square(vectors, -1) * np.sqrt(vectors.shape[-1])
    return euclidean


def root_mean_square(array: Array, axes: int | tuple[int, ...]) -> Array:
    """Return sqrt(mean(x^2)) over some axes, computed relative to the largest |x|, so that no square overflows."""
    largest = np.abs(array).max(axis=axes, keepdims=True)
    relative = array / np.where(largest > 0, largest, 1)
    size: Array = np.sqrt((relative * relative).mean(axis=axes)) * largest.squeeze(axes)
    return size


def in_columns(values: Sequence[Array], runs: int) -> Array:
    """Return numbers of each run as columns, shape (runs, numbers)."""
    return np.stack(values, axis=-1) if values else np.empty((runs, 0))


def by_weight(flat: Array, weights: Sequence[Slot]) -> Array:
    """Return the size of the part of each weight in an array of the shape of the parameters."""
    return in_columns([root_mean_square(flat[:, slot.begin : slot.end], -1) for slot in weights], len(flat))


def activation_sizes(view: View, examples: Examples) -> Array:
    """Return the size of the activations of each layer."""
    return in_columns([root_mean_square(a, (-2, -1)) for _, a in view.activations(examples)], len(view))


def dead_units(view: View, examples: Examples) -> Array:
    """Return the share of units that are zero for all examples, of each layer of rectified units."""
    found = [a for layer, a in view.activations(examples) if isinstance(layer.activation, ReLU)]
    return in_columns([(a == 0).all(axis=-2).mean(axis=-1) for a in found], len(view))


def activations_of(layers: Sequence[Layer]) -> list[Activate]:
    """Return the activation layers, in order."""
    return [layer for layer in every_layer(layers) if isinstance(layer, Activate)]


def _chosen(output: int) -> Callable[[Array, Examples], Array]:
    """Return a function that returns the derivative of one of the logits by all of them."""

    def slope(z: Array, _: Examples) -> Array:
        only = np.zeros_like(z)
        only[..., output] = 1
        return only

    return slope


def _centred(kernel: Array) -> Array:
    """Return a kernel of centred features."""
    kernel = kernel - kernel.mean(axis=0)
    centred: Array = kernel - kernel.mean(axis=1, keepdims=True)
    return centred


def _cosine(one: Array, other: Array) -> float:
    return float((one * other).sum() / np.sqrt((one * one).sum() * (other * other).sum()))


def _class_ratio(features: Array, labels: Labels) -> float:
    """Return the variability within the classes over that between their means."""
    classes = np.unique(labels)
    means = np.array([features[labels == one].mean(axis=0) for one in classes])
    within = ((features - means[np.searchsorted(classes, labels)]) ** 2).sum(axis=-1).mean()
    between = ((means - features.mean(axis=0)) ** 2).sum(axis=-1).mean()
    return float(within / between)


def _effective_rank(features: Array) -> float:
    if not np.isfinite(features).all():
        return float("nan")
    singular = np.linalg.svd(features, compute_uv=False)
    share = singular / singular.sum()
    return float(np.exp(-(share * np.log(np.where(share > 0, share, 1))).sum()))
