"""Architectures: descriptions from which the layers of a network follow."""

from abc import abstractmethod
from dataclasses import dataclass, field

from nnexp.component import Component, Count
from nnexp.nn.activations import Activation, Sigmoid
from nnexp.nn.layers import Activate, Dense, Layer


@dataclass(frozen=True)
class Architecture(Component):
    """A description of a network without its output layer, whose size follows from the data and the loss."""

    @abstractmethod
    def layers(self, outputs: int) -> tuple[Layer, ...]:
        """Return the layers of a network with this many output units."""


@dataclass(frozen=True)
class MLP(Architecture):
    """A multi-layer perceptron: dense hidden layers, each followed by the same activation, and a dense output layer.

    Attributes
    ----------
    hidden
        The number of units of every hidden layer.
    activation
        The activation of the hidden layers; the output's belongs to the loss.

    """

    hidden: tuple[Count, ...] = (16, 8)
    activation: Activation = field(default_factory=Sigmoid)

    def layers(self, outputs: int) -> tuple[Layer, ...]:
        """Return dense, activation, dense, activation, ..., dense."""
        hidden = [layer for units in self.hidden for layer in (Dense(units), Activate(self.activation))]
        return (*hidden, Dense(outputs))
