"""Loss functions on logits: each loss owns its link, the function from the network's last layer to a prediction.

Working on logits keeps the losses finite for any logit, and makes the gradient of the two classification losses the
same short sentence: prediction minus target. Losses and gradients are per example; the training loop takes the mean.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from nnexp.component import Array, Component, Labels
from nnexp.data.task import Task
from nnexp.errors import UserError
from nnexp.nn.activations import Sigmoid


class LossMismatchError(UserError):
    """A loss does not fit the targets of the data; the message says which loss does."""


@dataclass(frozen=True)
class Loss(Component):
    """A loss L(z, y) of logits `z`, shape (..., examples, outputs), and encoded targets `y`, broadcast against `z`."""

    @abstractmethod
    def outputs(self, task: Task) -> int:
        """Return how many output units a task needs under this loss.

        Raises
        ------
        LossMismatchError
            If the loss cannot express the task.

        """

    @abstractmethod
    def encode(self, labels: Labels, task: Task) -> Array:
        """Return the targets as the loss uses them, shape (examples, outputs)."""

    @abstractmethod
    def forward(self, z: Array, y: Array) -> Array:
        """Return the loss of each example, shape (..., examples)."""

    @abstractmethod
    def backward(self, z: Array, y: Array) -> Array:
        """Return the gradient of each example's loss with respect to its logits, of the shape of `z`."""

    @abstractmethod
    def probabilities(self, z: Array) -> Array:
        """Return the predicted probability of every class, shape (..., examples, classes)."""

    @abstractmethod
    def decide(self, z: Array) -> Labels:
        """Return the most probable class of each example, shape (..., examples)."""


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """Cross-entropy between a label 0 or 1 and one sigmoid unit.

    L(z, y) = -y log p - (1 - y) log(1 - p) with p = sigmoid(z), which is max(z, 0) - y z + log(1 + exp(-|z|));
    dL/dz = p - y.
    """

    def outputs(self, task: Task) -> int:
        """Return 1 for two classes."""
        if len(task.classes) != 2:  # noqa: PLR2004
            raise LossMismatchError(
                f"loss=binary_cross_entropy needs 2 classes and the data has {len(task.classes)}: "
                "use loss=sparse_categorical_cross_entropy"
            )
        return 1

    def encode(self, labels: Labels, task: Task) -> Array:  # noqa: ARG002
        """Return the labels as a column of zeros and ones."""
        return labels[:, None].astype(np.float64)

    def forward(self, z: Array, y: Array) -> Array:
        """Return the loss in the form that neither overflows nor cancels."""
        loss: Array = np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))
        return loss[..., 0]

    def backward(self, z: Array, y: Array) -> Array:
        """Return p - y."""
        return Sigmoid().forward(z, np.empty_like(z)) - y

    def probabilities(self, z: Array) -> Array:
        """Return the columns 1 - p and p."""
        return np.concatenate([Sigmoid().forward(sign * z, np.empty_like(z)) for sign in (-1, 1)], axis=-1)

    def decide(self, z: Array) -> Labels:
        """Return 1 where p > 1/2, which is z > 0."""
        return (z[..., 0] > 0).astype(np.intp)


@dataclass(frozen=True)
class SparseCategoricalCrossEntropy(Loss):
    """Cross-entropy between a class label and a softmax over one unit a class.

    L(z, y) = -log p_y with p = softmax(z), which is log sum_j exp(z_j) - z_y; dL/dz = p - onehot(y).
    """

    def outputs(self, task: Task) -> int:
        """Return the number of classes."""
        return len(task.classes)

    def encode(self, labels: Labels, task: Task) -> Array:
        """Return the labels one-hot."""
        return np.eye(len(task.classes))[labels]

    def forward(self, z: Array, y: Array) -> Array:
        """Return log-sum-exp minus the logit of the true class, both relative to the largest logit."""
        shifted = z - z.max(axis=-1, keepdims=True)
        loss: Array = np.log(np.exp(shifted).sum(axis=-1)) - (shifted * y).sum(axis=-1)
        return loss

    def backward(self, z: Array, y: Array) -> Array:
        """Return p - onehot(y)."""
        return self.probabilities(z) - y

    def probabilities(self, z: Array) -> Array:
        """Return softmax(z)."""
        p: Array = np.exp(z - z.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        return p

    def decide(self, z: Array) -> Labels:
        """Return the class of the largest logit."""
        labels: Labels = z.argmax(axis=-1)
        return labels
