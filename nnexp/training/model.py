"""A trained network, which predicts from features."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from nnexp.core.component import Array, Labels
from nnexp.data.dataset import Data, Scaling
from nnexp.nn.layers import Layer
from nnexp.nn.losses import Loss
from nnexp.nn.network import Layout, Network
from nnexp.training.history import Parameters
from nnexp.training.stack import Recipe
from nnexp.training.stacking import stacked


@dataclass(frozen=True)
class Model:
    """A trained network with all that is needed to predict with it.

    Attributes:
        layers, loss: Its components.
        fan_in: The number of features.
        learned: Its parameters.
        target_scaling: The scaling of the targets of a regression; None where they were not scaled.
    """

    layers: tuple[Layer, ...]
    loss: Loss
    fan_in: int
    learned: Parameters
    target_scaling: Scaling | None

    @cached_property
    def layout(self) -> Layout:
        """Return the place of every parameter."""
        return Layout.of(self.layers, self.fan_in)

    @cached_property
    def network(self) -> Network:
        """Return the network, as a stack of one."""
        theta, statistics = self.learned.theta[None], self.learned.statistics[None]
        layers = [stacked([layer], 2, theta.dtype) for layer in self.layers]
        return Network(layers, self.layout, theta, statistics)

    @np.errstate(over="ignore", invalid="ignore")  # probabilities of extreme logits are right nevertheless
    def logits(self, x: Array) -> Array:
        """Return the outputs of the last layer, shape (examples, outputs), for scaled features."""
        logits: Array = self.network.predict(np.ascontiguousarray(x, self.learned.theta.dtype))[0]
        return logits

    @np.errstate(over="ignore", invalid="ignore")
    def probabilities(self, x: Array) -> Array:
        """Return the probability of every class, shape (examples, classes), for scaled features."""
        return self.loss.class_probabilities(self.logits(x))

    def decide(self, x: Array) -> Labels:
        """Return the most probable class of each example, for scaled features."""
        return self.loss.decide(self.logits(x))

    def numbers(self, x: Array) -> Array:
        """Return the predictions of a regression in the units of its targets, for scaled features."""
        predicted = self.loss.predict(self.logits(x))
        return predicted if self.target_scaling is None else self.target_scaling.undo(predicted)

    def parameters(self) -> dict[str, Array]:
        """Return the learned arrays by name, such as `0.weight` for the weight of the first layer."""
        pairs = [(self.layout.parameters, self.learned.theta), (self.layout.statistics, self.learned.statistics)]
        return {slot.title: flat[slot.begin : slot.end].reshape(slot.shape) for slots, flat in pairs for slot in slots}


@dataclass(frozen=True)
class Trained(Model):
    """A model and the data it was trained on."""

    data: Data

    @classmethod
    def of(cls, recipe: Recipe, learned: Parameters, data: Data) -> Self:
        """Return the model of a run."""
        return cls(
            layers=recipe.layers,
            loss=recipe.loss,
            fan_in=data.train.x.shape[-1],
            learned=learned,
            target_scaling=data.target_scaling,
            data=data,
        )
