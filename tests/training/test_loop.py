"""The loop against a plain one in the textbook's column-vector form, and stacks against solo runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnexp.core.component import Array, Component, Labels, annotations, bare, satisfies
from nnexp.data.dataset import Data
from nnexp.data.digits import Digits
from nnexp.nn.activations import Activation, ReLU
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import Normal
from nnexp.nn.losses import BinaryCrossEntropy, SparseCategoricalCrossEntropy
from nnexp.nn.network import Layout
from nnexp.nn.parametrization import maximal_update
from nnexp.optim.optimizers import SGD, Adam
from nnexp.optim.regularization import Regularization
from nnexp.optim.schedules import Constant, Plateau, Schedule
from nnexp.training.evaluator import diverged_step
from nnexp.training.history import Outcome
from nnexp.training.loop import train
from nnexp.training.metrics import METRICS
from nnexp.training.stack import Recipe, Stack
from nnexp.training.trainer import EarlyStopping, Trainer
from tests.conftest import make_data, make_data_for, tries
from tests.nn.test_activations import TORCH as TORCH_ACTIVATIONS
from tests.nn.test_initializers import DEVIATIONS
from tests.nn.test_losses import LOSSES
from tests.optim.test_optimizers import OPTIMIZERS
from tests.optim.test_schedules import TORCH as TORCH_SCHEDULES

Column = Array
C = TypeVar("C", bound=Component)
S = TypeVar("S")
T = TypeVar("T")


def starting_matrices(recipe: Recipe, fan_in: int) -> tuple[list[Column], list[Column]]:
    """Return our starting weights and biases as the textbook has them: W of shape (units, inputs), b a column."""
    (theta,) = Stack([recipe], fan_in, "float64").theta
    slots = Layout.of(recipe.layers, fan_in).parameters
    matrices = [theta[slot.begin : slot.end].reshape(slot.shape).T.copy() for slot in slots]
    return matrices[::2], matrices[1::2]


@dataclass
class PlainAdam:
    """Adam for one matrix, as in algorithm 1 of the paper."""

    learning_rate: float
    m: float | Column = 0.0
    v: float | Column = 0.0
    t: int = 0

    def step(self, gradient: Column) -> Column:
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        mean, square = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        step: Column = self.learning_rate * mean / (np.sqrt(square) + 1e-8)
        return step


def test_default_run_agrees_with_a_plain_loop() -> None:
    """Reference R1: 64-16-8-1, sigmoid, binary cross-entropy, full batch, every one of 1000 epochs."""
    data = Digits(classes=(0, 1)).load()
    recipe = Recipe(MLP().layers(64, 1), Normal(0.01), BinaryCrossEntropy(), SGD(0.5), Constant(), 0)
    (outcome,) = train([recipe], data, Trainer(), "float64")

    weights, biases = starting_matrices(recipe, 64)
    x, y, m = data.train.x.T, data.train.targets[None, :], len(data.train)
    expected: dict[str, list[float]] = {"train/loss": [], "test/loss": [], "train/accuracy": [], "test/accuracy": []}

    def forward(a: Column) -> list[Column]:
        activations = [a]
        for weight, bias in zip(weights, biases, strict=True):
            activations.append(1 / (1 + np.exp(-(weight @ activations[-1] + bias))))
        return activations

    def measure(part: str, p: Column, y: Array | Labels) -> None:
        expected[f"{part}/loss"].append(-float(np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))))
        expected[f"{part}/accuracy"].append(float(np.mean((p > 0.5) == y)))

    measure("train", forward(x)[-1], y)
    measure("test", forward(data.test.x.T)[-1], data.test.targets[None, :])
    for _ in range(1000):
        activations = forward(x)
        measure("train", activations[-1], y)
        delta = activations[-1] - y
        for layer in (2, 1, 0):
            a = activations[layer]
            weight_gradient, bias_gradient = delta @ a.T / m, delta.sum(axis=1, keepdims=True) / m
            delta = (weights[layer].T @ delta) * a * (1 - a)
            weights[layer] -= 0.5 * weight_gradient
            biases[layer] -= 0.5 * bias_gradient
        measure("test", forward(data.test.x.T)[-1], data.test.targets[None, :])

    for name, values in expected.items():
        np.testing.assert_allclose(outcome.history.metrics[name], values, rtol=1e-9, atol=0, err_msg=name)
    loss = outcome.history.metrics["train/loss"]
    assert abs(loss[:300] - np.log(2)).max() < 1e-3, "the plateau"
    assert loss[-1] < 0.02, "the escape"


def test_ten_class_run_agrees_with_a_plain_loop() -> None:
    """64-64-32-10, ReLU, softmax cross-entropy, shuffled batches of 32, Adam, as `experiment=digits`."""
    epochs = 50
    data = Digits().load()
    loss = SparseCategoricalCrossEntropy()
    recipe = Recipe(MLP(hidden=(64, 32), activation=ReLU()).layers(64, 10), Normal(0.1), loss, Adam(), Constant(), 0)
    (outcome,) = train([recipe], data, Trainer(epochs=epochs, batch_size=32), "float64")

    weights, biases = starting_matrices(recipe, 64)
    optimizers = [(PlainAdam(0.001), PlainAdam(0.001)) for _ in weights]
    generator = np.random.default_rng(np.random.SeedSequence(0).spawn(2)[1])
    expected: dict[str, list[float]] = {"train/loss": [], "test/loss": []}

    def forward(a: Column) -> list[Column]:
        activations = [a]
        for weight, bias in zip(weights, biases, strict=True):
            activations.append(np.maximum(weight @ activations[-1] + bias, 0))
        logits = weights[-1] @ activations[-2] + biases[-1]
        exponentials = np.exp(logits - logits.max(axis=0))
        return [*activations[:-1], exponentials / exponentials.sum(axis=0)]

    def losses(p: Column, labels: Array | Labels) -> Column:
        loss: Column = -np.log(p[labels.astype(int), np.arange(len(labels))])
        return loss

    for name, part in (("train", data.train), ("test", data.test)):
        expected[f"{name}/loss"].append(float(losses(forward(part.x.T)[-1], part.targets).mean()))
    for _ in range(epochs):
        order = generator.permutation(len(data.train))
        seen = []
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            labels = data.train.targets[rows]
            activations = forward(data.train.x[rows].T)
            seen.append(losses(activations[-1], labels))
            delta = (activations[-1] - np.eye(10)[:, labels]) / len(rows)
            for layer in (2, 1, 0):
                gradients = delta @ activations[layer].T, delta.sum(axis=1, keepdims=True)
                delta = (weights[layer].T @ delta) * (activations[layer] > 0)
                weights[layer] -= optimizers[layer][0].step(gradients[0])
                biases[layer] -= optimizers[layer][1].step(gradients[1])
        expected["train/loss"].append(float(np.concatenate(seen).mean()))
        expected["test/loss"].append(float(losses(forward(data.test.x.T)[-1], data.test.targets).mean()))

    for name, values in expected.items():
        np.testing.assert_allclose(outcome.history.metrics[name], values, rtol=1e-9, atol=0, err_msg=name)


def assert_same_bits(one: Outcome, other: Outcome) -> None:
    np.testing.assert_array_equal(one.theta, other.theta)
    np.testing.assert_array_equal(one.history.times, other.history.times)
    assert one.history.metrics.keys() == other.history.metrics.keys()
    for name, values in one.history.metrics.items():
        np.testing.assert_array_equal(values, other.history.metrics[name], err_msg=name)
    assert one.diverged_step == other.diverged_step


def one_of(rows: Sequence[T], pick: Callable[[T], S]) -> list[S]:
    """Return one component of each class from a test table."""
    return list({type(pick(row)): pick(row) for row in rows}.values())


ACTIVATION = one_of(TORCH_ACTIVATIONS, lambda row: row[0])
OPTIMIZER = one_of(OPTIMIZERS, lambda optimizer: optimizer)
SCHEDULE: list[Schedule] = [*one_of(TORCH_SCHEDULES, lambda row: row[0]), Plateau(gamma=0.5, patience=0.0)]
INITIALIZER = one_of(DEVIATIONS, lambda row: row[0])


def varied(component: C, factors: Sequence[float]) -> list[C]:
    """Return a component for every run, all numbers in it times a factor, but where that leaves their range."""

    def times(value: object, hint: object, factor: float) -> object:
        if isinstance(value, Component):
            return varied(value, [factor])[0]
        if isinstance(value, tuple):
            return tuple(times(item, get_args(bare(hint))[0], factor) for item in value)
        if bare(hint) is float and isinstance(value, (int, float)) and satisfies(value * factor, hint):
            return value * factor
        return value

    hints = annotations(type(component))
    return [
        replace(component, **{name: times(getattr(component, name), hints[name], factor) for name in hints})
        for factor in factors
    ]


@st.composite
def stacks(draw: st.DrawFn) -> tuple[list[Recipe], list[Data], Trainer, str]:
    """Draw runs of one shape that differ in the numbers of all their components and in seeds, one of them hopeless.

    They have the same data set, or one of two.
    """
    loss, task = draw(st.sampled_from(LOSSES))
    features, examples = draw(st.integers(1, 12)), draw(st.integers(6, 40))
    count = draw(st.integers(2, 5))
    first = draw(st.integers(0, 99))
    sets = [make_data_for(task, loss.views, examples, features, seed) for seed in (first, first + 1)]
    which = st.sampled_from(sets if draw(st.booleans()) else sets[:1])
    data = draw(st.lists(which, min_size=count + 1, max_size=count + 1))
    factors = draw(st.lists(st.sampled_from([1.0, 0.9, 0.95, 0.99]), min_size=count, max_size=count))
    seeds = draw(st.lists(st.just(7) if draw(st.booleans()) else st.integers(0, 3), min_size=count, max_size=count))
    architecture = MLP(
        hidden=tuple(draw(st.lists(st.integers(1, 24), max_size=3))),
        activation=draw(st.sampled_from(ACTIVATION)),
        normalization=draw(st.sampled_from(["layer", "batch", None])),
        dropout=draw(st.sampled_from([0.3, None])),
        outputs=2 if loss.views > 1 else None,
        parametrization=draw(st.sampled_from(["standard", "maximal_update"])),
        base_width=8,
    )
    batch_size: int | Literal["full"] = "full" if draw(st.booleans()) else draw(st.integers(1, examples))
    if architecture.normalization == "batch" and (
        batch_size == 1 or (batch_size != "full" and examples % batch_size == 1)
    ):
        batch_size = "full"
    regularization = Regularization(
        l1=draw(st.sampled_from([1e-3, None])),
        l2=draw(st.sampled_from([1e-2, None])),
        weight_decay=draw(st.sampled_from([1e-2, None])),
        clip_value=draw(st.sampled_from([0.5, None])),
        clip_norm=draw(st.sampled_from([0.7, None])),
    )
    trainer = Trainer(
        epochs=draw(st.integers(1, 4)),
        iterations=draw(st.sampled_from([None, 7])),
        batch_size=batch_size,
        sampling=draw(st.sampled_from(["shuffled", "order", "replacement"])),
        evaluate_every=draw(st.integers(1, 3)),
        early_stopping=draw(st.sampled_from([None, EarlyStopping(patience=1)])),
    )
    numbers = draw(st.sampled_from([None, 0.5, 2.0]))
    if numbers is not None:
        each = tuple(numbers**place for place in range(len(architecture.hidden) + 1))
        architecture = replace(architecture, learning_rates=each, scales=each)
    if architecture.hidden:
        architecture = replace(architecture, frozen=draw(st.sampled_from([(), (0,), (-1,)])))
    adaptive = draw(st.booleans())
    recipes = [
        Recipe(
            maximal_update(own.layers(features, loss.outputs(task)), 8, adaptive=adaptive)
            if architecture.parametrization == "maximal_update"
            else own.layers(features, loss.outputs(task)),
            start,
            own_loss,
            optimizer,
            schedule,
            seed,
            regularized,
        )
        for own, start, own_loss, optimizer, schedule, seed, regularized in zip(
            varied(architecture, factors),
            varied(draw(st.sampled_from(INITIALIZER)), factors),
            varied(loss, factors),
            varied(draw(st.sampled_from(OPTIMIZER)), factors),
            varied(draw(st.sampled_from(SCHEDULE)), factors),
            seeds,
            varied(regularization, factors),
            strict=True,
        )
    ]
    hopeless = replace(recipes[0], initializer=replace(recipes[0].initializer, scale=1e38))  # overflows to infinity
    recipes.insert(draw(st.integers(0, count)), hopeless)
    return recipes, data, trainer, draw(DTYPES)


DTYPES = st.sampled_from(["float32", "float64"])


@tries(300)
@given(stacks(), st.booleans())
def test_a_run_has_the_same_bits_alone_and_in_a_stack(
    stack: tuple[list[Recipe], list[Data], Trainer, str],
    every_metric: bool,  # noqa: FBT001 - drawn
) -> None:
    recipes, data, trainer, dtype = stack
    if every_metric:
        kind, classes = data[0].task.kind, (None, len(data[0].task.classes))
        fitting = [name for name, one in METRICS.items() if kind in one.kinds and one.classes in classes]
        trainer = replace(trainer, metrics=tuple(fitting))
    together = train(recipes, data, trainer, dtype)
    for recipe, own, outcome in zip(recipes, data, together, strict=True):
        assert_same_bits(train([recipe], own, trainer, dtype)[0], outcome)


def recipe_with(data: Data, scale: float, rate: float = 0.1, activation: Activation | None = None) -> Recipe:
    loss = SparseCategoricalCrossEntropy()
    layers = MLP(hidden=(4, 4), activation=activation or ReLU()).layers(data.train.x.shape[1], loss.outputs(data.task))
    return Recipe(layers, Normal(scale), loss, SGD(rate), Constant(), 0)


def test_a_diverging_run_leaves_the_stack_and_its_neighbours_train_on() -> None:
    data = make_data(30, 5, 3)
    trainer = Trainer(epochs=6, batch_size=10)
    good, bad = recipe_with(data, 0.5), recipe_with(data, 1e200)
    outcomes = train([good, bad, good, bad], data, trainer, "float64")
    assert [outcome.diverged_step for outcome in outcomes] == [None, 1, None, 1]
    assert [len(outcome.history) for outcome in outcomes] == [7, 0, 7, 0]


def test_divergence_is_found_at_its_step() -> None:
    """With a learning rate this large, the first step is taken from good weights and ruins the second batch."""
    data = make_data(30, 5, 3)
    (outcome,) = train([recipe_with(data, 0.5, rate=1e200)], data, Trainer(epochs=6, batch_size=10), "float64")
    assert outcome.diverged_step == 2
    (outcome,) = train([recipe_with(data, 0.5, rate=1e200)], data, Trainer(epochs=6, evaluate_every=4), "float64")
    assert outcome.diverged_step == 1, "the loss after the only step of the first epoch"


@pytest.mark.parametrize(("bad", "expected"), [([0], 11), ([3, 7], 12), ([8], 13), ([], 13)])
def test_diverged_step_counts_batches(bad: list[int], expected: int) -> None:
    losses: Array = np.ones(9)
    losses[bad] = np.nan
    assert diverged_step(losses, before=10, steps=3) == expected


def test_evaluation_only_where_asked() -> None:
    data = make_data(20, 3, 2)
    seen: list[int] = []
    (outcome,) = train(
        [recipe_with(data, 0.5)],
        data,
        Trainer(epochs=10, evaluate_every=4),
        "float64",
        lambda epoch, *_: seen.append(epoch),
    )
    assert outcome.history.times.tolist() == seen == [0, 1, 4, 8, 10]
    (every,) = train([recipe_with(data, 0.5)], data, Trainer(epochs=10), "float64")
    np.testing.assert_array_equal(
        every.history.metrics["test/loss"][[0, 1, 4, 8, 10]], outcome.history.metrics["test/loss"]
    )
