"""Optimizers: the direction to descend, from this gradient and earlier ones.

`init(theta)` returns the optimizer's state, a few arrays of the shape of theta. `update(gradient, state, step)` changes
the state in place and returns the direction; the training loop does the rest: theta -= learning_rate * direction.
Everything works element by element, so an optimizer can also be used for a part of the columns of theta.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from nnexp.core.component import ADDED, Array, Component, Fraction, Number, Positive

State = dict[str, Array]


def zeros(theta: Array, *names: str) -> State:
    """Return a state of zeros."""
    return {name: np.zeros_like(theta) for name in names}


@dataclass(frozen=True)
class Optimizer(Component):
    """A rule for the direction of a step: theta -= learning_rate * factor of the schedule * direction.

    With a unit of `sharpness`, learning rates are in units of 1 / s, for the sharpness s at the start: gradient descent
    begins to be unstable at 2.
    """

    adaptive: ClassVar[bool] = True
    """Whether the direction does not depend on the size of the gradient, apart from epsilon."""

    learning_rate: Positive = 0.01
    unit: Literal["sharpness"] | None = field(default=None, kw_only=True, metadata={ADDED: None})

    def init(self, theta: Array) -> State:
        """Return the state before the first step."""
        return {}

    @abstractmethod
    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return the direction of this step, counted from 1, and change the state in place."""


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: direction = gradient. Stochastic when the batch is a part of the data."""

    adaptive: ClassVar[bool] = False

    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return the gradient."""
        return gradient


@dataclass(frozen=True)
class Momentum(Optimizer):
    """A heavy ball: v = momentum v + g; direction = v.

    References:
        Polyak, Some Methods of Speeding up the Convergence of Iteration Methods, 1964.
    """

    adaptive: ClassVar[bool] = False

    momentum: Fraction = 0.9

    def init(self, theta: Array) -> State:
        """Return a velocity of zero."""
        return zeros(theta, "velocity")

    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return the velocity."""
        velocity = state["velocity"]
        velocity *= self.momentum
        velocity += gradient
        return velocity


@dataclass(frozen=True)
class Nesterov(Momentum):
    """A heavy ball that looks ahead: v = momentum v + g; direction = g + momentum v.

    References:
        Sutskever et al., On the Importance of Initialization and Momentum in Deep Learning, ICML 2013.
    """

    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return g + momentum v."""
        direction: Array = gradient + self.momentum * super().update(gradient, state, step)
        return direction


@dataclass(frozen=True)
class AdaGrad(Optimizer):
    """Steps that shrink with all past gradients: s = s + g^2; direction = g / (sqrt(s) + epsilon).

    References:
        Duchi, Hazan and Singer, Adaptive Subgradient Methods, JMLR 12, 2011.
    """

    epsilon: Positive = 1e-10

    def init(self, theta: Array) -> State:
        """Return a sum of squares of zero."""
        return zeros(theta, "square")

    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return the gradient over the root of the sum of squares."""
        square = state["square"]
        square += gradient * gradient
        return gradient / (np.sqrt(square) + self.epsilon)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Steps of about the same size: s = rho s + (1 - rho) g^2; direction = g / (sqrt(s) + epsilon).

    References:
        Tieleman and Hinton, lecture 6.5 of Neural Networks for Machine Learning, 2012.
    """

    rho: Fraction = 0.99
    epsilon: Positive = 1e-8

    def init(self, theta: Array) -> State:
        """Return a mean square of zero."""
        return zeros(theta, "square")

    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return the gradient over the root mean square."""
        square = state["square"]
        square += (1 - self.rho) * (gradient * gradient - square)
        return gradient / (np.sqrt(square) + self.epsilon)


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """RMSprop in the units of theta: s = rho s + (1 - rho) g^2; d = sqrt(u + epsilon) / sqrt(s + epsilon) g.

    u = rho u + (1 - rho) d^2, the mean square of past directions d.

    References:
        Zeiler, ADADELTA: An Adaptive Learning Rate Method, arXiv 1212.5701, algorithm 1.
    """

    learning_rate: Positive = 1.0
    rho: Fraction = 0.9
    epsilon: Positive = 1e-6

    def init(self, theta: Array) -> State:
        """Return mean squares of zero."""
        return zeros(theta, "square", "moved")

    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return the gradient, scaled to the size of past directions."""
        square, moved = state["square"], state["moved"]
        square += (1 - self.rho) * (gradient * gradient - square)
        direction: Array = np.sqrt((moved + self.epsilon) / (square + self.epsilon)) * gradient
        moved += (1 - self.rho) * (direction * direction - moved)
        return direction


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: the mean of past gradients over the root of the mean of their squares, both corrected for starting at zero.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
    direction = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon).

    To save time, the state is M = m / (1 - beta1) and V = v / (1 - beta2), and the same direction is computed as
    M / (sqrt(V) sqrt(b) / a + epsilon / a), where a M = m / (1 - beta1^t) and b V = v / (1 - beta2^t).

    References:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, arXiv 1412.6980, algorithm 1.
    """

    learning_rate: Positive = 0.001
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: Positive = 1e-8

    def init(self, theta: Array) -> State:
        """Return zeros for both sums."""
        return zeros(theta, "sum", "square_sum")

    def sums(self, gradient: Array, state: State) -> tuple[Array, Array]:
        """Update M = beta1 M + g and V = beta2 V + g^2 in place, and return them."""
        total, square = state["sum"], state["square_sum"]
        total *= self.beta1
        total += gradient
        square *= self.beta2
        square += gradient * gradient
        return total, square

    def corrections(self, step: Number) -> tuple[Number, Number]:
        """Return a = (1 - beta1) / (1 - beta1^t) and b = (1 - beta2) / (1 - beta2^t)."""
        return (1 - self.beta1) / (1 - self.beta1**step), (1 - self.beta2) / (1 - self.beta2**step)

    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return the corrected mean over the corrected root mean square."""
        return self.direction(*self.sums(gradient, state), step)

    def direction(self, total: Array, square: Array, step: Number) -> Array:
        """Return M / (sqrt(V) sqrt(b) / a + epsilon / a)."""
        a, b = self.corrections(step)
        root = np.sqrt(square)
        root *= np.sqrt(b) / a
        root += self.epsilon / a
        return np.divide(total, root, out=root)


