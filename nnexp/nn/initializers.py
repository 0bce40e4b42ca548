"""Starting weights, drawn for one layer of one run at a time."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnexp.component import Component, NonNegative

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Initializer(Component):
    """A distribution of starting weights; biases start at zero.

    Attributes
    ----------
    scale
        The factor that scales the starting weights, and so the knob to sweep.

    """

    scale: NonNegative = 1.0

    @abstractmethod
    def weights(self, generator: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        """Return starting weights of shape (fan_in, fan_out)."""


@dataclass(frozen=True)
class Normal(Initializer):
    """Weights from scale * N(0, 1), whatever the size of the layer."""

    scale: NonNegative = 0.01

    def weights(self, generator: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        """Return scale * N(0, 1)."""
        return self.scale * generator.standard_normal((fan_in, fan_out))
