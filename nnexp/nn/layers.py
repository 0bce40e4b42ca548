"""Layers: the steps of a network, each a forward and a backward pass that can be read on its own.

A layer is a frozen dataclass and holds no arrays. Its parameters are views into the flat theta of the stack, and what
its backward pass has to remember goes into a `Memory`, which also owns the buffers that the layer writes into. The
arrays that pass through have the shape (runs, examples, units); nothing in a layer depends on the number of runs.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nnexp.component import Array, Component, Count
from nnexp.nn.activations import Activation

Shape = tuple[int, ...]
Parameters = Mapping[str, Array]


class Memory:
    """What one layer remembers from its forward to its backward pass, and the buffers that both write into."""

    def __init__(self) -> None:
        self.saved: dict[str, Array] = {}
        self._buffers: dict[tuple[str, Shape], Array] = {}

    def buffer(self, name: str, shape: Shape, like: Array) -> Array:
        """Return the buffer of this name and shape, of the dtype of `like`; its content is whatever was left in it."""
        buffer = self._buffers.get((name, shape))
        if buffer is None:
            buffer = self._buffers[name, shape] = np.empty(shape, like.dtype)
        return buffer


@dataclass(frozen=True)
class Layer(Component):
    """One step of a network."""

    def fan_out(self, fan_in: int) -> int:
        """Return the number of units that come out when `fan_in` go in."""
        return fan_in

    def shapes(self, fan_in: int) -> dict[str, Shape]:  # noqa: ARG002
        """Return the shape of every parameter of the layer, for one run."""
        return {}

    @abstractmethod
    def forward(self, x: Array, parameters: Parameters, memory: Memory) -> Array:
        """Return the output of the layer, and remember what the backward pass needs."""

    @abstractmethod
    def backward(self, gradient: Array, parameters: Parameters, memory: Memory) -> Array:
        """Return dL/dinput for `gradient` = dL/doutput, whose memory may be reused."""

    def differentiate(self, gradient: Array, gradients: Parameters, memory: Memory) -> None:
        """Write dL/dparameter into `gradients`, for `gradient` = dL/doutput."""


@dataclass(frozen=True)
class Dense(Layer):
    """An affine map: output = x W + b, with W of shape (fan_in, units).

    dL/dW = x^T g, dL/db = sum of g over the examples, dL/dx = g W^T, for g = dL/doutput.
    """

    units: Count = 16

    def fan_out(self, fan_in: int) -> int:  # noqa: ARG002
        """Return `units`."""
        return self.units

    def shapes(self, fan_in: int) -> dict[str, Shape]:
        """Return the shapes of weight and bias."""
        return {"weight": (fan_in, self.units), "bias": (1, self.units)}

    def forward(self, x: Array, parameters: Parameters, memory: Memory) -> Array:
        """Return x W + b."""
        weight, bias = parameters["weight"], parameters["bias"]
        memory.saved["x"] = x
        z = np.matmul(x, weight, out=memory.buffer("z", (len(weight), x.shape[-2], self.units), weight))
        z += bias
        return z

    def backward(self, gradient: Array, parameters: Parameters, memory: Memory) -> Array:
        """Return g W^T."""
        weight = parameters["weight"]
        out = memory.buffer("gradient", (*gradient.shape[:-1], weight.shape[-2]), weight)
        return np.matmul(gradient, weight.mT, out=out)

    def differentiate(self, gradient: Array, gradients: Parameters, memory: Memory) -> None:
        """Write x^T g and the sum of g."""
        np.matmul(memory.saved["x"].mT, gradient, out=gradients["weight"])
        np.sum(gradient, axis=-2, keepdims=True, out=gradients["bias"])


@dataclass(frozen=True)
class Activate(Layer):
    """An activation function as a layer."""

    activation: Activation

    def forward(self, x: Array, parameters: Parameters, memory: Memory) -> Array:  # noqa: ARG002
        """Return f(x)."""
        a = self.activation.forward(x, memory.buffer("a", x.shape, x))
        memory.saved.update(z=x, a=a)
        return a

    def backward(self, gradient: Array, parameters: Parameters, memory: Memory) -> Array:  # noqa: ARG002
        """Return g f'(x)."""
        return self.activation.backward(gradient, memory.saved["z"], memory.saved["a"])
