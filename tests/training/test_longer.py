"""Trainings that ended and go on to be longer: the same bits as in one go, or a reason why not."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnexp.core.errors import DamagedError
from nnexp.core.state import Saved, read_checkpoint, write_checkpoint
from nnexp.data.dataset import Data
from nnexp.optim.schedules import Cosine, OneCycle, Plateau, Polynomial, Schedule
from nnexp.training.loop import Training
from nnexp.training.stack import Recipe
from nnexp.training.trainer import EarlyStopping, Trainer
from tests.conftest import make_data, tries
from tests.training.test_checkpoint import assert_same, at
from tests.training.test_loop import SCHEDULE, recipe_with, stacks, varied

DATA = make_data(30, 5, 3)
RECIPE = recipe_with(DATA, 0.5)
PATIENT = EarlyStopping(patience=1000)


def through_file(training: Training, path: Path) -> Saved:
    write_checkpoint(path, training.state())
    return read_checkpoint(path)


def with_length(trainer: Trainer, length: int) -> Trainer:
    return replace(trainer, epochs=length) if trainer.iterations is None else replace(trainer, iterations=length)


def assert_same_outcomes(one: Training, other: Training) -> None:
    outcomes, others = one.outcomes(), other.outcomes()
    assert outcomes.keys() == others.keys()
    for run, outcome in outcomes.items():
        assert_same(outcome, others[run])


@tries(60)
@given(
    stacks(),
    st.sampled_from([one for one in SCHEDULE if not one.depends_on_length]),
    st.lists(st.integers(1, 12), min_size=2, max_size=3, unique=True).map(sorted),
    st.sampled_from([None, PATIENT, EarlyStopping(patience=2)]),
    st.data(),
)
def test_a_training_made_longer_has_the_bits_of_one_go(
    tmp_path_factory: pytest.TempPathFactory,
    stack: tuple[list[Recipe], list[Data], Trainer, str],
    schedule: Schedule,
    lengths: list[int],
    early_stopping: EarlyStopping | None,
    drawn: st.DataObject,
) -> None:
    """Made longer once or twice, at its end or before, with a pause in the middle of what follows."""
    recipes, data, trainer, dtype = stack
    schedules = varied(schedule, [1 - run / 100 for run in range(len(recipes))])
    recipes = [replace(recipe, schedule=own) for recipe, own in zip(recipes, schedules, strict=True)]
    path = tmp_path_factory.mktemp("longer") / "latest.npz"
    if trainer.iterations is not None:
        lengths = [5 * length for length in lengths]
    trainer = replace(trainer, early_stopping=early_stopping, snapshots=(2, 3, lengths[-1]))
    every = with_length(trainer, lengths[-1]).evaluations()

    def begun(length: int) -> Training:
        return Training(recipes, data, with_length(trainer, length), dtype, watch_layers=True)

    undisturbed, training = begun(lengths[-1]), begun(lengths[0])
    undisturbed.advance()
    for shorter, length in pairwise(lengths):
        ended = not training.advance(pause=at(drawn.draw(st.sampled_from([10**9, 1, 7]))))
        earlier, saved = with_length(trainer, shorter), through_file(training, path)
        training = begun(length)
        assert with_length(trainer, length).why_not_longer(earlier, schedule) is None
        reason = training.lengthen(saved, earlier)
        if reason is not None:
            assert ended
            if "evaluated at its end" in reason:
                assert shorter not in every
            else:  # all have ended before, and that is how the longer ones end
                assert_same_outcomes(training, undisturbed)
            return
        if training.advance(pause=at(training.steps + 3)):
            saved, training = through_file(training, path), begun(length)
            training.restore(saved)
    training.advance()
    assert_same_outcomes(training, undisturbed)


@pytest.mark.parametrize(
    "trainer",
    [
        Trainer(epochs=40, batch_size=7, early_stopping=PATIENT, snapshots=(40, 90)),
        Trainer(epochs=60, batch_size=7, sampling="replacement", evaluate_every=20),
        Trainer(iterations=400, batch_size=7, evaluate_every=4),
    ],
)
@pytest.mark.parametrize("paused", [7, 10**9])  # in the middle of a round, or never
def test_also_where_the_layers_are_watched_less_often(trainer: Trainer, paused: int, tmp_path: Path) -> None:
    def begun(times: int) -> Training:
        longer = with_length(trainer, times * trainer.length)
        return Training([RECIPE], DATA, longer, "float32", watch_layers=True)

    undisturbed, training, longer = begun(4), begun(1), begun(4)
    undisturbed.advance()
    training.advance(pause=at(paused))
    assert longer.lengthen(through_file(training, tmp_path / "latest.npz"), trainer) is None
    longer.advance()
    assert_same_outcomes(longer, undisturbed)


TRAINER = Trainer(epochs=40, evaluate_every=8)


@pytest.mark.parametrize(
    ("trainer", "schedule", "why"),
    [
        (replace(TRAINER, epochs=80), Cosine(), "learning rates of its schedule"),
        (replace(TRAINER, epochs=80), OneCycle(warmup=3.0), "learning rates of its schedule"),
        (replace(TRAINER, epochs=80), Polynomial(per="step"), "learning rates of its schedule"),
        (replace(TRAINER, epochs=80, batch_size=3), RECIPE.schedule, "trainer.epochs alone"),
        (replace(TRAINER, iterations=80), RECIPE.schedule, "trainer.epochs alone"),
        (replace(TRAINER, epochs=40), RECIPE.schedule, "trainer.epochs=40, which is not less"),
        (replace(TRAINER, epochs=80, checkpoint_every=5, report_every=5), Plateau(), None),
    ],
)
def test_settings_that_are_not_a_longer_training(trainer: Trainer, schedule: Schedule, why: str | None) -> None:
    reason = trainer.why_not_longer(TRAINER, schedule)
    assert reason == why or (why is not None and reason is not None and why in reason)


@pytest.mark.parametrize(
    ("trainer", "rate", "why"),
    [
        (replace(TRAINER, evaluate_every=7), 0.1, "evaluated at its end, epoch 40"),
        (Trainer(iterations=40, evaluate_every=7), 0.1, "evaluated at its end, iteration 40"),
        (TRAINER, 1e200, "diverged at step 1,"),
        (
            replace(TRAINER, early_stopping=EarlyStopping(patience=1, min_delta=9.0)),
            0.1,
            "early stopping ended it at e",
        ),
        (replace(TRAINER, max_seconds=1e-9), 0.1, "time limit ended it"),
    ],
)
def test_ends_from_which_nothing_goes_on(trainer: Trainer, rate: float, why: str) -> None:
    def begun(one: Trainer) -> Training:
        return Training([recipe_with(DATA, 0.5, rate)], DATA, one, "float64")

    training = begun(trainer)
    training.advance()
    reason = begun(with_length(trainer, 80)).lengthen(Saved(training.state()), trainer)
    assert reason is not None
    assert why in reason


def solo(epochs: int) -> Training:
    return Training([RECIPE], DATA, Trainer(epochs=epochs), "float64")


def test_a_run_that_was_resumed_after_its_end_can_still_be_made_longer() -> None:
    ended, again, longer, undisturbed = solo(4), solo(4), solo(8), solo(8)
    undisturbed.advance()
    ended.advance()
    again.restore(Saved(ended.state()))
    assert again.time == 4
    again.advance()
    assert longer.lengthen(Saved(again.state()), Trainer(epochs=4)) is None
    longer.advance()
    assert_same_outcomes(longer, undisturbed)


def test_a_state_of_the_end_that_has_lost_its_steps_is_refused() -> None:
    """As versions before wrote it when a run was resumed that had ended."""
    ended = solo(4)
    ended.advance()
    state = {**solo(4).state(), "roster": ended.state()["roster"]}
    stack = state["stack"]
    assert isinstance(stack, dict)
    stack["steps"] = ended.steps
    solo(4).restore(Saved(state))
    with pytest.raises(DamagedError, match="no state of step 4"):
        solo(8).lengthen(Saved(state), Trainer(epochs=4))


def test_a_state_with_a_run_that_neither_trains_nor_has_ended_is_refused() -> None:
    ended = solo(4)
    ended.advance()
    state = ended.state()
    roster = state["roster"]
    assert isinstance(roster, dict)
    roster["history"] = {**roster["history"], "ends": []}
    with pytest.raises(DamagedError, match="neither train nor have ended"):
        solo(4).restore(Saved(state))
