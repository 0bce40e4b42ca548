"""Activation functions, each a pair: the function, and the gradient through it.

`forward(z, a)` writes f(z) into the array `a`. `backward(gradient, z, a)` turns the gradient with respect to `a` into
the one with respect to `z`; it is given both input and output, because some derivatives are simplest in one and some
in the other, and it may work in the memory of `gradient`.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from nnexp.component import Array, Component


@dataclass(frozen=True)
class Activation(Component):
    """A function applied to each unit."""

    @abstractmethod
    def forward(self, z: Array, a: Array) -> Array:
        """Write f(z) into `a`, an array of the shape of `z`, and return it."""

    @abstractmethod
    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return dL/dz for `gradient` = dL/da."""


@dataclass(frozen=True)
class Sigmoid(Activation):
    """The logistic function: f(z) = 1 / (1 + exp(-z)), f' = f (1 - f)."""

    def forward(self, z: Array, a: Array) -> Array:
        """Write f(z) into `a`; exp(-z) may overflow to infinity, whose reciprocal is the right answer, 0."""
        np.negative(z, out=a)
        with np.errstate(over="ignore"):
            np.exp(a, out=a)
        a += 1
        return np.reciprocal(a, out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:  # noqa: ARG002
        """Return gradient * a * (1 - a)."""
        gradient *= a
        gradient *= 1 - a
        return gradient


@dataclass(frozen=True)
class Tanh(Activation):
    """The hyperbolic tangent: f(z) = tanh(z), f' = 1 - f^2."""

    def forward(self, z: Array, a: Array) -> Array:
        """Write tanh(z) into `a`."""
        return np.tanh(z, out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:  # noqa: ARG002
        """Return gradient * (1 - a^2)."""
        gradient *= 1 - a * a
        return gradient


@dataclass(frozen=True)
class ReLU(Activation):
    """The rectified linear unit: f(z) = max(0, z), f' = 1 where z > 0, else 0 (0 at the kink, as in PyTorch)."""

    def forward(self, z: Array, a: Array) -> Array:
        """Write max(0, z) into `a`."""
        return np.maximum(z, 0, out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:  # noqa: ARG002
        """Return gradient where z > 0, else 0."""
        gradient *= z > 0
        return gradient