@dataclass(frozen=True)
class AMSGrad(Adam):
    """Adam whose steps never grow again: the largest v so far takes the place of v.

    References:
        Reddi, Kale and Kumar, On the Convergence of Adam and Beyond, arXiv 1904.09237.
    """

    def init(self, theta: Array) -> State:
        """Return zeros for both sums and the largest second one."""
        return zeros(theta, "sum", "square_sum", "largest")

    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return the corrected mean over the largest root mean square."""
        total, square = self.sums(gradient, state)
        return self.direction(total, np.maximum(state["largest"], square, out=state["largest"]), step)


@dataclass(frozen=True)
class NAdam(Adam):
    """Adam with Nesterov's look ahead, its momentum growing to beta1.

    With b_t = beta1 (1 - 0.96^(t momentum_decay) / 2) and B_t the product of all b up to t:
    direction = (b_(t+1) m / (1 - B_(t+1)) + (1 - b_t) g / (1 - B_t)) / (sqrt(v / (1 - beta2^t)) + epsilon).

    References:
        Dozat, Incorporating Nesterov Momentum into Adam, ICLR workshop 2016.
    """

    learning_rate: Positive = 0.002
    momentum_decay: Positive = 0.004

    def init(self, theta: Array) -> State:
        """Return zeros for both sums, and a product of 1."""
        return {**zeros(theta, "sum", "square_sum"), "product": np.ones_like(theta)}

    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return the corrected mean one step ahead over the corrected root mean square."""
        total, square = self.sums(gradient, state)
        now, after = (self.beta1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay)) for t in (step, step + 1))
        product = state["product"]
        product *= now
        ahead = after * (1 - self.beta1) * total / (1 - product * after) + (1 - now) * gradient / (1 - product)
        direction: Array = ahead / (np.sqrt(square * self.corrections(step)[1]) + self.epsilon)
        return direction


@dataclass(frozen=True)
class RAdam(Adam):
    """Adam with a direction that is the mean of the gradients alone until the mean of their squares is reliable.

    With R = 2 / (1 - beta2) - 1 and r = R - 2 t beta2^t / (1 - beta2^t), Adam's direction is scaled by
    sqrt((r - 4) (r - 2) R / ((R - 4) (R - 2) r)) where r > 5, and is m / (1 - beta1^t) elsewhere.

    References:
        Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, arXiv 1908.03265.
    """

    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return the rectified direction."""
        total, square = self.sums(gradient, state)
        a, _ = self.corrections(step)
        mean, forgotten = total * a, self.beta2**step
        limit = 2 / (1 - self.beta2) - 1
        length = limit - 2 * step * forgotten / (1 - forgotten)
        trusted = np.maximum(length, 5)
        size = np.sqrt((trusted - 4) * (trusted - 2) * limit / ((limit - 4) * (limit - 2) * trusted))
        root = np.sqrt(square * (1 - self.beta2)) + self.epsilon
        return np.where(length > 5, mean * size * np.sqrt(1 - forgotten) / root, mean)


@dataclass(frozen=True)
class Lion(Optimizer):
    """Only the sign: direction = sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g.

    References:
        Chen et al., Symbolic Discovery of Optimization Algorithms, arXiv 2302.06675, algorithm 2.
    """

    learning_rate: Positive = 1e-4
    beta1: Fraction = 0.9
    beta2: Fraction = 0.99

    def init(self, theta: Array) -> State:
        """Return a mean of zero."""
        return zeros(theta, "m")

    def update(self, gradient: Array, state: State, step: Number) -> Array:
        """Return the sign of the gradient mixed with the mean."""
        m = state["m"]
        direction: Array = np.sign(self.beta1 * m + (1 - self.beta1) * gradient)
        m += (1 - self.beta2) * (gradient - m)
        return direction
