"""Stacks on workers, paused and halved, against the same runs alone and against plain loops."""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from nnexp.config.compose import compose_experiment
from nnexp.core.component import Array
from nnexp.core.processes import Failure
from nnexp.core.threads import BLAS_THREADS
from nnexp.data.dataset import Data
from nnexp.nn.initializers import Normal
from nnexp.nn.losses import BinaryCrossEntropy
from nnexp.runs.prepare import Ready, load, prepare
from nnexp.sweeps.stacks import Places
from nnexp.sweeps.train import Halving, train_halving, train_stacks
from nnexp.sweeps.workers import LocalPool
from nnexp.training.history import History, Outcome
from nnexp.training.loop import Training, train
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer
from tests.conftest import make_data, tries
from tests.training.test_loop import assert_same_bits, recipe_with, stacks

T = TypeVar("T")


def sent(training: Training) -> Training:
    """Return a training as it comes out at the other end of a line."""
    received: Training = pickle.loads(pickle.dumps(training))  # noqa: S301 - its own
    return received


@tries(150)
@given(stacks(), st.data())
def test_a_training_that_pauses_and_is_sent_has_the_bits_of_one_that_is_not(
    stack: tuple[list[Recipe], list[Data], Trainer, str], choices: st.DataObject
) -> None:
    recipes, data, trainer, dtype = stack
    training = Training(recipes, data, trainer, dtype)
    for time in sorted(choices.draw(st.lists(st.integers(0, trainer.length), max_size=4))):
        training.advance(time)
        training = sent(training)
    training.advance()
    for one, other in zip(training.outcomes().values(), train(recipes, data, trainer, dtype), strict=True):
        assert_same_bits(one, other)
        assert (one.stopped, one.snapshots.keys()) == (other.stopped, other.snapshots.keys())


@tries(150)
@given(stacks(), st.data())
def test_stopping_some_runs_does_not_touch_the_others(
    stack: tuple[list[Recipe], list[Data], Trainer, str], choices: st.DataObject
) -> None:
    recipes, data, trainer, dtype = stack
    alone = train(recipes, data, trainer, dtype)
    time = choices.draw(st.sampled_from(trainer.evaluations()))
    stopped = choices.draw(st.sets(st.integers(0, len(recipes) - 1)))
    training = Training(recipes, data, trainer, dtype)
    training.advance(time)
    ended = set(training.outcomes())
    training.stop(sorted(stopped), "enough")
    training = sent(training)
    training.advance()
    outcomes = training.outcomes()
    assert sorted(outcomes) == list(range(len(recipes)))
    for run, outcome in outcomes.items():
        if run in stopped - ended:
            assert outcome.stopped == "enough"
            assert outcome.history.times[-1] <= time
            count = len(outcome.history)
            for name, values in outcome.history.metrics.items():
                np.testing.assert_array_equal(values, alone[run].history.metrics[name][:count])
        else:
            assert_same_bits(outcome, alone[run])
            assert outcome.stopped == alone[run].stopped


def test_layers_that_are_watched_across_a_pause_are_the_same() -> None:
    data, trainer = make_data(30, 5, 3), Trainer(epochs=6, batch_size=10)
    recipes = [recipe_with(data, 0.5), recipe_with(data, 0.3), recipe_with(data, 1e200)]
    training = Training(recipes, data, trainer, "float64", watch_layers=True)
    training.advance(2)
    training = sent(training)
    training.stop([1], "enough")
    training.advance()
    whole = Training(recipes, data, trainer, "float64", watch_layers=True)
    whole.advance()
    layers, expected = training.outcomes()[0].layers, whole.outcomes()[0].layers
    assert layers is not None
    assert expected is not None
    assert layers.times.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(layers.updates, expected.updates)
    np.testing.assert_array_equal(layers.activations, expected.activations)
    stopped = training.outcomes()[1].layers
    assert stopped is not None
    assert stopped.times.tolist() == [1, 2]


TIMES: list[tuple[Halving, Trainer, list[int]]] = [
    (Halving(0.5, 3, "test/loss"), Trainer(epochs=80), [10, 20, 40]),
    (Halving(0.5, 1, "test/loss"), Trainer(epochs=80), [40]),
    (Halving(0.25, 2, "test/loss"), Trainer(epochs=1000), [63, 250]),
    (Halving(0.5, 3, "test/loss"), Trainer(epochs=80, evaluate_every=30), [30, 60]),
    (Halving(0.5, 3, "test/loss"), Trainer(epochs=80, evaluate_every=1000), []),
    (Halving(0.5, 3, "test/loss"), Trainer(epochs=1), []),
    (Halving(0.5, 10, "test/loss"), Trainer(epochs=4), [1, 2]),
    (Halving(0.5, 2, "test/loss"), Trainer(iterations=100, evaluate_every=10), [30, 50]),
    (Halving(0.5, 2, "test/loss"), Trainer(iterations=100, evaluate_every=100, snapshots=(26,)), [26]),
]
"""Rungs by hand: length * share^k, or the next evaluation before the end."""


