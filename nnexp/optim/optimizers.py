"""Optimizers: the direction to descend, from the gradient and what is remembered of earlier ones.

`init(theta)` returns the optimizer's state, a few arrays of the shape of theta. `update(gradient, state, step)`
changes the state in place and returns the direction; the training loop does the rest: theta -= learning_rate *
direction. Everything works element by element, so an optimizer may be handed any block of columns of theta.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from nnexp.component import Array, Component, Decay, Positive

State = dict[str, Array]


@dataclass(frozen=True)
class Optimizer(Component):
    """A rule for the direction of a step.

    Attributes
    ----------
    learning_rate
        The length of a step along the direction; the schedule's factor multiplies it.

    """

    learning_rate: Positive = 0.01

    def init(self, theta: Array) -> State:  # noqa: ARG002
        """Return the state before the first step."""
        return {}

    @abstractmethod
    def update(self, gradient: Array, state: State, step: int) -> Array:
        """Return the direction of this step, counted from 1, and change the state in place."""


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: direction = gradient. Stochastic when the batch is a part of the data."""

    def update(self, gradient: Array, state: State, step: int) -> Array:  # noqa: ARG002
        """Return the gradient."""
        return gradient


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: the mean of past gradients over the root of the mean of their squares, both corrected for starting at zero.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
    direction = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon).

    References
    ----------
    Kingma and Ba, Adam: A Method for Stochastic Optimization, arXiv 1412.6980, algorithm 1.

    """

    learning_rate: Positive = 0.001
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    epsilon: Positive = 1e-8

    def init(self, theta: Array) -> State:
        """Return zeros for both means."""
        return {"m": np.zeros_like(theta), "v": np.zeros_like(theta)}

    def update(self, gradient: Array, state: State, step: int) -> Array:
        """Return the corrected mean over the corrected root mean square."""
        m, v = state["m"], state["v"]
        m += (1 - self.beta1) * (gradient - m)
        v += (1 - self.beta2) * (gradient * gradient - v)
        mean, square = m / (1 - self.beta1**step), v / (1 - self.beta2**step)
        direction: Array = mean / (np.sqrt(square) + self.epsilon)
        return direction
