"""Probes of what was learned: the loss around and between parameters, and the spectra of weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.nn.network import Network
from nnexp.training.batches import Examples
from nnexp.training.evaluator import losses_of
from nnexp.training.model import Trained
from nnexp.training.stacking import stacked

AT_A_TIME = 32
"""How many parameters of a whole network are looked at together."""


@dataclass(frozen=True)
class Slice:
    """The training loss in a plane; `losses[j, i]` is at `steps[i]` along x and `steps[j]` along y."""

    steps: Array
    losses: Array


@dataclass(frozen=True)
class Way:
    """The training loss on the straight line from the parameters of one run, share 0, to those of another, share 1."""

    shares: Array
    losses: Array

    @property
    def barrier(self) -> float:
        """Return how far the loss on the way rises above the line between its ends."""
        return float((self.losses - np.interp(self.shares, [0, 1], self.losses[[0, -1]])).max())


def losses_at(trained: Trained, theta: Array) -> Array:
    """Return the mean training loss, without penalties, of parameters of shape (points, parameters)."""
    examples = Examples.of(trained.data.train, trained.data.task, trained.loss, theta.dtype)
    layers = [stacked([layer], 2, theta.dtype) for layer in trained.layers]
    loss = stacked([trained.loss], 2, theta.dtype)
    found = []
    with np.errstate(over="ignore", invalid="ignore"):
        for begin in range(0, len(theta), AT_A_TIME):
            part = np.ascontiguousarray(theta[begin : begin + AT_A_TIME])
            statistics = np.repeat(trained.learned.statistics[None], len(part), axis=0)
            z = Network(layers, trained.layout, part, statistics).predict(examples.rows())
            found.append(losses_of(loss, z, examples).mean(axis=-1))
    return np.concatenate(found)


def direction(trained: Trained, generator: np.random.Generator) -> Array:
    """Return a random direction whose part for each unit is as long as the weights of the unit; biases stay.

    References:
        Li et al., Visualizing the Loss Landscape of Neural Nets, arXiv 1712.09913.
    """
    found = np.zeros_like(trained.learned.theta)
    for slot in trained.layout.parameters:
        if slot.start == "weight":
            weight = trained.learned.theta[slot.begin : slot.end].reshape(slot.shape)
            drawn = generator.standard_normal(slot.shape)
            drawn *= np.linalg.norm(weight, axis=0) / np.linalg.norm(drawn, axis=0)
            found[slot.begin : slot.end] = drawn.ravel()
    return found


def slice_of(trained: Trained, points: int, reach: float, seed: int) -> Slice:
    """Return the loss at points x points places in a plane of two random directions around what was learned."""
    generator = np.random.default_rng(seed)
    x, y = direction(trained, generator), direction(trained, generator)
    steps = np.linspace(-reach, reach, points)
    along_x, along_y = (grid.reshape(-1, 1) for grid in np.meshgrid(steps, steps))
    theta = trained.learned.theta + along_x * x + along_y * y
    return Slice(steps, losses_at(trained, theta).reshape(points, points))


def way_between(one: Trained, other: Trained, points: int) -> Way:
    """Return the loss on the way from one run to another.

    Raises UserError if they have other layers or examples.
    """
    if one.layout != other.layout or one.data.train.x.tobytes() != other.data.train.x.tobytes():
        raise UserError("landscape: must have two runs of the same layers and data")
    shares = np.linspace(0, 1, points)
    begin, end = one.learned.theta, other.learned.theta
    return Way(shares, losses_at(one, begin + shares[:, None].astype(begin.dtype) * (end - begin)))


def spectra(trained: Trained) -> dict[str, Sequence[float]]:
    """Return the singular values of every weight matrix, the largest first, by its name."""
    weights = {name: array for name, array in trained.parameters().items() if name.endswith("weight")}
    return {name: np.linalg.svd(array, compute_uv=False).tolist() for name, array in weights.items()}
