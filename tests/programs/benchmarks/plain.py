"""The plain loop of the tutorials: a list of weights, a list of biases, one network after the other."""

from collections.abc import Callable

import numpy as np

from nnexp.core.component import Array, Labels
from tests.programs.benchmarks.work import Matrices, Setting, Work

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
TINY = 1e-12


class PlainNetwork:
    """A network as one writes it the first time, with batches as matrices."""

    def __init__(self, work: Work, matrices: Matrices, learning_rate: float) -> None:
        self.weights, self.biases = [w.copy() for w, _ in matrices], [b.copy() for _, b in matrices]
        self.relu, self.squared, self.adam, self.learning_rate = work.relu, work.squared, work.adam, learning_rate
        self.means = [np.zeros_like(array) for array in self.weights + self.biases]
        self.squares = [np.zeros_like(array) for array in self.weights + self.biases]
        self.steps = 0

    def forward(self, x: Array) -> list[Array]:
        """Return the activations of all layers, the input first and the prediction last."""
        activations = [x]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            z = np.dot(activations[-1], weight) + bias
            activations.append(np.maximum(0, z) if self.relu else 1 / (1 + np.exp(-z)))
        z = np.dot(activations[-1], self.weights[-1]) + self.biases[-1]
        if z.shape[1] > 1:
            exponentials = np.exp(z - z.max(axis=1, keepdims=True))
            return [*activations, exponentials / exponentials.sum(axis=1, keepdims=True)]
        return [*activations, 1 / (1 + np.exp(-z))]

    def loss(self, p: Array, y: Array | Labels) -> float:
        """Return the mean loss."""
        if self.squared:
            return float(np.mean((y - p) ** 2 / 2))
        if p.shape[1] > 1:
            return float(-np.mean(np.log(p[np.arange(len(p)), y.astype(np.intp)] + TINY)))
        return float(-np.mean(y * np.log(p + TINY) + (1 - y) * np.log(1 - p + TINY)))

    def accuracy(self, p: Array, y: Array | Labels) -> float:
        """Return the share of examples that are right."""
        return float(np.mean(p.argmax(axis=1) == y) if p.shape[1] > 1 else np.mean((p > 0.5) == y))

    def step(self, x: Array, y: Array | Labels) -> Array:
        """Descend once, and return the predictions from before."""
        activations = self.forward(x)
        p = activations[-1]
        delta: Array
        if self.squared:
            delta = (p - y) * p * (1 - p) / len(x)
        elif p.shape[1] > 1:
            delta = p.copy()
            delta[np.arange(len(p)), y.astype(np.intp)] -= 1
            delta /= len(x)
        else:
            delta = (p - y) / len(x)
        gradients: list[tuple[Array, Array]] = []
        for layer in reversed(range(len(self.weights))):
            a = activations[layer]
            gradients.append((np.dot(a.T, delta), delta.sum(axis=0)))
            if layer > 0:
                delta = np.dot(delta, self.weights[layer].T) * ((a > 0) if self.relu else a * (1 - a))
        gradients.reverse()
        self.update([weight for weight, _ in gradients] + [bias for _, bias in gradients])
        return p

    def update(self, gradients: list[Array]) -> None:
        """Change all weights and biases."""
        self.steps += 1
        for number, (array, gradient) in enumerate(zip(self.weights + self.biases, gradients, strict=True)):
            if self.adam:
                self.means[number] = BETA1 * self.means[number] + (1 - BETA1) * gradient
                self.squares[number] = BETA2 * self.squares[number] + (1 - BETA2) * gradient**2
                mean = self.means[number] / (1 - BETA1**self.steps)
                square = self.squares[number] / (1 - BETA2**self.steps)
                array -= self.learning_rate * mean / (np.sqrt(square) + EPSILON)  # noqa: PLW2901 - in place
            else:
                array -= self.learning_rate * gradient  # noqa: PLW2901


def alone(work: Work, setting: Setting) -> Callable[[], float]:
    """Return a call that trains one run and returns its test loss."""
    matrices, orders, evaluations, full = work.matrices(setting), work.orders(), work.evaluations, not work.batch_size
    (x, y), (test_x, test_y) = work.part(work.data.train), work.part(work.data.test)

    def train() -> float:
        network, loss = PlainNetwork(work, matrices, setting.learning_rate), 0.0
        for epoch, batches in enumerate(orders, 1):
            p = np.concatenate([network.step(x, y) if full else network.step(x[rows], y[rows]) for rows in batches])
            if epoch in evaluations:
                seen = y[batches.ravel()]
                network.loss(p, seen), network.accuracy(p, seen)
                test = network.forward(test_x)[-1]
                loss = network.loss(test, test_y)
                network.accuracy(test, test_y)
        return loss

    return train
