"""Looks at a network before it trains: what it starts with, and whether all that training takes for granted is so."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt
from time import monotonic
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array, Component
from nnexp.core.errors import UserError
from nnexp.data.dataset import Data, Part
from nnexp.nn.layers import Activate, Layer
from nnexp.nn.network import Network, Slot
from nnexp.optim.optimizers import Adam
from nnexp.optim.regularization import Regularization
from nnexp.optim.schedules import Constant, Time
from nnexp.training.batches import Examples
from nnexp.training.evaluator import losses_of
from nnexp.training.loop import WITHOUT_WARNINGS
from nnexp.training.stack import Recipe, Stack
from nnexp.training.step import mean_loss_gradient
from nnexp.training.tape import Repeated, Results, View

EXAMPLES, MOST_EXAMPLES, HANDFUL = 24, 10_000, 8
"""How many training examples are looked at for the gradient, for the start, and to be learned by heart."""
COMPARED = 10
"""How many random directions, and how many single numbers, are compared in the parameters and inputs of a layer."""
TOLERANCE = 1e-5
"""The largest deviation of a right gradient; by finite differences in float64 it is some 1e-10."""
STEPS = (1e-5, 1e-6, 1e-7)
"""The steps of finite differences; a smaller one is tried where a larger one may have gone over a kink."""
TINY = 1e-8
"""A slope that counts as none."""
HEART_STEPS, HEART_RATE, HEART_SECONDS, HEART_SHARE = 2000, 0.01, 1.0, 0.02
"""How long, and how, a handful is learned by heart; and the share of its loss that may be left where none is right."""
BIT_STEPS = 3
"""How many steps a run makes alone and in a stack: one is recorded, one is checked, one is played."""


@dataclass(frozen=True)
class LayerStart:
    """A layer before the first step.

    Attributes:
        name: What it is called, such as `0 Dense`.
        fan_in, fan_out: The numbers of its inputs and outputs.
        parameters: How many it has.
        weights: The root of the mean square of its weights; None where it has none.
        mean, deviation: Of its outputs, over training examples and units.
    """

    name: str
    fan_in: int
    fan_out: int
    parameters: int
    weights: float | None
    mean: float
    deviation: float


@dataclass(frozen=True)
class Start:
    """A network before the first step: its layers, its loss, and that of the best constant guess, if one is known."""

    layers: Sequence[LayerStart]
    loss: float
    guess: float | None


@dataclass(frozen=True)
class Slope:
    """A derivative as a component claims it, and as finite differences find it.

    Attributes:
        of: By what, such as `0.weight[3, 1]`.
        deviation: How far they are apart, relative to the larger one or a typical one.
        kink: Whether the function has a kink there, and the claim by a single number is between the slopes on its sides.
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


@dataclass(frozen=True)
class ByHeart:
    """How well a handful of examples was learned: how many are right, of how many, after how many steps."""

    right: int
    examples: int
    steps: int


def names_of(layers: Sequence[Layer]) -> list[str]:
    """Return what layers are called: their number, and the class of the layer or its activation."""
    kinds: list[Component] = [layer.activation if isinstance(layer, Activate) else layer for layer in layers]
    return [f"{number} {type(kind).__name__}" for number, kind in enumerate(kinds)]


@WITHOUT_WARNINGS
def start_of(recipe: Recipe, data: Data) -> Start:
    """Return what a network is before its first step."""
    examples, stack = _few(recipe, data, MOST_EXAMPLES), _stack([recipe], data)
    x, fan_in, layers = examples.rows(), data.train.x.shape[-1], []
    for number, (layer, cell) in enumerate(stack.network.parts()):
        x, fan_out = layer.forward(x, cell), layer.fan_out(fan_in)
        slots = _slots(stack, number)
        weights = [stack.theta[0, slot.begin : slot.end] for slot in slots if slot.start == "weight"]
        size = float(np.sqrt(np.mean(np.concatenate(weights) ** 2))) if weights else None
        count = sum(slot.end - slot.begin for slot in slots)
        name = names_of(recipe.layers)[number]
        layers.append(LayerStart(name, fan_in, fan_out, count, size, mean=float(x.mean()), deviation=float(x.std())))
        fan_in = fan_out
    loss = float(losses_of(stack.loss, x, examples).mean())
    if data.task.kind in ("pairs", "triplets"):
        return Start(layers, loss, None)
    guesses = [np.zeros_like(x)]
    if examples.y.shape == x.shape[1:]:
        guesses.append(guesses[0] + examples.y.mean(axis=0))
    return Start(layers, loss, min(float(losses_of(stack.loss, guess, examples).mean()) for guess in guesses))


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
    generator, stack, examples = np.random.default_rng(0), _stack([recipe], data), _few(recipe, data, EXAMPLES)
    for slot in stack.layout.parameters:
        spread = 1 / sqrt(slot.fan_in) if slot.start == "weight" else 0.1
        middle = slot.start if isinstance(slot.start, float) else 0.0
        stack.theta[:, slot.begin : slot.end] = generator.normal(middle, spread, slot.end - slot.begin)
    network = Network(stack.layers, stack.layout, stack.theta, stack.statistics, uniform=_uniform)
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
        slots = _slots(stack, number)
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


