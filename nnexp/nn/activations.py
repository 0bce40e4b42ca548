"""Activation functions, each a pair: the function, and the gradient through it.

`forward(z, a)` writes f(z) into the array `a`. `backward(gradient, z, a)` turns the gradient with respect to `a` into
the gradient with respect to `z`; it is given both input and output, because some derivatives are simplest in terms of
z and some in terms of a, and it may overwrite `gradient`. At a kink, where the derivative jumps, the value from the
left is taken, as PyTorch does.
"""

from abc import abstractmethod
from dataclasses import dataclass
from math import pi, sqrt
from typing import Annotated, ClassVar, Literal

import annotated_types as at
import numpy as np

from nnexp.core.component import Array, Component, NonNegative, Positive


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

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
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

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient * (1 - a^2)."""
        gradient *= 1 - a * a
        return gradient


@dataclass(frozen=True)
class Identity(Activation):
    """No activation: f(z) = z, f' = 1."""

    def forward(self, z: Array, a: Array) -> Array:
        """Copy z into `a`."""
        np.copyto(a, z)
        return a

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return the gradient."""
        return gradient


@dataclass(frozen=True)
class ReLU(Activation):
    """The rectified linear unit: f(z) = max(0, z), f' = 1 where z > 0, else 0 (0 at the kink)."""

    def forward(self, z: Array, a: Array) -> Array:
        """Write max(0, z) into `a`."""
        return np.maximum(z, 0.0, out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient * sign(a): the sign is 1 where z > 0, else 0, and has the type of the gradient."""
        gradient *= np.sign(a)
        return gradient


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """A rectified linear unit that never dies: f(z) = z where z > 0, else slope z (f' = slope at the kink).

    References:
        Maas, Hannun and Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models, ICML 2013.
    """

    slope: NonNegative = 0.01

    def forward(self, z: Array, a: Array) -> Array:
        """Write z or slope z into `a`."""
        return np.multiply(z, np.where(z > 0, 1, self.slope), out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient where z > 0, else slope * gradient."""
        gradient *= np.where(z > 0, 1, self.slope)
        return gradient


@dataclass(frozen=True)
class ELU(Activation):
    """The exponential linear unit: f(z) = z where z > 0, else alpha (exp(z) - 1), f' = alpha + f (alpha at 0).

    References:
        Clevert, Unterthiner and Hochreiter, Fast and Accurate Deep Network Learning by ELUs, arXiv 1511.07289.
    """

    alpha: Positive = 1.0

    def forward(self, z: Array, a: Array) -> Array:
        """Write z or alpha (exp(z) - 1) into `a`."""
        np.copyto(a, np.where(z > 0, z, self.alpha * np.expm1(np.minimum(z, 0))))
        return a

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient where z > 0, else gradient * (a + alpha)."""
        gradient *= np.where(z > 0, 1, a + self.alpha)
        return gradient


@dataclass(frozen=True)
class SELU(Activation):
    """The self-normalizing ELU: f(z) = scale * ELU(z), with the two constants that keep mean 0 and variance 1.

    References:
        Klambauer et al., Self-Normalizing Neural Networks, arXiv 1706.02515; the constants are in its appendix.
    """

    ALPHA: ClassVar[float] = 1.6732632423543772848170429916717
    SCALE: ClassVar[float] = 1.0507009873554804934193349852946

    def forward(self, z: Array, a: Array) -> Array:
        """Write scale * ELU(z) into `a`."""
        return np.multiply(ELU(self.ALPHA).forward(z, a), self.SCALE, out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient * scale where z > 0, else gradient * (a + scale * alpha)."""
        gradient *= np.where(z > 0, self.SCALE, a + self.SCALE * self.ALPHA)
        return gradient


def softplus_minus_relu(z: Array) -> Array:
    """Return log(1 + exp(z)) - max(z, 0) as log(1 + exp(-|z|)), which cannot overflow."""
    difference: Array = np.log1p(np.exp(-np.abs(z)))
    return difference


@dataclass(frozen=True)
class Softplus(Activation):
    """A smooth ReLU: f(z) = log(1 + exp(beta z)) / beta, f' = sigmoid(beta z).

    References:
        Dugas et al., Incorporating Second-Order Functional Knowledge for Better Option Pricing, NIPS 2000.
    """

    beta: Positive = 1.0

    def forward(self, z: Array, a: Array) -> Array:
        """Write max(z, 0) + log(1 + exp(-|beta z|)) / beta into `a`, which cannot overflow."""
        difference: Array = softplus_minus_relu(self.beta * z) / self.beta
        return np.add(np.maximum(z, 0), difference, out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient * sigmoid(beta z)."""
        gradient *= Sigmoid().forward(self.beta * z, np.empty_like(a))
        return gradient


@dataclass(frozen=True)
class GELU(Activation):
    """The Gaussian error linear unit: f(z) = z P(z), f' = P(z) + z p(z), for the normal distribution P, density p.

    The tanh form takes P(z) = (1 + tanh u) / 2 with u = sqrt(2 / pi) (z + 0.044715 z^3).

    References:
        Hendrycks and Gimpel, Gaussian Error Linear Units, arXiv 1606.08415.
    """

    approximate: Literal["none", "tanh"] = "none"

    def _distribution(self, z: Array) -> tuple[Array, Array]:
        """Return P(z) and its derivative."""
        if self.approximate == "tanh":
            tanh = np.tanh(sqrt(2 / pi) * (z + 0.044715 * z * z * z))
            return 0.5 * (1 + tanh), 0.5 * (1 - tanh * tanh) * sqrt(2 / pi) * (1 + 3 * 0.044715 * z * z)
        from scipy.special import ndtr

        return ndtr(z), np.exp(-0.5 * z * z) / sqrt(2 * pi)

    def forward(self, z: Array, a: Array) -> Array:
        """Write z P(z) into `a`."""
        return np.multiply(z, self._distribution(z)[0], out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient * (P(z) + z p(z))."""
        distribution, density = self._distribution(z)
        gradient *= distribution + z * density
        return gradient


@dataclass(frozen=True)
class SiLU(Activation):
    """The sigmoid linear unit, or swish: f(z) = z sigmoid(z), f' = f + sigmoid(z) (1 - f).

    References:
        Elfwing, Uchibe and Doya, Sigmoid-Weighted Linear Units, arXiv 1702.03118.
    """

    def forward(self, z: Array, a: Array) -> Array:
        """Write z sigmoid(z) into `a`."""
        return np.multiply(z, Sigmoid().forward(z, a), out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient * (a + sigmoid(z) (1 - a))."""
        gradient *= a + Sigmoid().forward(z, np.empty_like(a)) * (1 - a)
        return gradient


@dataclass(frozen=True)
class Square(Activation):
    """The square: f(z) = z^2, f' = 2 z.

    References:
        Gromov, Grokking Modular Arithmetic, arXiv 2301.02679.
    """

    def forward(self, z: Array, a: Array) -> Array:
        """Write z^2 into `a`."""
        return np.multiply(z, z, out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient * 2 z."""
        gradient *= 2 * z
        return gradient


@dataclass(frozen=True)
class Power(Activation):
    """A whole power: f(z) = z^n, f' = n z^(n - 1)."""

    exponent: Annotated[int, at.Interval(ge=1, le=8)] = 3

    def forward(self, z: Array, a: Array) -> Array:
        """Write z^n into `a`."""
        return np.power(z, self.exponent, out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient * n z^(n - 1)."""
        gradient *= self.exponent * np.power(z, self.exponent - 1)
        return gradient


@dataclass(frozen=True)
class Sine(Activation):
    """A wave: f(z) = sin(frequency z), f' = frequency cos(frequency z).

    References:
        Sitzmann et al., Implicit Neural Representations with Periodic Activation Functions, arXiv 2006.09661.
    """

    frequency: Positive = 1.0

    def forward(self, z: Array, a: Array) -> Array:
        """Write sin(frequency z) into `a`."""
        return np.sin(self.frequency * z, out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient * frequency cos(frequency z)."""
        gradient *= self.frequency * np.cos(self.frequency * z)
        return gradient


@dataclass(frozen=True)
class Erf(Activation):
    """The error function, for which much of the theory of wide networks is exact: f' = 2 / sqrt(pi) exp(-z^2).

    References:
        Williams, Computing with Infinite Networks, NIPS 1996.
    """

    def forward(self, z: Array, a: Array) -> Array:
        """Write erf(z) into `a`."""
        from scipy.special import erf

        written: Array = erf(z, out=a)
        return written

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return gradient * 2 / sqrt(pi) exp(-z^2)."""
        gradient *= 2 / sqrt(pi) * np.exp(-z * z)
        return gradient


@dataclass(frozen=True)
class Softmax(Activation):
    """Positive numbers with the sum 1: f(z)_i = exp(z_i) / sum_j exp(z_j), dL/dz = f (g - sum_j g_j f_j) for g = dL/df.

    An activation of the output layer; a cross-entropy contains its own.
    """

    def forward(self, z: Array, a: Array) -> Array:
        """Write f(z) into `a`; the largest z is subtracted first, so that exp cannot overflow."""
        np.exp(z - z.max(axis=-1, keepdims=True), out=a)
        a /= a.sum(axis=-1, keepdims=True)
        return a

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:
        """Return a * (gradient - sum of gradient * a)."""
        gradient -= (gradient * a).sum(axis=-1, keepdims=True)
        gradient *= a
        return gradient
