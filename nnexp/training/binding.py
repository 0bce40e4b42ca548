"""Prepares a step and an evaluation of a stack for recording on a tape.

Formulas know nothing of this: they get arrays. Every array whose numbers differ from call to call is passed through
`read`, if a function only reads it, or through `change`, if it changes it; both return a view that a tape records.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, cast

import numpy as np

from nnexp.core.component import Array
from nnexp.nn.layers import Layer
from nnexp.nn.losses import Loss
from nnexp.nn.network import Layout, Network
from nnexp.optim.optimizers import Optimizer, State
from nnexp.optim.regularization import Regularization
from nnexp.training.batches import DropoutNoise, Examples
from nnexp.training.compiled.runs import Belongings, Pair
from nnexp.training.dual import Dual
from nnexp.training.stacking import taken
from nnexp.training.step import BoundStep, ThetaBlock, descend, mean_loss_gradient
from nnexp.training.tape import N, OfOneRun, Results, View

BLOCK_BYTES = 256 * 1024
"""Bytes of theta that are updated at a time, so that an optimizer's state and temporaries stay in the cache."""


class StackArrays:
    """The layers of a stack and their arrays, all with the runs in front.

    Attributes:
        layers, layout, loss: The network and its loss; numbers are arrays over the runs.
        optimizer, regularization: What a step is made of, likewise.
        theta, statistics: Parameters and running statistics, shape (runs, ...).
        optimizer_state: The arrays of the optimizer, of the shape of theta.
        learning_rate: Shape (runs, 1).
        factors: A factor on the learning rate of each parameter, of the shape of theta; None where all are 1.
        penalised: 1 where a parameter is penalised, else 0.
        mask: 1 where a parameter was not pruned, else 0, of the shape of theta; None where none was.
        step_number: The number of the step, as an array without axes.
    """

    layers: Sequence[Layer]
    layout: Layout
    loss: Loss
    optimizer: Optimizer
    regularization: Regularization
    theta: Array
    statistics: Array
    optimizer_state: State
    learning_rate: Array
    factors: Array | None
    penalised: Array
    mask: Array | None
    step_number: Array


class OneRun(StackArrays):
    """The arrays of one run, into which those of every run of a stack are moved, one after another.

    Args:
        stack: The stack; its runs have the same numbers, but for the learning rate.
    """

    def __init__(self, stack: StackArrays) -> None:
        one, self._runs = slice(0, 1), len(stack.theta)
        self.layers, self.layout = [taken(layer, one) for layer in stack.layers], stack.layout
        self.loss, self.optimizer = taken(stack.loss, one), taken(stack.optimizer, one)
        self.regularization = taken(stack.regularization, one)
        self.theta, self.statistics = stack.theta[one].copy(), stack.statistics[one].copy()
        self.optimizer_state = {name: array[one].copy() for name, array in stack.optimizer_state.items()}
        self.learning_rate, self.step_number = stack.learning_rate[one].copy(), stack.step_number
        self.factors, self.penalised = None if stack.factors is None else stack.factors[one].copy(), stack.penalised
        self._settings = [(stack.learning_rate, self.learning_rate)]
        self.mask = None
        if stack.mask is not None:
            self.mask = stack.mask[one].copy()
            self._settings.append((stack.mask, self.mask))
        state = [(stack.theta, self.theta), (stack.statistics, self.statistics)]
        state += [(array, self.optimizer_state[name]) for name, array in stack.optimizer_state.items()]
        self._state = [pair for pair in state if pair[0].size]

    def step(self, batch: Examples, noise: DropoutNoise) -> OfOneRun:
        """Return a step with its part of a batch."""
        own, pairs = one_of(batch)
        belongings = Belongings(runs=self._runs, examples=pairs, settings=self._settings, state=self._state)
        return OfOneRun(partial(bound_step, stack=self, batch=own, noise=noise), belongings)

    def evaluation(
        self, evaluate: "Evaluate", z: Array, training: Examples, parts: Mapping[str, Examples] | None
    ) -> OfOneRun:
        """Return an evaluation of its part of the logits."""
        own, pairs = one_of(training)
        first, ones = z[:1].copy(), dict[str, Examples]()
        for name, part in ({} if parts is None else parts).items():
            ones[name], more = one_of(part)
            pairs += more
        known = None if parts is None else ones
        bind = partial(bound_evaluation, evaluate=evaluate, stack=self, z=first, training=own, parts=known)
        return OfOneRun(bind, Belongings(runs=self._runs, examples=[*pairs, (z, first)], settings=self._state))


def one_of(examples: Examples) -> tuple[Examples, list[Pair]]:
    """Return examples of one run, and the arrays of all runs that belong to it, each with that of one."""
    if not examples.own:
        return examples, []
    pairs = list[Pair]()

    def one(array: N) -> N:
        pairs.append((array, array[0].copy()))
        return cast("N", pairs[-1][1])

    return examples.mapped(lambda array: one(array) if len(array) else array), pairs


