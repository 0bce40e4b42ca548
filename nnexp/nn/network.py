"""A network: layers in order, and one flat array of all their parameters.

`theta` has the shape (runs, parameters). The parameters of a layer are views into it, of shape (runs, fan_in, fan_out)
for a weight; the gradient has the same form. So an optimizer works on one array, and a single run is a stack of one.
Running statistics are a second flat array of the same kind.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.nn.initializers import FromRun, Initializer, Shape
from nnexp.nn.layers import (
    Activate,
    Cell,
    Dense,
    Layer,
    Learned,
    Mode,
    Parameter,
    Residual,
    Start,
    backward,
    forward,
    learns,
)

CHUNK = 1024
"""Rows that are predicted at a time. The same for any number of runs, because it may change the last bits."""


@dataclass(frozen=True)
class Slot:
    """The place of one array of one layer in a flat array, and how it starts.

    Attributes:
        path: The number of its layer, or the numbers of the block and of the layer in it.
        begin: Where it begins in the flat array.
        fan_in, fan_out: The numbers of inputs and outputs of its layer, for the initializer.
    """

    path: tuple[int, ...]
    name: str
    begin: int
    shape: Shape
    start: Start
    fan_in: int
    fan_out: int

    @property
    def end(self) -> int:
        """Return the end of the array in the flat array."""
        return self.begin + prod(self.shape)

    @property
    def title(self) -> str:
        """Return the name of the array in the network, such as `0.weight`."""
        return ".".join([*map(str, self.path), self.name])


@dataclass(frozen=True)
class Layout:
    """The place of every parameter in theta, and of every running statistic beside it."""

    parameters: tuple[Slot, ...]
    statistics: tuple[Slot, ...]

    @classmethod
    def of(cls, layers: Sequence[Layer], fan_in: int) -> "Layout":
        """Return the layout of a network with `fan_in` inputs."""
        return cls(
            _slots(layers, fan_in, lambda layer, fan_in: layer.parameters(fan_in)),
            _slots(layers, fan_in, lambda layer, fan_in: layer.statistics(fan_in)),
        )

    def initial_theta(self, initializer: Initializer, generator: np.random.Generator) -> Array:
        """Return the starting parameters of one run, shape (parameters,), drawn in the order of the layers."""
        theta = np.zeros(size(self.parameters))
        if isinstance(initializer, FromRun):
            learned = initializer.parameters({slot.title: slot.shape for slot in self.parameters})
            for slot in self.parameters:
                scale = initializer.scale if slot.start == "weight" else 1.0
                theta[slot.begin : slot.end] = learned[slot.title].ravel() * scale
            return theta
        for slot in self.parameters:
            drawn = {"weight": initializer, "bias": initializer.bias}
            source = drawn.get(slot.start) if isinstance(slot.start, str) else None
            if source is not None:
                values = source.draw(generator, slot.fan_in, slot.fan_out, slot.shape)
                theta[slot.begin : slot.end] = values.ravel()
            elif isinstance(slot.start, float):
                theta[slot.begin : slot.end] = slot.start
        return theta

    def scale(self, theta: Array, layers: Sequence[Layer]) -> None:
        """Multiply the weights in parameters of shape (runs, parameters) by the scales of their layers."""
        for slot in self.parameters:
            layer = layer_at(layers, slot.path)
            if isinstance(layer, Dense) and slot.start == "weight":
                theta[:, slot.begin : slot.end] *= np.reshape(layer.scale, (-1, 1))

    def learning_rates(self, layers: Sequence[Layer], theta: Array) -> Array:
        """Return the factor on the learning rate of every parameter, of the shape of theta."""
        rates = np.ones_like(theta)
        for slot in self.parameters:
            layer = layer_at(layers, slot.path)
            if isinstance(layer, Learned):
                rates[:, slot.begin : slot.end] = np.reshape(layer.rate_of(slot.name), (-1, 1))
        return rates

    def initial_statistics(self, theta: Array) -> Array:
        """Return the statistics of runs before the first step, shape (..., statistics), given their theta."""
        statistics = np.empty((*theta.shape[:-1], size(self.statistics)), theta.dtype)
        for slot in self.statistics:
            within = [one for one in self.parameters if one.path[: len(slot.path)] == slot.path]
            copied = slot.start == "parameters"
            start = theta[..., within[0].begin : within[-1].end] if copied else slot.start
            statistics[..., slot.begin : slot.end] = start
        return statistics


def size(slots: Sequence[Slot]) -> int:
    """Return the length of the flat array that holds these slots."""
    return slots[-1].end if slots else 0


def layer_at(layers: Sequence[Layer], path: Sequence[int]) -> Layer:
    """Return the layer of a slot."""
    layer = layers[path[0]]
    return layer_at(layer.children(), path[1:]) if path[1:] else layer


def _slots(
    layers: Sequence[Layer], fan_in: int, of: Callable[[Layer, int], dict[str, Parameter]], path: tuple[int, ...] = ()
) -> tuple[Slot, ...]:
    slots: list[Slot] = []
    for number, layer in enumerate(layers):
        here, fan_out = (*path, number), layer.fan_out(fan_in)
        for name, parameter in of(layer, fan_in).items():
            slots.append(
                Slot(
                    path=here,
                    name=name,
                    begin=size(slots),
                    shape=parameter.shape,
                    start=parameter.start,
                    fan_in=fan_in,
                    fan_out=fan_out,
                )
            )
        if isinstance(layer, Residual):
            inner = outputs(layer.layers, fan_in)
            if inner != fan_in:
                raise UserError(
                    f"architecture.layers: a residual block must have as many outputs as inputs, not {inner}"
                )
        within = _slots(layer.children(), fan_in, of, here)
        slots += [replace(slot, begin=slot.begin + size(slots)) for slot in within] if within else []
        fan_in = fan_out
    return tuple(slots)


def outputs(layers: Sequence[Layer], fan_in: int) -> int:
    """Return the number of outputs of layers in succession."""
    for layer in layers:
        fan_in = layer.fan_out(fan_in)
    return fan_in


class Network:
    """The layers of a stack of runs, bound to their arrays.

    Args:
        layers: The layers, in order; their hyper-parameters may be arrays over the runs.
        layout: The place of every array.
        theta: The parameters, shape (runs, parameters), contiguous. The network reads them; the training loop changes
            them in place.
        statistics: The running statistics, shape (runs, statistics), which the network changes while it trains.
        uniform: Where random numbers come from, see `Mode`.
        gradient: An array of the shape of theta for the gradient; None makes one at the first backward pass.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        layout: Layout,
        theta: Array,
        statistics: Array,
        uniform: Callable[[Shape], Array] | None = None,
        gradient: Array | None = None,
    ) -> None:
        self.layers, self.theta = tuple(layers), theta
        self._layout, self._gradient = layout, gradient
        self._mode = Mode(uniform=uniform)
        self._cells = [_cell(layer, self._mode) for layer in layers]
        for slot in layout.parameters:
            self._cell_at(slot.path).parameters[slot.name] = _view(theta, slot)
        for slot in layout.statistics:
            self._cell_at(slot.path).statistics[slot.name] = _view(statistics, slot)
        self._first = min(slot.path[0] for slot in layout.parameters if learns(layer_at(layers, slot.path)))
        self._above = self.layers[self._first + 1 :], self._cells[self._first + 1 :]

    @cached_property
    def gradient(self) -> Array:
        """Return the array of the gradient, into which the layers write."""
        flat = np.zeros_like(self.theta) if self._gradient is None else self._gradient
        for slot in self._layout.parameters:
            self._cell_at(slot.path).gradients[slot.name] = _view(flat, slot)
        return flat

    def _cell_at(self, path: tuple[int, ...]) -> Cell:
        cell = self._cells[path[0]]
        for number in path[1:]:
            cell = cell.children[number]
        return cell

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return the logits, shape (runs, rows, outputs), for inputs (rows, features), shared or one set a run."""
        self._mode.training = training
        return forward(self.layers, x, self._cells)

    def predict(self, x: Array) -> Array:
        """Return the logits, computed for some rows at a time, so that the hidden layers need little memory."""
        chunks = [self.forward(x[..., begin : begin + CHUNK, :]) for begin in range(0, x.shape[-2], CHUNK)]
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks, axis=-2)

    def parts(self, *, training: bool = False) -> list[tuple[Layer, Cell]]:
        """Return the layers, each with its arrays, to be called one by one."""
        self._mode.training = training
        _ = self.gradient  # its parts belong to the arrays
        return list(zip(self.layers, self._cells, strict=True))

    def activations(self) -> Iterator[tuple[Activate, Cell]]:
        """Yield the activation layers of the network, in order, each with the arrays of its last forward pass."""
        yield from _activations(self.layers, self._cells)

    def backward(self, gradient: Array) -> Array:
        """Return dL/dtheta for `gradient` = dL/dlogits of the last forward pass; the next call overwrites it."""
        layers, cells = self._above
        whole = self.gradient
        gradient = backward(layers, gradient, cells)
        # The gradient with respect to the data is not needed, so `backward` of the first layer that learns is left out.
        self.layers[self._first].differentiate(gradient, self._cells[self._first])
        return whole


def _activations(layers: Sequence[Layer], cells: Sequence[Cell]) -> Iterator[tuple[Activate, Cell]]:
    for layer, cell in zip(layers, cells, strict=True):
        if isinstance(layer, Activate):
            yield layer, cell
        yield from _activations(layer.children(), cell.children)


def _cell(layer: Layer, mode: Mode) -> Cell:
    return Cell(mode, children=[_cell(child, mode) for child in layer.children()])


def _view(flat: Array, slot: Slot) -> Array:
    return flat[:, slot.begin : slot.end].reshape(len(flat), *slot.shape)