@pytest.mark.parametrize(("halving", "trainer", "expected"), TIMES)
def test_rungs_are_where_they_should_be(halving: Halving, trainer: Trainer, expected: list[int]) -> None:
    assert halving.times(trainer) == expected


def test_a_rung_is_not_late_by_a_rounding_error() -> None:
    assert Halving(0.1, 2, "test/loss").times(Trainer(epochs=200)) == [2, 20]


@given(
    st.floats(0.01, 0.99),
    st.integers(1, 6),
    st.integers(1, 60),
    st.integers(1, 70),
    st.lists(st.integers(1, 60), max_size=3),
)
def test_rungs_against_a_plain_loop(share: float, rungs: int, epochs: int, every: int, snapshots: list[int]) -> None:
    trainer = Trainer(epochs=epochs, evaluate_every=every, snapshots=tuple(snapshots))
    expected = []
    for rung in range(1, rungs + 1):
        for epoch in range(1, epochs):
            evaluated = epoch == 1 or epoch % every == 0 or epoch in snapshots
            if evaluated and epoch >= epochs * share**rung:
                expected.append(epoch)
                break
    assert Halving(share, rungs, "test/loss").times(trainer) == sorted(set(expected))


@given(
    st.floats(0.01, 0.99),
    st.dictionaries(st.integers(0, 20), st.integers(-3, 3).map(float), max_size=12),
    st.sampled_from(["test/loss", "test/accuracy", "validation/r2", "test/mean_absolute_error"]),
)
def test_those_that_go_on_against_a_plain_loop(share: float, values: dict[int, float], metric: str) -> None:
    lower = metric.rpartition("/")[2] in ("loss", "mean_absolute_error")
    left, expected = dict(sorted(values.items())), set()
    for _ in range(ceil(share * len(values))):
        best = min(left.values()) if lower else max(left.values())
        place = next(place for place, value in left.items() if value == best)
        expected.add(place)
        del left[place]
    assert Halving(share, 3, metric).going_on(values) == expected


def test_runs_without_the_reading_are_the_last_to_go_on() -> None:
    values = {0: None, 1: 7.0, 2: None, 3: 5.0}
    for share, expected in ((0.25, {3}), (0.5, {1, 3}), (0.75, {0, 1, 3})):
        assert Halving(share, 1, "time_to/test/loss/0.1").going_on(values) == expected


EPOCHS = 16
BASE = (f"trainer.epochs={EPOCHS}", "trainer.batch_size=48", "architecture.hidden=[6]", "tracking=none")
RATES = (0.3, 1e-4, 3.0, 0.01, 1.0, 0.1, 0.03, 10.0)


@cache
def ready(*overrides: str) -> Ready:
    experiment = compose_experiment([*BASE, "initializer.scale=0.5", *overrides])
    return prepare(experiment, overrides, None, load(experiment.dataset))


def runs_of(rates: Sequence[float] = RATES) -> list[Ready]:
    return [ready(f"optimizer.learning_rate={rate}", f"seed={seed}") for seed, rate in enumerate(rates)]


def train_alone(run: Ready) -> Outcome:
    """Train a run as the command line does, with as many threads for a product."""
    with threadpool_limits(BLAS_THREADS):
        return train([run.recipe], run.data, run.experiment.trainer, run.experiment.dtype)[0]


@cache
def _alone(overrides: tuple[str, ...]) -> Outcome:
    return train_alone(ready(*overrides))


def alone(run: Ready) -> Outcome:
    """Return the outcome of a run as `ready` made it, remembered."""
    return _alone(tuple(run.overrides))


def assert_beginning(outcome: Outcome, whole: Outcome, count: int) -> None:
    """Assert that an outcome is the start and the first evaluations of another."""
    assert len(outcome.history) == 1 + count
    for name, values in outcome.history.metrics.items():
        np.testing.assert_array_equal(values, whole.history.metrics[name][: 1 + count], err_msg=name)


