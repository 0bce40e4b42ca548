"""When and how runs end, and what is kept of them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.data.dataset import Data
from nnexp.nn.activations import ReLU, Tanh
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import Normal
from nnexp.nn.losses import SparseCategoricalCrossEntropy
from nnexp.optim.optimizers import SGD
from nnexp.optim.regularization import Regularization
from nnexp.optim.schedules import Constant, Plateau
from nnexp.training.history import Outcome
from nnexp.training.loop import train
from nnexp.training.stack import Recipe, Stack
from nnexp.training.trainer import EarlyStopping, Stop, Trainer
from tests.conftest import make_data

DATA = make_data(30, 5, 3)


def recipe(rate: float = 0.5, seed: int = 0) -> Recipe:
    layers = MLP(hidden=(8,), activation=Tanh(), normalization="layer").layers(5, 3)
    return Recipe(layers, Normal(0.5), SparseCategoricalCrossEntropy(), SGD(rate), Constant(), seed)


def solo(trainer: Trainer, data: Data = DATA, chosen: Recipe | None = None) -> Outcome:
    (outcome,) = train([chosen or recipe()], data, trainer, "float64")
    return outcome


def test_early_stopping_waits_and_restores_the_best() -> None:
    whole = solo(Trainer(epochs=200))
    losses = whole.history.trained.metrics["test/loss"]
    best = int(losses.argmin())
    assert best < 150, "this run learns its examples by heart"
    stopped = solo(Trainer(epochs=200, early_stopping=EarlyStopping(patience=30)))
    assert stopped.stopped == "early stopping"
    first_wait = next(at for at in range(200) if losses[: at + 1].argmin() <= at - 30)
    assert stopped.history.times[-1] == first_wait + 1
    shorter = solo(Trainer(epochs=int(losses[: first_wait + 1].argmin()) + 1))
    np.testing.assert_array_equal(stopped.theta, shorter.theta)
    assert stopped.final == 1 + losses[: first_wait + 1].argmin()
    kept = solo(Trainer(epochs=200, early_stopping=EarlyStopping(patience=30, restore=False)))
    np.testing.assert_array_equal(kept.theta, solo(Trainer(epochs=first_wait + 1)).theta)
    assert (kept.final, whole.final) == (-1, -1)


def test_early_stopping_on_a_metric_that_is_better_when_higher() -> None:
    trainer = Trainer(epochs=200, early_stopping=EarlyStopping(metric="train/accuracy", patience=5))
    outcome = solo(trainer)
    values = outcome.history.metrics["train/accuracy"]
    assert values[:-5].max() >= values[-5:].max()


def test_early_stopping_on_an_unknown_metric_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"early_stopping\.metric=validation/loss: must be one of .* takes dataset.validation_size"
    ):
        solo(Trainer(early_stopping=EarlyStopping(metric="validation/loss")))


def test_each_run_of_a_stack_stops_at_its_own_time() -> None:
    trainer = Trainer(epochs=150, early_stopping=EarlyStopping(patience=10))
    recipes = [recipe(rate) for rate in (0.05, 0.5, 2.0)]
    outcomes = train(recipes, DATA, trainer, "float64")
    assert len({len(outcome.history) for outcome in outcomes}) == 3
    for outcome in outcomes:
        assert outcome.final == outcome.history.metrics["test/loss"].argmin()


def test_a_validation_part_is_evaluated_and_chooses() -> None:
    data = replace(DATA, validation=make_data(12, 5, 3, seed=9).train)
    outcome = solo(Trainer(epochs=40), data)
    assert outcome.history.best() == outcome.history.metrics["validation/loss"].argmin()
    assert outcome.history.best() != outcome.history.metrics["test/loss"].argmin()


def test_snapshots_are_the_parameters_at_their_time() -> None:
    outcome = solo(Trainer(epochs=20, evaluate_every=6, snapshots=(0, 3, 10)))
    assert outcome.history.times.tolist() == [0, 1, 3, 6, 10, 12, 18, 20]
    np.testing.assert_array_equal(outcome.snapshots[0].theta, Stack([recipe()], 5, "float64").theta[0])
    for epochs in (3, 10):
        np.testing.assert_array_equal(outcome.snapshots[epochs].theta, solo(Trainer(epochs=epochs)).theta)
    assert set(outcome.snapshots) == {0, 3, 10}


@pytest.mark.parametrize("trainer", [Trainer(epochs=30), Trainer(iterations=30, batch_size=7)], ids=["epochs", "steps"])
def test_the_start_is_as_good_as_the_starting_parameters_and_decides_on_nothing(trainer: Trainer) -> None:
    """Runs that only get worse do not stop at once, nor is the start their best."""
    worse = replace(recipe(50.0), initializer=Normal(0.01))
    patient = replace(trainer, early_stopping=EarlyStopping(patience=5))
    whole, stopped = (train([worse, recipe()], DATA, one, "float64")[0] for one in (trainer, patient))
    losses = whole.history.metrics["test/loss"]
    assert losses[0] < losses[1:].min()
    assert losses[0] == pytest.approx(np.log(3), rel=1e-2)
    assert whole.history.metrics["train/loss"][0] == pytest.approx(np.log(3), rel=1e-2)
    assert whole.history.best() == 1 + losses[1:].argmin()
    assert (stopped.stopped, stopped.final) == ("early stopping", stopped.history.best())


def test_iterations_are_steps_whatever_the_number_of_examples() -> None:
    """Reference R0's way: one sample drawn with replacement at a time, evaluated every few iterations."""
    outcome = solo(Trainer(iterations=70, batch_size=1, sampling="replacement", evaluate_every=20))
    assert outcome.history.times.tolist() == [0, 1, 20, 40, 60, 70]
    assert outcome.history.unit == "iteration"
    by_epoch, by_iteration = (
        solo(Trainer(epochs=4, batch_size=10)),
        solo(Trainer(iterations=12, batch_size=10, evaluate_every=3)),
    )
    np.testing.assert_array_equal(by_epoch.theta, by_iteration.theta)


