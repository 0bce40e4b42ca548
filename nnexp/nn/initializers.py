"""Starting weights, drawn for one layer of one run at a time.

In all of them `scale` is a factor on all weights, and so the field to sweep.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Annotated, Literal

import annotated_types as at
import numpy as np
import numpy.typing as npt

from nnexp.core.component import Component, NonNegative, Number, Positive
from nnexp.core.errors import DamagedError, UserError
from nnexp.core.npz import read_arrays

Weights = npt.NDArray[np.float64]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Initializer(Component):
    """A distribution of starting weights."""

    scale: NonNegative = 1.0
    bias: "Initializer | None" = None

    def draw(self, generator: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Weights:
        """Return starting values of a shape, for a layer with `fan_in` inputs and `fan_out` outputs."""
        return self.scale * self.unit(generator, fan_in, fan_out, shape)

    @abstractmethod
    def unit(self, generator: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Weights:
        """Return starting values before they are scaled."""


@dataclass(frozen=True)
class Normal(Initializer):
    """Weights from scale * N(0, 1), whatever the size of the layer."""

    scale: NonNegative = 0.01

    def unit(self, generator: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Weights:
        """Return N(0, 1)."""
        return generator.standard_normal(shape)


@dataclass(frozen=True)
class Uniform(Initializer):
    """Weights evenly from -scale to scale, whatever the size of the layer."""

    scale: NonNegative = 0.1

    def unit(self, generator: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Weights:
        """Return U(-1, 1)."""
        return generator.uniform(-1, 1, shape)


@dataclass(frozen=True)
class Constant(Initializer):
    """Every weight the same: scale * value. All units of a layer then learn the same thing."""

    value: Number = 0.1

    def unit(self, generator: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Weights:
        """Return the value."""
        return np.full(shape, self.value)


@dataclass(frozen=True)
class Zeros(Initializer):
    """Every weight zero."""

    def unit(self, generator: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Weights:
        """Return zeros."""
        return np.zeros(shape)


TRUNCATION = 2.0
TRUNCATED_DEVIATION = 0.87962566103423978
"""The standard deviation of N(0, 1) cut off at +-2; truncated draws are divided by it."""


@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Weights whose variance keeps signals of one size from layer to layer: scale^2 * gain / fan.

    The gain is 1 for LeCun and Glorot, 2 for He; the fan is the number of inputs of the layer for LeCun and He, the
    mean of its inputs and outputs for Glorot.

    References:
        LeCun et al., Efficient BackProp, 1998. Glorot and Bengio, Understanding the Difficulty of Training Deep
        Feedforward Neural Networks, AISTATS 2010. He et al., Delving Deep into Rectifiers, arXiv 1502.01852.
    """

    gain: Positive = 1.0
    fan: Literal["in", "average", "out"] = "in"
    distribution: Literal["normal", "uniform", "truncated"] = "normal"

    def unit(self, generator: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Weights:
        """Return values of mean 0 and variance gain / fan."""
        fan = {"in": fan_in, "average": (fan_in + fan_out) / 2, "out": fan_out}[self.fan]
        deviation = np.sqrt(self.gain / fan)
        if self.distribution == "uniform":
            return deviation * sqrt(3) * generator.uniform(-1, 1, shape)
        if self.distribution == "normal":
            return deviation * generator.standard_normal(shape)
        from scipy.special import ndtr, ndtri

        # The inverse of the distribution function, so that every draw takes one number from the stream.
        values: Weights = ndtri(generator.uniform(ndtr(-TRUNCATION), ndtr(TRUNCATION), shape))
        return deviation / TRUNCATED_DEVIATION * values


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """Weights with orthonormal rows or columns, whichever are fewer, drawn evenly among all such matrices.

    References:
        Saxe, McClelland and Ganguli, Exact Solutions to the Nonlinear Dynamics of Learning, arXiv 1312.6120.
    """

    def unit(self, generator: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Weights:
        """Return the orthogonal factor of a matrix of N(0, 1), with the signs that make the draw even."""
        rows, columns = shape
        q, r = np.linalg.qr(generator.standard_normal((max(shape), min(shape))))
        q *= np.sign(np.diag(r))
        return q if rows >= columns else q.T


@dataclass(frozen=True)
class FromRun(Initializer):
    """The parameters that another run has learned, or had at one of its snapshots; the seed does not matter for them.

    Attributes:
        run: The folder of a run with the same layers.
        snapshot: The epoch, or iteration, of one of its `trainer.snapshots`; None for the parameters that it left.
    """

    run: Annotated[str | None, "the folder of a run"] = None
    snapshot: Annotated[int, at.Ge(0)] | None = None

    def unit(self, generator: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Weights:
        """Raise NotImplementedError: the whole network is read at once."""
        raise NotImplementedError

    def parameters(self, shapes: Mapping[str, Shape]) -> dict[str, Weights]:
        """Return the parameters of given names and shapes, before they are scaled.

        Raises UserError if there is no such run, or it has other layers.
        """
        if self.run is None:
            raise UserError("initializer.run=null: must be the folder of a run")
        names = (
            ["parameters"]
            if self.snapshot is None
            else [f"parameters_{unit}_{self.snapshot}" for unit in ("epoch", "iteration")]
        )
        paths = [Path(self.run).expanduser() / f"{name}.npz" for name in names]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            what = "" if self.snapshot is None else f" with a snapshot at {self.snapshot}"
            raise UserError(f"initializer.run={self.run}: must be the folder of a run{what}, with {paths[0].name}")
        try:
            arrays, _ = read_arrays(path)
        except DamagedError as error:
            raise UserError(f"initializer.run={self.run}: must have files that nobody has changed ({error})") from error
        found = {name: array for name, array in arrays.items() if name in shapes}
        for name, shape in shapes.items():
            if name not in found or found[name].shape != shape:
                there = found[name].shape if name in found else "missing"
                raise UserError(
                    f"initializer.run={self.run}: must be a run with the same layers; {name} is {there} there, and "
                    f"{shape} here"
                )
        return {name: np.asarray(array, np.float64) for name, array in found.items()}
