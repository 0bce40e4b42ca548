"""A trained network, to be asked."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nnexp.component import Array, Labels
from nnexp.data.dataset import Data
from nnexp.nn.network import Layout, Network
from nnexp.training.history import Parameters
from nnexp.training.run_axis import stacked
from nnexp.training.stack import Recipe


@dataclass(frozen=True)
class Trained:
    """What a run has learned, with all that it takes to use it.

    Attributes
    ----------
    recipe
        What the run is made of.
    learned
        Its parameters.
    data
        The data it was trained on.

    """

    recipe: Recipe
    learned: Parameters
    data: Data

    @cached_property
    def layout(self) -> Layout:
        """Return the place of every parameter."""
        return Layout.of(self.recipe.layers, self.data.train.x.shape[-1])

    @cached_property
    def network(self) -> Network:
        """Return the network, as a stack of one."""
        theta, statistics = self.learned.theta[None], self.learned.statistics[None]
        layers = [stacked([layer], 2, theta.dtype) for layer in self.recipe.layers]
        return Network(layers, self.layout, theta, statistics)

    @np.errstate(over="ignore", invalid="ignore")  # probabilities of extreme logits are right all the same
    def logits(self, x: Array) -> Array:
        """Return the outputs of the last layer, shape (examples, outputs), for scaled features."""
        logits: Array = self.network.predict(np.ascontiguousarray(x, self.learned.theta.dtype))[0]
        return logits

    @np.errstate(over="ignore", invalid="ignore")
    def probabilities(self, x: Array) -> Array:
        """Return the probability of every class, shape (examples, classes), for scaled features."""
        return self.recipe.loss.class_probabilities(self.logits(x))

    def decide(self, x: Array) -> Labels:
        """Return the most probable class of each example, for scaled features."""
        return self.recipe.loss.decide(self.logits(x))

    def numbers(self, x: Array) -> Array:
        """Return the predictions of a regression in the units of its targets, for scaled features."""
        return self.data.raw_targets(self.recipe.loss.predict(self.logits(x)))

    def parameters(self) -> dict[str, Array]:
        """Return what was learned by name, such as `0.weight` for the weight of the first layer."""
        pairs = [(self.layout.parameters, self.learned.theta), (self.layout.statistics, self.learned.statistics)]
        return {slot.title: flat[slot.begin : slot.end].reshape(slot.shape) for slots, flat in pairs for slot in slots}
