"""Compares the gradient of a network with finite differences, layer by layer, so that a wrong one shows where it is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from math import sqrt
from typing import NamedTuple

import numpy as np

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.data.dataset import Data
from nnexp.nn.layers import Layer, Learned
from nnexp.nn.network import Network, Slot
from nnexp.training.binding import same_uniform
from nnexp.training.checks import EXAMPLES, few, names_of, slots_of
from nnexp.training.evaluator import losses_of
from nnexp.training.loop import WITHOUT_WARNINGS
from nnexp.training.stack import Recipe, Stack
from nnexp.training.step import mean_loss_gradient

COMPARED = 10
"""How many random directions, and how many single numbers, are compared in the parameters and inputs of a layer."""
TOLERANCE = 1e-5
"""The largest deviation of a right gradient; by finite differences in float64 it is some 1e-10."""
STEPS = (1e-5, 1e-6, 1e-7)
"""The steps of finite differences; a smaller one is tried where a larger one may have gone over a kink."""
TINY = 1e-8
"""A slope that counts as none."""


@dataclass(frozen=True)
class Slope:
    """A derivative as a component claims it, and as finite differences find it.

    Attributes:
        of: By what, such as `0.weight[3, 1]`.
        deviation: How far they are apart, relative to the larger one or a typical one.
        kink: Whether the function has a kink there, and a claim by a single number is between the slopes on its sides.
    """

    of: str
    claimed: float
    found: float
    deviation: float
    kink: bool

    @property
    def wrong(self) -> bool:
        """Tell whether the claim is wrong."""
        return not self.kink and not self.deviation <= TOLERANCE


@dataclass(frozen=True)
class Gradient:
    """What was compared in a layer, in the loss, or in the whole network."""

    name: str
    slopes: Sequence[Slope]

    @property
    def deviation(self) -> float:
        """Return the largest deviation, but for kinks."""
        return max((slope.deviation for slope in self.slopes if not slope.kink), default=0.0)

    @property
    def kinks(self) -> int:
        """Return how many slopes are at a kink."""
        return sum(slope.kink for slope in self.slopes)

    @property
    def wrong(self) -> Slope | None:
        """Return a slope that is wrong, if possible by a single number; None if all are right."""
        wrong = [slope for slope in self.slopes if slope.wrong]
        return max(wrong, key=lambda slope: (slope.of.endswith("]"), slope.deviation), default=None)


@WITHOUT_WARNINGS
def gradients(recipe: Recipe, data: Data, *, every: bool = False) -> list[Gradient]:
    """Return the gradient of each layer, of the loss, and of all together, compared with finite differences in float64.

    Each layer is looked at alone, its outputs weighed at random, by its parameters and its inputs: so a wrong one shows
    where it is. The parameters are not those of the start, where many networks are almost flat, but of a usual size.

    Raises UserError if a derivative has not the shape of its inputs.

    Args:
        recipe: The components.
        data: The data set, of which a few training examples are taken.
        every: Whether to compare every single number, and not some.
    """
    recipe = replace(recipe, layers=tuple(map(_thawed, recipe.layers)))
    generator, examples = np.random.default_rng(0), few(recipe, data, EXAMPLES)
    stack = Stack([recipe], data.train.x.shape[-1], np.float64)
    for slot in stack.layout.parameters:
        spread = 1 / sqrt(slot.fan_in) if slot.start == "weight" else 0.1
        middle = slot.start if isinstance(slot.start, float) else 0.0
        stack.theta[:, slot.begin : slot.end] = generator.normal(middle, spread, slot.end - slot.begin)
    network = Network(stack.layers, stack.layout, stack.theta, stack.statistics, uniform=same_uniform)
    compare = partial(_compared, generator=generator, every=every)
    found = []
    x, theta, gradient = examples.rows()[None].copy(), stack.theta[0], network.gradient[0]
    for number, (layer, cell) in enumerate(network.parts(training=True)):
        weights: Array = generator.standard_normal(layer.forward(x, cell).shape)
        back = weights.copy()
        layer.differentiate(back, cell)
        back = layer.backward(back, cell).copy()
        name = names_of(recipe.layers)[number]
        if back.shape != x.shape:
            raise UserError(
                f"layer {name}: backward must return an array of the input's shape, {x.shape}, not {back.shape}"
            )
        value = partial(_weighed, layer.forward, x, cell, weights)
        slots = slots_of(stack, number)
        here = slice(slots[0].begin, slots[-1].end) if slots else slice(0)
        slopes = [
            *compare(value, theta[here], gradient[here].copy(), slots),
            *compare(value, x.reshape(-1), back.reshape(-1), [_input(x)]),
        ]
        found.append(Gradient(name, slopes))
        x = layer.forward(x, cell).copy()
    claimed = mean_loss_gradient(stack.loss, x, examples)
    if claimed.shape != x.shape:
        raise UserError(f"loss: backward must return an array of the logits' shape, {x.shape}, not {claimed.shape}")

    def loss_of(logits: Callable[[], Array]) -> float:
        return float(losses_of(stack.loss, logits(), examples).mean())

    slopes = [*compare(partial(loss_of, lambda: x), x.reshape(-1), claimed.reshape(-1), [_input(x)])]
    found.append(Gradient("loss", slopes))
    forward = partial(network.forward, examples.rows(), training=True)
    claimed = network.backward(mean_loss_gradient(stack.loss, forward(), examples))[0].copy()
    return [*found, Gradient("network", [*compare(partial(loss_of, forward), theta, claimed, [])])]


def _thawed(layer: Layer) -> Layer:
    """Return a layer of which nothing is frozen, for of frozen parameters no gradient is computed."""
    inner = {one.name: getattr(layer, one.name) for one in fields(layer)}
    changes: dict[str, object] = {
        name: tuple(map(_thawed, value))
        for name, value in inner.items()
        if isinstance(value, tuple) and all(isinstance(one, Layer) for one in value)
    }
    return replace(layer, **changes, **({"frozen": False} if isinstance(layer, Learned) else {}))


def _input(x: Array) -> Slot:
    """Return the input of a layer as if it were a parameter, which has a name and a shape."""
    return Slot((), "input", 0, x.shape[1:], start=0.0, fan_in=0, fan_out=0)


def _weighed(forward: Callable[..., Array], x: Array, cell: object, weights: Array) -> float:
    return float((weights * forward(x, cell)).sum())


def _compared(
    value: Callable[[], float],
    array: Array,
    gradient: Array,
    slots: Sequence[Slot],
    generator: np.random.Generator,
    *,
    every: bool,
) -> Iterator[Slope]:
    """Yield slopes of a function of an array, which is changed in place, along directions and by single numbers.

    Single numbers are those of the slots, if there are any.
    """
    if not array.size:
        return
    typical = float(np.linalg.norm(gradient)) / sqrt(array.size)
    named = ", ".join(dict.fromkeys(slot.title for slot in slots)) or "all parameters"
    for _ in range(COMPARED):
        along = generator.standard_normal(array.size)
        of, size = f"{named}, a random direction", typical * float(np.linalg.norm(along))
        yield _slope(value, array, _Way(of, slice(None), along, claimed=float(gradient @ along), typical=size))
    if slots:
        some = generator.choice(array.size, min(COMPARED, array.size), replace=False)
        for place in range(array.size) if every else sorted(some.tolist()):
            slot = [slot for slot in slots if slot.begin - slots[0].begin <= place][-1]
            index = np.unravel_index(place - (slot.begin - slots[0].begin), slot.shape)
            of, here = f"{slot.title}[{', '.join(map(str, index))}]", slice(place, place + 1)
            yield _slope(value, array, _Way(of, here, np.ones(1), claimed=float(gradient[place]), typical=typical))


class _Way(NamedTuple):
    """A direction in a part of an array: its name, the slope that is claimed along it, and a size that is typical."""

    of: str
    where: slice
    along: Array
    claimed: float
    typical: float


def _slope(value: Callable[[], float], array: Array, way: _Way) -> Slope:
    """Return the slope of a function of an array, which is changed in place, along a way."""
    kept, claimed, typical = array[way.where].copy(), way.claimed, way.typical

    def at(step: float) -> float:
        array[way.where] = kept + step * way.along
        result = value()
        array[way.where] = kept
        return result

    for step in STEPS:
        found = (at(step) - at(-step)) / (2 * step)
        deviation = abs(found - claimed) / max(abs(found), abs(claimed), typical, TINY)
        if deviation <= TOLERANCE:
            return Slope(way.of, claimed, found, deviation, kink=False)
    here = at(0)
    sides = sorted([(here - at(-step)) / step, (at(step) - here) / step])
    slack = TOLERANCE * max(*map(abs, sides), typical)
    between = sides[0] - slack <= claimed <= sides[1] + slack
    # Along a direction there may be many kinks at once, and their slopes may add up to anything.
    kink = sides[1] - sides[0] > slack and (between or len(way.along) > 1)
    return Slope(way.of, claimed, found, deviation, kink=kink)
