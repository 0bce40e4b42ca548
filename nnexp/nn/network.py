"""A network: layers in order, and one flat array of all their parameters.

`theta` has the shape (runs, parameters). Layers see it through views, (runs, fan_in, fan_out) for a weight; the
gradient has the same form. So an optimizer is written for one array, and a single run is a stack of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnexp.component import Array
from nnexp.nn.initializers import Initializer
from nnexp.nn.layers import Layer, Memory, Parameters, Shape


@dataclass(frozen=True)
class Slot:
    """Where one parameter of one layer lives in theta."""

    layer: int
    name: str
    start: int
    shape: Shape

    @property
    def stop(self) -> int:
        """Return the end of the parameter in theta."""
        return self.start + int(np.prod(self.shape))


def layout(layers: Sequence[Layer], fan_in: int) -> tuple[Slot, ...]:
    """Return the place of every parameter in theta, for a network with `fan_in` inputs."""
    slots: list[Slot] = []
    for number, layer in enumerate(layers):
        for name, shape in layer.shapes(fan_in).items():
            slots.append(Slot(number, name, slots[-1].stop if slots else 0, shape))
        fan_in = layer.fan_out(fan_in)
    return tuple(slots)


def initial_theta(slots: Sequence[Slot], initializer: Initializer, generator: np.random.Generator) -> Array:
    """Return the starting parameters of one run, shape (parameters,): weights drawn in order, biases zero."""
    theta = np.zeros(slots[-1].stop)
    for slot in slots:
        if slot.name == "weight":
            theta[slot.start : slot.stop] = initializer.weights(generator, *slot.shape).ravel()
    return theta


class Network:
    """The layers of a stack of runs, bound to their parameters.

    Arguments
    ---------
    layers
        The layers, in order; their hyper-parameters may be arrays over the runs.
    slots
        The place of every parameter in theta.
    theta
        The parameters, shape (runs, parameters), contiguous. The network reads them; whoever trains it changes them
        in place.

    """

    def __init__(self, layers: Sequence[Layer], slots: Sequence[Slot], theta: Array) -> None:
        self.layers, self.slots, self.theta = tuple(layers), tuple(slots), theta
        self.gradient = np.zeros_like(theta)
        self._parameters = self._views(theta)
        self._gradients = self._views(self.gradient)
        self._memories = [Memory() for _ in layers]
        self._first = min(slot.layer for slot in slots)

    def _views(self, theta: Array) -> list[Parameters]:
        views: list[dict[str, Array]] = [{} for _ in self.layers]
        for slot in self.slots:
            views[slot.layer][slot.name] = theta[:, slot.start : slot.stop].reshape(-1, *slot.shape)
        return list(views)

    def forward(self, x: Array) -> Array:
        """Return the logits, shape (runs, examples, outputs), for inputs (examples, features), shared or one set a run.

        The result is a buffer that the next call with as many examples overwrites.
        """
        for layer, parameters, memory in zip(self.layers, self._parameters, self._memories, strict=True):
            x = layer.forward(x, parameters, memory)
        return x

    def backward(self, gradient: Array) -> Array:
        """Return dL/dtheta for `gradient` = dL/dlogits of the last forward pass; the next call overwrites it."""
        for number in range(len(self.layers) - 1, self._first - 1, -1):
            layer, memory = self.layers[number], self._memories[number]
            layer.differentiate(gradient, self._gradients[number], memory)
            if number > self._first:  # nobody asks for the gradient with respect to the data
                gradient = layer.backward(gradient, self._parameters[number], memory)
        return self.gradient