@WITHOUT_WARNINGS
def is_same_in_a_stack(recipe: Recipe, data: Data, dtype: npt.DTypeLike) -> bool:
    """Tell whether a run makes its first steps with the same bits alone and beside a run of another seed."""
    examples = _few(recipe, data, EXAMPLES, dtype)
    other = replace(recipe, seed=(recipe.seed + 1) % 2**32)
    stacks = [_stack(recipes, data, dtype) for recipes in ([recipe], [recipe, other])]
    for stack in stacks:
        for number in range(BIT_STEPS):
            stack.set_learning_rate(Time(number, 0, BIT_STEPS, 1))
            stack.step(examples)
    alone, beside = stacks
    return bool(alone.theta[0].tobytes() == beside.theta[0].tobytes())


@WITHOUT_WARNINGS
def unrecorded(recipe: Recipe, data: Data) -> list[str]:
    """Return the names of the components that cannot be recorded on a tape, and so are called in every step."""
    examples, stack = _few(recipe, data, EXAMPLES), _stack([recipe], data)
    x, failed = examples.rows()[None], []
    for number, (layer, cell) in enumerate(stack.network.parts(training=True)):
        y = layer.forward(x, cell)
        if not _is_recorded(partial(_bound_layer, stack=stack, number=number, gradient=np.ones_like(y)), x):
            failed.append(names_of(recipe.layers)[number])
        x = y.copy()
    if not _is_recorded(partial(_bound_loss, stack=stack, y=examples.y), x):
        failed.append(f"loss {type(recipe.loss).__name__}")
    if not _is_recorded(partial(_bound_optimizer, stack=stack), np.ones_like(stack.theta)):
        failed.append(f"optimizer {type(recipe.optimizer).__name__}")
    return failed


@WITHOUT_WARNINGS
def by_heart(recipe: Recipe, data: Data) -> ByHeart:
    """Return how well the network learns a handful of examples, by the steps of Adam, without penalties."""
    learner = replace(
        recipe, optimizer=Adam(learning_rate=HEART_RATE), schedule=Constant(), regularization=Regularization()
    )
    examples, stack = _few(learner, data, HANDFUL), _stack([learner], data)
    stack.set_learning_rate(Time(0, 0, HEART_STEPS, 1))
    begun, first, right = monotonic(), None, 0
    for number in range(HEART_STEPS + 1):
        if number % 50 == 0:
            z = stack.network.predict(examples.rows())
            losses = losses_of(stack.loss, z, examples)[0]
            first = losses.mean() if first is None else first
            if data.task.kind in ("classification", "distribution"):
                labels = examples.targets if examples.targets.ndim == 1 else examples.targets.argmax(axis=-1)
                right = int((stack.loss.decide(z)[0] == labels).sum())
            else:
                right = int((losses <= HEART_SHARE * first).sum())
            if right == len(losses) or monotonic() - begun > HEART_SECONDS:
                return ByHeart(right, len(losses), number)
        stack.step(examples)
    return ByHeart(right, len(examples), HEART_STEPS)


def _few(recipe: Recipe, data: Data, count: int, dtype: npt.DTypeLike = np.float64) -> Examples:
    """Return some training examples, evenly spaced among all."""
    part: Part = data.train
    rows = np.linspace(0, len(part) - 1, min(count, len(part))).round().astype(np.intp)
    return Examples.of(part.take(rows), data.task, recipe.loss, dtype)


def _stack(recipes: Sequence[Recipe], data: Data, dtype: npt.DTypeLike = np.float64) -> Stack:
    return Stack(recipes, data.train.x.shape[-1], dtype)


