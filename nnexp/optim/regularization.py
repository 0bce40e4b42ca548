"""Penalties on the weights and clipping of the gradient, for any optimizer."""

from dataclasses import dataclass

import numpy as np

from nnexp.core.component import Array, Component, NonNegative, Positive


@dataclass(frozen=True)
class Regularization(Component):
    """Penalties on the weights, and clipping of the gradient.

    l1 sum |w| + l2 / 2 sum w^2 is added to the loss, so l1 sign(w) + l2 w to the gradient, with sign(0) = 0.

    References:
        Loshchilov and Hutter, Decoupled Weight Decay Regularization, arXiv 1711.05101. Pascanu, Mikolov and Bengio, On
        the Difficulty of Training Recurrent Neural Networks, arXiv 1211.5063.
    """

    l1: NonNegative | None = None
    l2: NonNegative | None = None
    weight_decay: NonNegative | None = None
    biases: bool = False
    clip_value: Positive | None = None
    clip_norm: Positive | None = None

    def add_penalty_and_clip(self, gradient: Array, theta: Array, penalised: Array) -> None:
        """Add the gradient of the penalty to a gradient, shape (runs, parameters), and clip it, in place."""
        if self.l1 is not None:
            gradient += self.l1 * penalised * np.sign(theta)
        if self.l2 is not None:
            gradient += self.l2 * penalised * theta
        if self.clip_value is not None:
            np.clip(gradient, -self.clip_value, self.clip_value, out=gradient)
        if self.clip_norm is not None:
            norm = np.sqrt((gradient * gradient).sum(axis=1, keepdims=True))
            gradient *= np.minimum(1, self.clip_norm / np.maximum(norm, np.finfo(gradient.dtype).tiny))

    def decay(self, theta: Array, penalised: Array) -> Array | float:
        """Return weight_decay w, which decoupled weight decay adds to the direction."""
        return 0.0 if self.weight_decay is None else self.weight_decay * penalised * theta