class Evaluate(Protocol):
    """Returns the metrics of a stack by their names."""

    def __call__(
        self, loss: Loss, network: Network, z: Array, training: Examples, parts: Mapping[str, Examples] | None
    ) -> Results:
        """Return the metrics, given the logits of the training examples and the examples of the other parts."""


def bound_step(
    read: View, change: View, *, stack: StackArrays, batch: Examples, noise: DropoutNoise
) -> Callable[[], Results]:
    """Return a function without arguments that makes a step with a batch."""
    theta, statistics = change(stack.theta), change(stack.statistics)
    state = {name: change(array) for name, array in stack.optimizer_state.items()}
    learning_rate, number = read(stack.learning_rate), read(stack.step_number)
    gradient = read(np.zeros_like(stack.theta))
    blocks = [
        ThetaBlock(
            theta=theta[runs, columns],
            gradient=gradient[runs, columns],
            state={name: array[runs, columns] for name, array in state.items()},
            learning_rate=learning_rate[runs],
            factors=None if stack.factors is None else stack.factors[runs, columns],
            penalised=stack.penalised[columns],
            optimizer=taken(stack.optimizer, runs),
            regularization=taken(stack.regularization, runs),
        )
        for runs, columns in blocks_of(theta)
    ]
    step = BoundStep(
        network=Network(
            stack.layers,
            stack.layout,
            theta,
            statistics=statistics,
            uniform=lambda shape: read(noise.uniform(shape)),
            gradient=gradient,
        ),
        loss=stack.loss,
        batch=batch.mapped(read),
        theta=theta,
        gradient=gradient,
        penalised=stack.penalised,
        mask=stack.mask,
        regularization=stack.regularization,
        blocks=blocks,
        number=number,
    )

    def call() -> Results:
        noise.rewind()
        return {"logits": descend(step)}

    return call


def bound_evaluation(
    read: View,
    _change: View,
    *,
    evaluate: Evaluate,
    stack: StackArrays,
    z: Array,
    training: Examples,
    parts: Mapping[str, Examples] | None,
) -> Callable[[], Results]:
    """Return a function without arguments that evaluates a stack."""
    return partial(
        evaluate,
        stack.loss,
        network=Network(stack.layers, stack.layout, read(stack.theta), read(stack.statistics)),
        z=read(z),
        training=training.mapped(read),
        parts=None if parts is None else {name: part.mapped(read) for name, part in parts.items()},
    )


def same_uniform(shape: tuple[int, ...]) -> Array:
    """Return the same numbers from U(0, 1) whenever they are asked for."""
    return np.random.default_rng(1).random(shape)


def bound_layer(
    x: Array, read: View, change: View, *, stack: StackArrays, number: int, gradient: Array
) -> Callable[[], Results]:
    """Return a function without arguments that goes through one layer of a stack and back."""
    noise: dict[tuple[int, ...], Array] = {}

    def uniform(shape: tuple[int, ...]) -> Array:
        if shape not in noise:
            noise[shape] = read(same_uniform(shape))
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


def bound_loss(z: Array, read: View, _: View, *, stack: StackArrays, y: Array) -> Callable[[], Results]:
    """Return a function without arguments that takes the loss of logits, and its gradient."""
    z, y = read(z), read(y)
    return lambda: {"loss": stack.loss.forward(z, y), "gradient": stack.loss.backward(z, y)}


def bound_optimizer(gradient: Array, read: View, change: View, *, stack: StackArrays) -> Callable[[], Results]:
    """Return a function without arguments that asks the optimizer for a direction."""
    state = {name: change(array) for name, array in stack.optimizer_state.items()}
    gradient, number = read(gradient), read(np.array(1.0))
    return lambda: {"direction": stack.optimizer.update(gradient, state, number) * 1}


def bound_curvature(
    read: View, _: View, *, stack: StackArrays, examples: Examples, direction: Array
) -> Callable[[], Results]:
    """Return a function without arguments that multiplies the Hessian of the mean loss by a direction of every run."""
    theta, along, statistics = read(stack.theta), read(direction), read(stack.statistics)
    examples = examples.mapped(read)

    def call() -> Results:
        gradient = Dual(np.zeros_like(theta), np.zeros_like(theta))
        network = Network(
            stack.layers,
            stack.layout,
            cast("Array", Dual(theta, along)),
            statistics=cast("Array", Dual(statistics.copy(), np.zeros_like(statistics))),
            gradient=cast("Array", gradient),
        )
        z = network.forward(examples.rows(), training=True)
        network.backward(mean_loss_gradient(stack.loss, z, examples))
        return {"product": gradient.slope}

    return call


def blocks_of(theta: Array) -> list[tuple[slice, slice]]:
    """Return the places of the blocks of theta: several whole runs each if runs are small, else parts of one run."""
    (runs, parameters), most = theta.shape, BLOCK_BYTES // theta.itemsize
    height, width = max(1, most // parameters), min(most, parameters)
    return [
        (slice(run, run + height), slice(begin, begin + width))
        for run in range(0, runs, height)
        for begin in range(0, parameters, width)
    ]