def _slots(stack: Stack, number: int) -> list[Slot]:
    """Return the parameters of a layer and of those within it."""
    return [slot for slot in stack.layout.parameters if slot.path[0] == number]


def _input(x: Array) -> Slot:
    """Return the input of a layer as if it were a parameter, which has a name and a shape."""
    return Slot((), "input", 0, x.shape[1:], start=0.0, fan_in=0, fan_out=0)


def _uniform(shape: tuple[int, ...]) -> Array:
    """Return the same numbers from U(0, 1) whenever they are asked for."""
    return np.random.default_rng(1).random(shape)


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
        claim = _Claim(f"{named}, a random direction", float(gradient @ along), typical * float(np.linalg.norm(along)))
        yield _slope(value, array, slice(None), along, claim)
    if slots:
        some = generator.choice(array.size, min(COMPARED, array.size), replace=False)
        for place in range(array.size) if every else sorted(some.tolist()):
            slot = [slot for slot in slots if slot.begin - slots[0].begin <= place][-1]
            index = np.unravel_index(place - (slot.begin - slots[0].begin), slot.shape)
            claim = _Claim(f"{slot.title}[{', '.join(map(str, index))}]", float(gradient[place]), typical)
            yield _slope(value, array, slice(place, place + 1), np.ones(1), claim)


class _Claim(NamedTuple):
    """A slope as a component has it, by what it is, and the size that is typical for such."""

    of: str
    slope: float
    typical: float


def _slope(value: Callable[[], float], array: Array, where: slice, along: Array, claim: _Claim) -> Slope:
    """Return the slope of a function of an array along a direction in a part of it."""
    kept, claimed, typical = array[where].copy(), claim.slope, claim.typical

    def at(step: float) -> float:
        array[where] = kept + step * along
        result = value()
        array[where] = kept
        return result

    for step in STEPS:
        found = (at(step) - at(-step)) / (2 * step)
        deviation = abs(found - claimed) / max(abs(found), abs(claimed), typical, TINY)
        if deviation <= TOLERANCE:
            return Slope(claim.of, claimed, found, deviation, kink=False)
    here = at(0)
    sides = sorted([(here - at(-step)) / step, (at(step) - here) / step])
    slack = TOLERANCE * max(*map(abs, sides), typical)
    between = sides[0] - slack <= claimed <= sides[1] + slack
    # Along a direction there may be many kinks at once, and their slopes may add up to anything.
    kink = sides[1] - sides[0] > slack and (between or len(along) > 1)
    return Slope(claim.of, claimed, found, deviation, kink=kink)


def _is_recorded(bind: Callable[..., Callable[[], Results]], inputs: Array) -> bool:
    """Tell whether a function of an array is played from a tape when the array has other numbers."""
    inputs = inputs.copy()
    repeated = Repeated(partial(bind, inputs))
    repeated()
    inputs *= -1.5
    repeated()
    return bool(repeated.calls)


def _bound_layer(
    x: Array, read: View, change: View, *, stack: Stack, number: int, gradient: Array
) -> Callable[[], Results]:
    noise: dict[tuple[int, ...], Array] = {}

    def uniform(shape: tuple[int, ...]) -> Array:
        if shape not in noise:
            noise[shape] = read(_uniform(shape))
        return noise[shape]

    statistics, whole = change(stack.statistics), read(np.zeros_like(stack.theta))
    network = Network(
        stack.layers, stack.layout, read(stack.theta), statistics=statistics, uniform=uniform, gradient=whole
    )
    x, gradient = read(x), read(gradient)

    def call() -> Results:
        layer, cell = network.parts(training=True)[number]
        y, back = layer.forward(x, cell), gradient.copy()
        layer.differentiate(back, cell)
        return {"y": y, "back": layer.backward(back, cell), "gradient": whole}

    return call


def _bound_loss(z: Array, read: View, _: View, *, stack: Stack, y: Array) -> Callable[[], Results]:
    z, y = read(z), read(y)
    return lambda: {"loss": stack.loss.forward(z, y), "gradient": stack.loss.backward(z, y)}


def _bound_optimizer(gradient: Array, read: View, change: View, *, stack: Stack) -> Callable[[], Results]:
    state = {name: change(array) for name, array in stack.optimizer_state.items()}
    gradient, number = read(gradient), read(np.array(1.0))
    return lambda: {"direction": stack.optimizer.update(gradient, state, number) * 1}
