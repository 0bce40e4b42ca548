"""A stack: runs of one shape that are trained together, one step at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnexp.component import Array
from nnexp.nn.initializers import Initializer
from nnexp.nn.layers import Layer
from nnexp.nn.losses import Loss
from nnexp.nn.network import Network, initial_theta, layout
from nnexp.optim.optimizers import Optimizer
from nnexp.optim.schedules import Schedule
from nnexp.training.batches import Streams
from nnexp.training.run_axis import stacked, taken

BLOCK = 32_768
"""Elements of theta that are updated at a time, so that an optimizer's temporaries stay in the cache."""


@dataclass(frozen=True)
class Recipe:
    """What may differ between the runs of a stack: numbers inside the components, and the seed."""

    layers: tuple[Layer, ...]
    initializer: Initializer
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    seed: int


class Stack:
    """The parameters of runs of one shape, and all that changes them.

    Arguments
    ---------
    recipes
        What each run is made of.
    fan_in
        The number of features.
    dtype
        float64 or float32, for the parameters and everything computed from them.

    """

    def __init__(self, recipes: Sequence[Recipe], fan_in: int, dtype: npt.DTypeLike) -> None:
        self.slots = layout(recipes[0].layers, fan_in)
        self.layers = [stacked(layers, 2, dtype) for layers in zip(*[recipe.layers for recipe in recipes], strict=True)]
        self.loss = stacked([recipe.loss for recipe in recipes], 2, dtype)
        self.optimizer = stacked([recipe.optimizer for recipe in recipes], 1, dtype)
        self.schedule = stacked([recipe.schedule for recipe in recipes], 1, np.float64)
        self.theta = np.empty((len(recipes), self.slots[-1].stop), dtype)
        for theta, recipe in zip(self.theta, recipes, strict=True):
            theta[:] = initial_theta(self.slots, recipe.initializer, Streams.of(recipe.seed).init)
        self.state = self.optimizer.init(self.theta)
        self.steps = 0
        self._bind()

    def _bind(self) -> None:
        self.network = Network(self.layers, self.slots, self.theta)
        width = max(1, BLOCK // len(self.theta))
        blocks = [np.s_[:, start : start + width] for start in range(0, self.theta.shape[1], width)]
        self._blocks = [
            (
                self.theta[block],
                self.network.gradient[block],
                {name: array[block] for name, array in self.state.items()},
            )
            for block in blocks
        ]

    def step(self, x: Array, y: Array) -> Array:
        """Descend once along the gradient of a batch's mean loss; return the logits from before, in a buffer."""
        self.steps += 1
        z = self.network.forward(x)
        self.network.backward(self.loss.backward(z, y) / z.shape[-2])
        factor = self.schedule.factor(self.steps)
        learning_rate = np.multiply(self.optimizer.learning_rate, factor).astype(self.theta.dtype)
        for theta, gradient, state in self._blocks:
            theta -= learning_rate * self.optimizer.update(gradient, state, self.steps)  # noqa: PLW2901 - in place
        return z

    def keep(self, runs: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs; nothing changes for them."""
        self.theta = self.theta[runs]
        self.state = {name: array[runs] for name, array in self.state.items()}
        self.layers = [taken(layer, runs) for layer in self.layers]
        self.loss, self.optimizer = taken(self.loss, runs), taken(self.optimizer, runs)
        self.schedule = taken(self.schedule, runs)
        self._bind()