def test_a_time_limit_ends_a_run_with_what_it_has() -> None:
    began = time.monotonic()
    outcome = solo(Trainer(epochs=1_000_000, evaluate_every=1_000_000, max_seconds=0.2))
    assert outcome.stopped == "time limit"
    assert time.monotonic() - began < 60
    assert outcome.history.times.tolist() == [0, 1]


def test_penalties_spare_biases_unless_asked() -> None:
    def sizes(regularization: Regularization) -> tuple[float, float]:
        chosen = replace(recipe(), regularization=regularization)
        theta = solo(Trainer(epochs=100), chosen=chosen).theta
        return float(np.abs(theta[:40]).sum()), float(np.abs(theta[48:56]).sum())  # weights; gains

    free, spared = sizes(Regularization()), sizes(Regularization(l2=0.3))
    both = sizes(Regularization(l2=0.3, biases=True))
    assert spared[0] < 0.5 * free[0]
    assert both[1] < 0.5 * spared[1]


def test_a_plateau_lowers_the_learning_rate() -> None:
    steady, dropping = (
        replace(recipe(3.0), schedule=schedule) for schedule in (Constant(), Plateau(patience=2, gamma=0.1))
    )
    moved = []
    for chosen in (steady, dropping):
        last = solo(Trainer(epochs=400, batch_size=5), chosen=chosen)
        before = solo(Trainer(epochs=399, batch_size=5), chosen=chosen)
        moved.append(np.abs(last.theta - before.theta).max())
    assert moved[1] < 0.1 * moved[0]