def all_of(results: Iterator[tuple[int, T | Failure]], count: int) -> dict[int, T]:
    """Return results by their places; each comes once, and none failed."""
    found: dict[int, T] = {}
    for place, result in results:
        assert not isinstance(result, Failure), result.details
        assert place not in found
        found[place] = result
    assert sorted(found) == list(range(count))
    return found


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("stacked", [[[0, 3, 5], [1, 7], [2, 4, 6]], [[0, 1, 2, 3, 4, 5, 6, 7]]])
def test_stacks_have_the_bits_of_runs_alone(stacked: list[Places], count: int) -> None:
    runs = runs_of()
    with LocalPool(count) as pool:
        found = all_of(train_stacks(runs, stacked, pool), len(runs))
    for place, run in enumerate(runs):
        assert_same_bits(found[place][0], alone(run))
        assert found[place][1] > 0


def halved_by_hand(values: Mapping[int, Array], share: float, rungs: Sequence[int]) -> dict[int, int | None]:
    """Return the rung at which every run leaves, None for those that never do, given a loss for each epoch."""
    left: dict[int, int | None] = dict.fromkeys(values)
    going = set(values)
    for rung in rungs:
        ranked = sorted(going, key=lambda place: float(values[place][rung - 1]))
        keep = set(ranked[: ceil(share * len(ranked))])
        left |= dict.fromkeys(going - keep, rung)
        going = keep
    return left


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("stacked", [[[0, 3, 5], [1, 7], [2, 4, 6]], [[0, 1, 2, 3, 4, 5, 6, 7]], [[7], [0, 1]]])
def test_halving_stops_the_worse_ones_and_changes_no_bit(stacked: list[Places], count: int) -> None:
    """Rungs at 2, 4 and 8 of 16 epochs; what is not in a stack was trained before and is ranked among the others."""
    runs = runs_of()
    known = {place: alone(run).history for place, run in enumerate(runs) if not any(place in s for s in stacked)}
    with LocalPool(count) as pool:
        found = dict(train_halving(runs, stacked, pool, Halving(0.5, 3, "test/loss"), known))
    assert sorted(found) == sorted(set(range(8)) - known.keys())
    losses = {place: alone(run).history.trained.metrics["test/loss"] for place, run in enumerate(runs)}
    expected = halved_by_hand(losses, 0.5, (2, 4, 8))
    assert sorted(rung or EPOCHS for rung in expected.values()) == [2, 2, 2, 2, 4, 4, 8, 16]
    for place, trained in found.items():
        assert not isinstance(trained, Failure)
        rung = expected[place]
        if rung is None:
            assert_same_bits(trained[0], alone(runs[place]))
            assert trained[0].stopped is None
        else:
            assert trained[0].stopped == f"halving at epoch {rung}"
            assert_beginning(trained[0], alone(runs[place]), rung)
        assert trained[1] > 0


@pytest.mark.parametrize("metric", ["train/accuracy", "min/train/accuracy", "mean/train/accuracy"])
def test_halving_goes_by_the_reading_that_is_asked_for(metric: str) -> None:
    """One run was trained before: what counts of it is how far it was then."""
    runs = runs_of()
    known = {2: alone(runs[2]).history}
    with LocalPool(1) as pool:
        found = dict(train_halving(runs, [[0, 1, 3], [4, 5, 6, 7]], pool, Halving(0.25, 1, metric), known))
    begun = np.array([alone(run).history.trained.metrics["train/accuracy"][:4] for run in runs])
    kinds = {"train": begun[:, -1], "min": begun.min(axis=1), "mean": begun.mean(axis=1)}
    scores = kinds[metric.partition("/")[0]].tolist()
    best = sorted(range(8), key=lambda place: (-scores[place], place))[:2]
    going_on = [place for place, one in found.items() if not isinstance(one, Failure) and one[0].stopped is None]
    assert sorted(going_on) == sorted({*best} - {2})


def test_a_run_that_ends_on_its_own_is_not_ranked() -> None:
    """Two of four diverge at once: of the two that are left, one goes on."""
    scales = ("1e200", "0.1", "1e200", "0.5")
    runs = [ready("architecture.activation=relu", f"initializer.scale={scale}") for scale in scales]
    with LocalPool(1) as pool:
        found = all_of(train_halving(runs, [[0, 1], [2], [3]], pool, Halving(0.5, 1, "test/loss"), {}), 4)
    assert [found[place][0].diverged_step for place in range(4)] == [1, None, 1, None]
    assert sorted(str(found[place][0].stopped) for place in (1, 3)) == ["None", "halving at epoch 8"]


@dataclass(frozen=True)
class Explosive(Normal):
    """Starting weights that one run cannot have."""

    def unit(self, generator: np.random.Generator, fan_in: int, fan_out: int, shape: tuple[int, ...]) -> Any:  # noqa: ANN401
        if self.scale == 13:
            raise ArithmeticError("thirteen")
        return super().unit(generator, fan_in, fan_out, shape)


