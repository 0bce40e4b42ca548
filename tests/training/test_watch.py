"""Looking into the layers: it changes nothing, and what it sees is there."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from nnexp.config.compose import compose_experiment
from nnexp.core.component import Array
from nnexp.core.task import Task
from nnexp.data.dataset import Data
from nnexp.nn.activations import ReLU, Tanh
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import Constant as Same
from nnexp.nn.initializers import Normal
from nnexp.nn.layers import Activate, Dense
from nnexp.nn.losses import MeanSquaredError, SparseCategoricalCrossEntropy
from nnexp.optim.optimizers import SGD, Adam
from nnexp.optim.schedules import Constant
from nnexp.training.diagnostics import root_mean_square
from nnexp.training.history import LayerHistory, Outcome
from nnexp.training.loop import train
from nnexp.training.model import Trained
from nnexp.training.stack import Recipe
from nnexp.training.trainer import EarlyStopping, Trainer
from nnexp.training.watch import WATCHED_EXAMPLES, WATCHED_TIMES
from nnexp.training.watch import watched as times_watched
from tests.conftest import make_data, make_data_for, tries
from tests.training.test_loop import assert_same_bits, stacks

DATA = make_data(30, 5, 3)
LOSS = SparseCategoricalCrossEntropy()
LAYERS = MLP(hidden=(6, 4), activation=Tanh()).layers(5, 3)
RECIPE = Recipe(LAYERS, Normal(0.5), LOSS, Adam(0.05), Constant(), 0)


def watched(trainer: Trainer, *recipes: Recipe, data: Data = DATA) -> list[Outcome]:
    return train(recipes or [RECIPE], data, trainer, "float64", watch_layers=True)


def seen_in(outcome: Outcome) -> LayerHistory:
    assert outcome.layers is not None
    return outcome.layers


def rms(array: Array) -> float:
    return float(np.sqrt(np.mean(array**2)))


@tries(40)
@given(stacks())
def test_watching_changes_no_bit_and_sees_the_same_alone_and_in_a_stack(
    stack: tuple[list[Recipe], list[Data], Trainer, str],
) -> None:
    recipes, data, trainer, dtype = stack
    together = train(recipes, data, trainer, dtype, watch_layers=True)
    blinds = train(recipes, data, trainer, dtype)
    for recipe, own, outcome, blind in zip(recipes, data, together, blinds, strict=True):
        assert_same_bits(outcome, blind)
        assert blind.layers is None
        (alone,) = train([recipe], own, trainer, dtype, watch_layers=True)
        assert (alone.layers is None) == (outcome.layers is None)
        if alone.layers is not None:
            for name, values in vars(alone.layers).items():
                np.testing.assert_array_equal(values, getattr(outcome.layers, name), err_msg=name)


def test_sizes_are_those_of_the_parameters() -> None:
    """The last look, from the named parameters and finite differences of the loss on some of the examples."""
    data = make_data(WATCHED_EXAMPLES + 100, 5, 3)
    (outcome,) = watched(Trainer(epochs=6, batch_size=100, snapshots=(5, 6)), data=data)
    before, after = (Trained.of(RECIPE, outcome.snapshots[time], data) for time in (5, 6))
    rows = np.linspace(0, len(data.train) - 1, WATCHED_EXAMPLES).round().astype(int)
    x, labels = data.train.x[rows], data.train.targets[rows].astype(int)

    def forward(named: dict[str, Array]) -> tuple[list[Array], float]:
        first = np.tanh(x @ named["0.weight"] + named["0.bias"])
        second = np.tanh(first @ named["2.weight"] + named["2.bias"])
        z = second @ named["4.weight"] + named["4.bias"]
        return [first, second], float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(WATCHED_EXAMPLES), labels]).mean())

    def slope(name: str, place: tuple[int, ...]) -> float:
        step = np.zeros_like(named[name])
        step[place] = 1e-5
        ends = [forward({**named, name: named[name] + sign * step})[1] for sign in (1, -1)]
        return (ends[0] - ends[1]) / 2e-5

    layers, named, earlier = seen_in(outcome), after.parameters(), before.parameters()
    names = ["0.weight", "2.weight", "4.weight"]
    gradients = [np.array([slope(name, place) for place in np.ndindex(named[name].shape)]) for name in names]
    assert layers.layers == ("5 → 6", "6 → 4", "4 → 3")
    np.testing.assert_allclose(layers.activations[-1], [rms(a) for a in forward(named)[0]], rtol=1e-12)
    np.testing.assert_allclose(layers.weights[-1], [rms(named[name]) for name in names], rtol=1e-12)
    np.testing.assert_allclose(layers.updates[-1], [rms(named[name] - earlier[name]) for name in names], rtol=1e-9)
    np.testing.assert_allclose(layers.gradients[-1], [rms(gradient) for gradient in gradients], rtol=1e-6)


def test_the_update_of_one_full_step_of_descent_is_the_gradient_times_the_learning_rate() -> None:
    """Of the look before, which saw the parameters that the step began with; examples of other weights count more."""
    weights = np.linspace(0, 2, 30)
    data = replace(DATA, train=replace(DATA.train, weights=weights))
    (outcome,) = watched(Trainer(epochs=9), replace(RECIPE, optimizer=SGD(0.3)), data=data)
    layers = seen_in(outcome)
    np.testing.assert_allclose(layers.updates[1:], 0.3 * layers.gradients[:-1], rtol=1e-9)


def test_a_unit_is_dead_where_it_is_zero_for_all_examples() -> None:
    """Biases far above zero make every unit fire, far below none."""
    layers = (Dense(8), Activate(ReLU()), Dense(4), Activate(Tanh()), Dense(3))
    recipe = replace(RECIPE, layers=layers, optimizer=SGD(1e-9))
    (plain,) = watched(Trainer(epochs=1), recipe)
    assert seen_in(plain).dead.shape == (1, 1)
    (alive,) = watched(Trainer(epochs=1), replace(recipe, initializer=Normal(0.1, bias=Same(value=5.0))))
    (dead,) = watched(Trainer(epochs=1), replace(recipe, initializer=Normal(0.1, bias=Same(value=-5.0))))
    assert (seen_in(alive).dead.item(), seen_in(dead).dead.item()) == (0.0, 1.0)
    named = Trained.of(recipe, plain.learned, DATA).parameters()
    fires = (DATA.train.x @ named["0.weight"] + named["0.bias"] > 0).any(axis=0)
    assert seen_in(plain).dead.item() == (~fires).mean()


@pytest.mark.parametrize(("epochs", "apart"), [(1, 1), (2, 1), (50, 1), (51, 2), (100, 2), (777, 16)])
def test_there_are_fifty_looks_at_most_beside_the_first_and_the_last(epochs: int, apart: int) -> None:
    times = seen_in(watched(Trainer(epochs=epochs, evaluate_every=1000))[0]).times.tolist()
    assert times == sorted({1, *range(apart, epochs + 1, apart), epochs})
    assert len(times) <= WATCHED_TIMES + 2


@pytest.mark.parametrize("count", [1, 30, 49, 50, 51, 99, 100, 101, 350, 777])
def test_what_is_watched_of_a_longer_training_was_watched_of_a_shorter_one(count: int) -> None:
    for longer in range(count + 1, 3 * count + 100):
        assert {time for time in times_watched(range(1, longer + 1)) if time <= count} <= times_watched(
            range(1, count + 1)
        )


def test_iterations_are_watched_at_evaluations() -> None:
    (outcome,) = watched(Trainer(iterations=70, batch_size=1, evaluate_every=20))
    np.testing.assert_array_equal(seen_in(outcome).times, outcome.history.trained.times)


def test_a_run_that_stops_early_keeps_what_was_seen_until_then() -> None:
    trainer = Trainer(epochs=40, early_stopping=EarlyStopping(metric="train/loss", patience=3))
    stopped, longer = watched(trainer, replace(RECIPE, optimizer=Adam(1.0)), RECIPE)
    assert stopped.stopped == "early stopping"
    assert seen_in(stopped).times.tolist() == list(range(1, stopped.history.times[-1]))
    assert (longer.stopped, len(seen_in(longer).times)) == (None, 40)


def test_a_run_that_diverges_keeps_what_was_seen_until_then() -> None:
    data = make_data_for(Task(kind="regression"), 1, 30, 5)
    linear = replace(RECIPE, layers=(Dense(1),), loss=MeanSquaredError(), optimizer=SGD(1e4))
    at_once = replace(linear, initializer=Normal(1e200))
    later, never = watched(Trainer(epochs=50), linear, at_once, data=data)
    assert later.diverged_step is not None
    assert seen_in(later).times.tolist() == list(range(1, later.diverged_step))
    assert np.isfinite(seen_in(later).gradients).all()
    assert (never.diverged_step, never.layers) == (1, None)


def test_layers_are_called_by_their_true_widths() -> None:
    experiment = compose_experiment(
        [
            "architecture=uniform",
            "architecture.parametrization=maximal_update",
            "initializer=he_normal",
            "trainer.epochs=1",
        ],
    )
    data = experiment.dataset.load()
    (outcome,) = watched(experiment.trainer, experiment.recipe(data), data=data)
    assert seen_in(outcome).layers == ("64 → 16", "16 → 16", "16 → 1")


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_sizes_neither_overflow_nor_vanish(scale: float) -> None:
    array = np.random.default_rng(0).standard_normal((3, 4, 5))
    np.testing.assert_allclose(root_mean_square(scale * array, (-2, -1)), scale * root_mean_square(array, (-2, -1)))
    np.testing.assert_allclose(root_mean_square(array, -1)[2, 3], rms(array[2, 3]))
    assert root_mean_square(0 * array, -1).max() == 0