def test_example_weights_weigh() -> None:
    """An example of weight 2 counts as two of weight 1, one of weight 0 as none, for equal means."""
    part = DATA.train
    weights = np.zeros(30)
    weights[:10] = 3.0
    weighted = replace(DATA, train=replace(part, weights=weights))
    few = replace(DATA, train=replace(part, x=part.x[:10], targets=part.targets[:10]))
    np.testing.assert_allclose(solo(Trainer(epochs=5), weighted).theta, solo(Trainer(epochs=5), few).theta, rtol=1e-9)


@pytest.mark.parametrize(
    ("stop", "at"),
    [
        (Stop("train/loss", below=0.8), lambda metrics: metrics["train/loss"] < 0.8),
        (Stop("train/accuracy", above=0.9), lambda metrics: metrics["train/accuracy"] > 0.9),
        (Stop("test/loss", below=0.0), lambda metrics: metrics["test/loss"] < 0.0),
    ],
    ids=lambda one: one.reason if isinstance(one, Stop) else "",
)
def test_a_run_stops_where_it_is_good_enough(stop: Stop, at: Callable[[Mapping[str, Array]], Array]) -> None:
    """Also beside another in a stack, which learns more slowly."""
    rates = (0.5, 0.05)
    whole = [solo(Trainer(epochs=100), chosen=recipe(rate)) for rate in rates]
    stopped = train([recipe(rate) for rate in rates], DATA, Trainer(epochs=100, stop=stop), "float64")
    lengths = []
    for rate, one, other in zip(rates, whole, stopped, strict=True):
        reached = np.flatnonzero(at(one.history.trained.metrics)).tolist()
        lengths.append(length := reached[0] + 1 if reached else 100)
        assert other.history.times.tolist() == [*range(length + 1)]
        assert other.stopped == (stop.reason if reached else None)
        np.testing.assert_array_equal(other.theta, solo(Trainer(epochs=length), chosen=recipe(rate)).theta)
    assert lengths[0] < lengths[1] or stop.below == 0.0


def test_a_stop_and_times_that_say_nothing_are_refused() -> None:
    for changes in ({}, {"below": 1.0, "above": 2.0}):
        with pytest.raises(UserError, match="must be a number, or null beside another"):
            Stop("test/loss", **changes)
    for text in ("log", "log:1", "log:-3", "linear:7", "log:3.5"):
        with pytest.raises(UserError, match=r"evaluate_at=.*: must be as log:200"):
            Trainer(evaluate_at=text)
    with pytest.raises(UserError, match=r"evaluate_every=5: must be 1 beside evaluate_at=log:20"):
        Trainer(evaluate_at="log:20", evaluate_every=5)


@pytest.mark.parametrize(
    ("trainer", "times"),
    [
        (Trainer(epochs=1000, evaluate_at="log:4"), [1, 10, 100, 1000]),
        (Trainer(epochs=1000, evaluate_at="log:2", snapshots=(30,)), [1, 30, 1000]),
        (Trainer(iterations=8, evaluate_at="log:200"), [*range(1, 9)]),
        (Trainer(epochs=1, evaluate_at="log:200"), [1]),
    ],
    ids=str,
)
def test_evaluations_are_spread_over_orders_of_magnitude(trainer: Trainer, times: list[int]) -> None:
    assert trainer.evaluations() == times
    assert solo(trainer).history.times.tolist() == [0, *times]


@pytest.mark.parametrize("ends", [{"early_stopping": EarlyStopping()}, {"stop": Stop("test/loss", below=0.0)}])
def test_all_runs_diverge_at_once(ends: dict[str, EarlyStopping] | dict[str, Stop]) -> None:
    trainer = replace(Trainer(epochs=3), **ends)
    bad = replace(recipe(), layers=MLP(hidden=(4,), activation=ReLU()).layers(5, 3), initializer=Normal(1e300))
    outcomes = train([bad, bad], DATA, trainer, "float64")
    assert [outcome.diverged_step is not None for outcome in outcomes] == [True, True]
