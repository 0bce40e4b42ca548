"""Looks at a network before it trains: what it starts with, and whether all that training takes for granted is so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array, Component
from nnexp.core.errors import UserError
from nnexp.data.dataset import Data
from nnexp.nn.layers import Activate, Layer
from nnexp.nn.network import Slot
from nnexp.optim.optimizers import Adam
from nnexp.optim.regularization import Regularization
from nnexp.optim.schedules import Constant, Time
from nnexp.training.batches import Examples
from nnexp.training.binding import bound_layer, bound_loss, bound_optimizer
from nnexp.training.evaluator import losses_of
from nnexp.training.loop import WITHOUT_WARNINGS
from nnexp.training.stack import Recipe, Stack
from nnexp.training.tape import Repeated, Results

EXAMPLES, MOST_EXAMPLES, HANDFUL = 24, 2000, 8
"""How many training examples are looked at for the gradient, for the start, and to be learned by heart."""
HEART_STEPS, HEART_RATE, HEART_SECONDS, HEART_SHARE = 2000, 0.03, 1.0, 0.02
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
    examples, stack = few(recipe, data, MOST_EXAMPLES), _stack([recipe], data)
    x, fan_in, layers = examples.rows(), data.train.x.shape[-1], []
    for number, (layer, cell) in enumerate(stack.network.parts()):
        fan_out, name = layer.fan_out(fan_in), names_of(recipe.layers)[number]
        x = layer.forward(x, cell)
        if not isinstance(x, np.ndarray) or x.shape[-1] != fan_out:
            found = f"an array of {x.shape[-1]}" if isinstance(x, np.ndarray) else type(x).__name__
            raise UserError(f"{name}: must return from `forward` an array of {fan_out} units, not {found}")
        slots = slots_of(stack, number)
        weights = [stack.theta[0, slot.begin : slot.end] for slot in slots if slot.start == "weight"]
        size = float(np.sqrt(np.mean(np.concatenate(weights) ** 2))) if weights else None
        layers.append(
            LayerStart(
                name=name,
                fan_in=fan_in,
                fan_out=fan_out,
                parameters=sum(slot.end - slot.begin for slot in slots),
                weights=size,
                mean=float(x.mean()),
                deviation=float(x.std()),
            )
        )
        fan_in = fan_out
    loss = float(losses_of(stack.loss, x, examples).mean())
    if data.task.kind in ("pairs", "triplets"):
        return Start(layers, loss, None)
    guesses = [np.zeros_like(x)]
    if examples.y.shape == x.shape[1:]:
        guesses.append(guesses[0] + examples.y.mean(axis=0))
    return Start(layers, loss, min(float(losses_of(stack.loss, guess, examples).mean()) for guess in guesses))


@WITHOUT_WARNINGS
def is_same_in_a_stack(recipe: Recipe, data: Data, dtype: npt.DTypeLike) -> bool:
    """Tell whether a run makes its first steps with the same bits alone and beside a run of another seed."""
    examples = few(recipe, data, EXAMPLES, dtype)
    other = replace(recipe, seed=(recipe.seed + 1) % 2**32)
    stacks = [_stack(recipes, data, dtype) for recipes in ([recipe], [recipe, other])]
    for stack in stacks:
        for number in range(BIT_STEPS):
            stack.set_learning_rate(Time(number, 0, BIT_STEPS, 1))
            stack.step(examples)
    alone, beside = (np.where(np.isnan(stack.theta[0]), np.nan, stack.theta[0]) for stack in stacks)
    return bool(alone.tobytes() == beside.tobytes())  # of a run that diverged, which NaN it is says nothing


@WITHOUT_WARNINGS
def unrecorded(recipe: Recipe, data: Data) -> list[str]:
    """Return the names of the components that cannot be recorded on a tape, and so are called in every step."""
    examples, stack = few(recipe, data, EXAMPLES), _stack([recipe], data)
    x, failed = examples.rows()[None], []
    for number, (layer, cell) in enumerate(stack.network.parts(training=True)):
        y = layer.forward(x, cell)
        if not _is_recorded(partial(bound_layer, stack=stack, number=number, gradient=np.ones_like(y)), x):
            failed.append(names_of(recipe.layers)[number])
        x = y.copy()
    if not _is_recorded(partial(bound_loss, stack=stack, y=examples.y), x):
        failed.append(f"loss {type(recipe.loss).__name__}")
    if not _is_recorded(partial(bound_optimizer, stack=stack), np.ones_like(stack.theta)):
        failed.append(f"optimizer {type(recipe.optimizer).__name__}")
    return failed


@WITHOUT_WARNINGS
def by_heart(recipe: Recipe, data: Data) -> ByHeart:
    """Return how well the network learns a handful of examples, by the steps of Adam, without penalties."""
    learner = replace(
        recipe, optimizer=Adam(learning_rate=HEART_RATE), schedule=Constant(), regularization=Regularization()
    )
    examples, stack = few(learner, data, HANDFUL), _stack([learner], data)
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


def few(recipe: Recipe, data: Data, count: int, dtype: npt.DTypeLike = np.float64) -> Examples:
    """Return some training examples, evenly spaced among all."""
    rows = np.linspace(0, len(data.train) - 1, min(count, len(data.train))).round().astype(np.intp)
    return Examples.of(data.train.take(rows), data.task, recipe.loss, dtype)


def _stack(recipes: Sequence[Recipe], data: Data, dtype: npt.DTypeLike = np.float64) -> Stack:
    return Stack(recipes, data.train.x.shape[-1], dtype)


def slots_of(stack: Stack, number: int) -> list[Slot]:
    """Return the parameters of a layer and of those within it."""
    return [slot for slot in stack.layout.parameters if slot.path[0] == number]


def _is_recorded(bind: Callable[..., Callable[[], Results]], inputs: Array) -> bool:
    """Tell whether a function of an array is played from a tape when the array has other numbers."""
    inputs = inputs.copy()
    repeated = Repeated(partial(bind, inputs))
    repeated()
    inputs *= -1.5
    repeated()
    return bool(repeated.calls)
