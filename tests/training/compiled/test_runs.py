"""Steps that are made in one call, and runs that are played one after another, have the bits of plain NumPy."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from nnexp.nn.layers import Dense, Dropout
from nnexp.optim.optimizers import Adam, Momentum
from nnexp.optim.schedules import Exponential
from nnexp.training import loop, stack
from nnexp.training.compiled.player import Player, demand
from nnexp.training.compiled.program import Program, Row, Times
from nnexp.training.compiled.translate import SWITCH, Translator
from nnexp.training.loop import Training
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer
from tests.conftest import make_data, needs
from tests.training.compiled.random_configs import bits, repetitions
from tests.training.test_loop import recipe_with

pytestmark = needs("llvmlite")
DATA = make_data(50, 5, 3)
TRAINER = Trainer(epochs=6, batch_size=7)


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "1")


def recipe(rate: float = 0.1, seed: int = 0) -> Recipe:
    return replace(recipe_with(DATA, 0.5), optimizer=Adam(rate), seed=seed)


STACKS = {
    "alone": [recipe()],
    "one order": [recipe(0.1), recipe(0.01)],
    "seeds that differ": [recipe(0.1, 1), recipe(0.1, 2), recipe(0.01, 2)],
    "other numbers": [replace(recipe(), optimizer=Momentum(0.1, momentum)) for momentum in (0.5, 0.9)],
    "a rate a step": [replace(recipe(0.1, seed), schedule=Exponential(per="step", gamma=0.9)) for seed in (1, 2)],
    "several data sets in one order": [recipe(0.1), recipe(0.01), recipe(0.1)],
    "several data sets": [recipe(0.1, 1), recipe(0.1, 2), recipe(0.01, 2)],
}
SEVERAL = [DATA, make_data(50, 5, 3, seed=1), DATA]
TRAINERS = {
    "a smaller last batch": TRAINER,
    "in their order": replace(TRAINER, sampling="order"),
    "iterations": replace(TRAINER, iterations=40, evaluate_every=9),
    "whole": Trainer(iterations=40, evaluate_every=9),
}


def steps_together(training: Training) -> bool:
    return any(training._stack._several.values())  # noqa: SLF001


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("runs", STACKS)
def test_steps_in_one_call(runs: str, trainer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = SEVERAL if runs.startswith("several") else DATA
    fast = Training(STACKS[runs], data, TRAINERS[trainer], "float64")
    made = bits(fast)
    assert steps_together(fast)
    one_by_one = fast._stack._one is not None  # noqa: SLF001
    assert one_by_one == (runs not in ("alone", "other numbers"))
    played = [function for repeated in repetitions(fast) for function, _ in repeated.played]
    assert all(isinstance(function, Program) for function in played)
    monkeypatch.setattr(stack, "MAX_RECORDED_SIZE", 0)
    assert made == bits(Training(STACKS[runs], data, TRAINERS[trainer], "float64"))


@pytest.mark.parametrize("runs", [1, 4])
def test_a_stack_is_worth_it_sooner_than_a_run_alone(runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "")
    demand.cache_clear()
    stack = [recipe(seed=seed) for seed in range(runs)]
    training = Training(stack, DATA, Trainer(iterations=300, evaluate_every=100), "float64")
    training.advance()
    assert steps_together(training) == (runs == 4)


def test_dropout_draws_in_every_step() -> None:
    layers = Dense(4), Dropout(0.5), Dense(3)
    training = Training([replace(recipe(), layers=layers)], DATA, TRAINER, "float64")
    training.advance()
    assert not steps_together(training)


def asked(every: int | None) -> Sequence[int]:
    """Return before which steps a long training asks whether to pause."""
    steps: list[int] = []
    training = Training([recipe()], DATA, replace(TRAINER, batch_size=1, epochs=10), "float64")

    def pause(step: int) -> bool:
        steps.append(step)
        return False

    assert not training.advance(pause=pause, every=every)
    assert steps_together(training) == (every != 1)
    return steps


def test_a_pause_is_asked_for_between_calls() -> None:
    assert asked(1) == list(range(500))
    assert {*range(0, 500, 16)} <= {*asked(16)}
    assert len(asked(None)) < 100


def test_a_call_does_not_last_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SECONDS_OF_A_CALL", 0.0)
    assert len(asked(None)) > 490, "each call was too long, so the next one made fewer steps"


def test_rows_are_taken_by_their_numbers() -> None:
    player, source, out = Player(), np.arange(12, dtype=np.uint8).reshape(4, 3), np.zeros((2, 3, 3), np.uint8)
    numbers = np.array([[0, 3, 1], [2, 4, -7]])
    arrays = numbers, np.broadcast_to(source, (2, 3, 4, 3)), out
    Program([Row(player.loop("take rows"), *arrays)], player)()
    np.testing.assert_array_equal(out, source.take(numbers, axis=0, mode="clip"))


def test_a_part_of_the_turns() -> None:
    player = Player()
    source, out = np.random.default_rng(0).standard_normal((2, 5, 3)), np.zeros((2, 5, 3))
    program = Program([Times(2, [Times(5, [Translator(player).copied(source, out, repeated=2)])])], player)
    for count in (2, 4):
        program.play_part(count)
        np.testing.assert_array_equal(out[:, :count], source[:, :count])
        assert not out[:, count:].any()
    for count in (0, 6):
        with pytest.raises(ValueError, match="times"):
            program.play_part(count)
