"""A stack: runs of one shape that are trained together, one step at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nnexp.component import Array
from nnexp.nn.initializers import Initializer
from nnexp.nn.layers import Layer
from nnexp.nn.losses import Loss
from nnexp.nn.network import Layout, Network, size
from nnexp.nn.parametrization import learning_rate_factors, told_of_base_width
from nnexp.optim.optimizers import Optimizer
from nnexp.optim.regularization import Regularization
from nnexp.optim.schedules import Schedule, Time
from nnexp.training.batches import Examples, RunStreams, stream
from nnexp.training.history import Parameters
from nnexp.training.run_axis import stacked, taken

BLOCK = 32_768
"""Elements of theta that are updated at a time, so that an optimizer's temporaries stay in the cache."""


@dataclass(frozen=True)
class Recipe:
    """What may differ between the runs of a stack: numbers inside the components, and the seed.

    `base_width` is that of the maximal update parametrization; None is the standard one.
    """

    layers: tuple[Layer, ...]
    initializer: Initializer
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    seed: int
    regularization: Regularization = field(default_factory=Regularization)
    base_width: int | None = None


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
        first = recipes[0]
        layout = Layout.of(first.layers, fan_in)
        self.layout = layout if first.base_width is None else told_of_base_width(layout, first.base_width)
        self.layers = [stacked(layers, 2, dtype) for layers in zip(*[recipe.layers for recipe in recipes], strict=True)]
        self.loss = stacked([recipe.loss for recipe in recipes], 2, dtype)
        self.optimizer = stacked([recipe.optimizer for recipe in recipes], 1, dtype)
        self.regularization = stacked([recipe.regularization for recipe in recipes], 1, dtype)
        self.schedule = stacked([recipe.schedule for recipe in recipes], 1, np.float64)
        self.theta = np.empty((len(recipes), size(self.layout.parameters)), dtype)
        for theta, recipe in zip(self.theta, recipes, strict=True):
            theta[:] = self.layout.initial_theta(recipe.initializer, stream(recipe.seed, "init"))
        self.statistics = np.tile(self.layout.initial_statistics().astype(dtype), (len(recipes), 1))
        self.state = self.optimizer.init(self.theta)
        self.schedule_state = self.schedule.init(len(recipes))
        self.steps = 0

        self._dropout = RunStreams([recipe.seed for recipe in recipes], "dropout")
        self._penalised = np.ones(self.theta.shape[1], dtype)
        for slot in self.layout.parameters:
            if slot.start != "weight" and not first.regularization.biases:
                self._penalised[slot.begin : slot.end] = 0
        self._factors: Array | None = None
        if first.base_width is not None:
            factors = learning_rate_factors(self.layout, first.base_width, adaptive=first.optimizer.adaptive)
            self._factors = factors.astype(dtype) if (factors != 1).any() else None
        self._bind()

    def _bind(self) -> None:
        """Make the network and cut theta into blocks, as views that steps can use again and again."""
        self.network = Network(self.layers, self.layout, self.theta, self.statistics, self._dropout.uniform)
        self._moment, self._rate = -1, self.theta[:, :0]
        width = max(1, BLOCK // len(self.theta))
        self._blocks = [
            (
                slice(begin, begin + width),
                self.theta[:, begin : begin + width],
                self.network.gradient[:, begin : begin + width],
                {name: array[:, begin : begin + width] for name, array in self.state.items()},
            )
            for begin in range(0, self.theta.shape[1], width)
        ]

    def __getstate__(self) -> dict[str, object]:
        """Return everything but the views into theta, which a pickle would turn into copies."""
        return {name: value for name, value in vars(self).items() if name not in ("network", "_blocks")}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Make the views anew."""
        vars(self).update(state)
        self._bind()

    def step(self, batch: Examples, time: Time) -> Array:
        """Descend once along the gradient of a batch's mean loss; return the logits from before, in a buffer."""
        z = self.network.forward(batch.rows(), training=True)
        gradient = self.network.backward(self.slope(z, batch))
        self.regularization.restrain(gradient, self.theta, self._penalised)

        self.steps += 1
        learning_rate = self._learning_rate(time)
        for columns, theta, gradient_block, state in self._blocks:
            direction = self.optimizer.update(gradient_block, state, self.steps)
            if self.regularization.weight_decay is not None:
                direction = direction + self.regularization.decay(theta, self._penalised[columns])
            rate = learning_rate if self._factors is None else learning_rate * self._factors[columns]
            theta -= rate * direction  # noqa: PLW2901 - in place
        return z

    def slope(self, z: Array, batch: Examples) -> Array:
        """Return the gradient of a batch's mean loss with respect to its logits."""
        slope = self.loss.backward(z, batch.y)
        if batch.weights is not None:
            slope = slope * batch.weights.repeat(batch.views, axis=-1)[..., None]
        slope /= z.shape[-2] / batch.views
        return slope

    def _learning_rate(self, time: Time) -> Array:
        """Return the learning rate of each run, which changes once an epoch under most schedules."""
        moment = time.step if self.schedule.per == "step" else time.epoch
        if moment != self._moment:
            factor = self.schedule.factor(time, self.schedule_state)
            self._rate = np.multiply(self.optimizer.learning_rate, factor).astype(self.theta.dtype)
            self._moment = moment
        return self._rate

    def observe(self, row: Mapping[str, Array]) -> None:
        """Let the schedule take notice of the loss of the training part after a round."""
        self.schedule.observe(row["train/loss"][:, None], self.schedule_state)

    def learned(self, index: int) -> Parameters:
        """Return a copy of what one run has learned."""
        return Parameters(self.theta[index].copy(), self.statistics[index].copy())

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.theta)

    def keep(self, runs: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs; nothing changes for them."""
        self.theta, self.statistics = self.theta[runs], self.statistics[runs]
        self.state = {name: array[runs] for name, array in self.state.items()}
        self.schedule_state = {name: array[runs] for name, array in self.schedule_state.items()}
        self.layers = [taken(layer, runs) for layer in self.layers]
        self.loss, self.optimizer = taken(self.loss, runs), taken(self.optimizer, runs)
        self.regularization, self.schedule = taken(self.regularization, runs), taken(self.schedule, runs)
        self._dropout.keep(runs)
        self._bind()