@dataclass(frozen=True)
class Fragile(BinaryCrossEntropy):
    """A loss that one run cannot have, and a stack with it cannot either."""

    def backward(self, z: Array, y: Array) -> Array:
        assert self.label_smoothing is not None
        if np.any(np.equal(self.label_smoothing, 0.125)):
            raise ArithmeticError("an eighth")
        return super().backward(z, y)


def with_recipe(run: Ready, **parts: object) -> Ready:
    return replace(run, recipe=replace(run.recipe, **parts))  # type: ignore[arg-type]


FAILING: list[tuple[Callable[[Ready], Ready], Callable[[Ready], Ready], str]] = [
    (
        lambda run: with_recipe(run, initializer=Explosive(0.5)),
        lambda run: with_recipe(run, initializer=Explosive(13)),
        "ArithmeticError: thirteen",
    ),
    (
        lambda run: with_recipe(run, loss=Fragile(0.1)),
        lambda run: with_recipe(run, loss=Fragile(0.125)),
        "ArithmeticError: an eighth",
    ),
]


@pytest.mark.parametrize(("make_good", "make_bad", "reason"), FAILING, ids=["initializer", "loss"])
@pytest.mark.parametrize("count", [1, 2])
def test_of_a_stack_that_fails_only_one_run_is_given_up(
    make_good: Callable[[Ready], Ready], make_bad: Callable[[Ready], Ready], reason: str, count: int
) -> None:
    runs = [make_good(run) for run in runs_of(RATES[:5])]
    runs[2] = make_bad(runs[2])
    with LocalPool(count) as pool:
        found = dict(train_stacks(runs, [[0, 1, 2], [3, 4]], pool))
    assert sorted(found) == [0, 1, 2, 3, 4]
    failure = found.pop(2)
    assert isinstance(failure, Failure)
    assert failure.reason == reason
    assert "Traceback" in failure.details
    for place, trained in found.items():
        assert isinstance(trained, tuple)
        assert_same_bits(trained[0], train_alone(runs[place]))


def test_a_stack_that_fails_while_halving_is_told_and_the_others_go_on() -> None:
    runs = [with_recipe(run, loss=Fragile(0.1)) for run in runs_of(RATES[:4])]
    runs[0] = with_recipe(runs[0], loss=Fragile(0.125))
    with LocalPool(1) as pool:
        found = dict(train_halving(runs, [[0], [1, 2, 3]], pool, Halving(0.5, 1, "test/loss"), {}))
    assert sorted(found) == [0, 1, 2, 3]
    assert isinstance(found[0], Failure)
    stops = [trained[0].stopped for trained in found.values() if isinstance(trained, tuple)]
    assert sorted(map(str, stops)) == ["None", "None", "halving at epoch 8"]


def test_of_a_stack_that_fails_while_halving_only_one_run_is_given_up() -> None:
    runs = [with_recipe(run, loss=Fragile(0.1)) for run in runs_of(RATES[:4])]
    runs[2] = with_recipe(runs[2], loss=Fragile(0.125))
    with LocalPool(1) as pool:
        found = dict(train_halving(runs, [[0, 1, 2, 3]], pool, Halving(0.5, 1, "test/loss"), {}))
    assert [isinstance(found[place], Failure) for place in range(4)] == [False, False, True, False]


def test_what_was_known_before_a_rung_may_have_ended_before_it() -> None:
    """A run that ended on its own before the rung is ranked no more, as one that is trained now would not be."""
    runs = runs_of(RATES[:3])
    short = History(np.array([1, 2]), {"test/loss": np.array([0.0, 0.0])})
    with LocalPool(1) as pool:
        found = dict(train_halving(runs, [[1, 2]], pool, Halving(0.5, 1, "test/loss"), {0: short}))
    stops = [trained[0].stopped for trained in found.values() if isinstance(trained, tuple)]
    assert sorted(map(str, stops)) == ["None", "halving at epoch 8"]


def test_a_training_whose_weights_are_large_goes_on_elsewhere() -> None:
    """Arrays of more than a megabyte are not sent but shared through files, and must not be read-only there."""
    wide = ("architecture.hidden=[512,300]", "trainer.epochs=4")
    runs = [ready(*wide, f"seed={seed}") for seed in range(3)]
    with LocalPool(2) as pool:
        found = all_of(train_halving(runs, [[0, 1], [2]], pool, Halving(0.5, 2, "test/loss"), {}), 3)
    (last,) = [place for place, trained in found.items() if trained[0].stopped is None]
    assert_same_bits(found[last][0], alone(runs[last]))
    assert found[last][0].theta.nbytes > 1_000_000
