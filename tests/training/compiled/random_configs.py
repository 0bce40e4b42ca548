"""Trains random configs by compiled code and by plain NumPy and compares all bits: the program of a test.

A crash ends the process, so the test runs it as a child. `python -m tests.training.compiled.random_configs 7 100` tries
a hundred configs of seed 7, the same ones every time; with `x86-64` behind it, as on a processor that is no more than
that.
"""

import faulthandler
import os
import sys
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from unittest import mock

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from nnexp.core.state import Saved
from nnexp.data.dataset import Data
from nnexp.training import stack
from nnexp.training.compiled import compiler
from nnexp.training.compiled.program import Program
from nnexp.training.compiled.translate import SWITCH, Call
from nnexp.training.loop import Training
from nnexp.training.stack import Recipe
from nnexp.training.tape import Repeated
from nnexp.training.trainer import Trainer
from tests.training.test_loop import stacks

PHASES = [Phase.generate]
"""A failure is told as it is: to look for a smaller one takes minutes."""


def bits(training: Training) -> list[bytes]:
    """Return all that came out of a training."""
    training.advance()
    return [
        array.tobytes()
        for outcome in training.outcomes().values()
        for array in (outcome.theta, outcome.learned.statistics, *outcome.history.metrics.values())
    ]


def alternative(recipe: Recipe, number: int) -> Recipe:
    """Return a recipe that differs in the seed and the learning rate; the first is the same."""
    rate = recipe.optimizer.learning_rate / (number + 1)
    return replace(recipe, seed=recipe.seed + number // 2, optimizer=replace(recipe.optimizer, learning_rate=rate))


def repetitions(training: Training) -> list[Repeated]:
    """Return the steps and evaluations that a training has recorded."""
    kept = training._stack  # noqa: SLF001
    return [*(step for _, step in kept._steps.values()), *kept._repeated.values()]  # noqa: SLF001


def main(first: int, count: int) -> None:
    """Try random configs; print how many programs played."""
    programs: list[Call] = []

    @seed(first)
    @settings(max_examples=count, deadline=None, database=None, phases=PHASES, suppress_health_check=[*HealthCheck])
    @given(stacks(), st.sampled_from([0, 1, 2, 3]), st.integers(1, 40))
    def same_bits(drawn: tuple[list[Recipe], list[Data], Trainer, str], alike: int, paused: int) -> None:
        recipes, data, trainer, dtype = drawn
        recipes = [alternative(recipes[0], number) for number in range(alike)] or recipes
        data = data[: len(recipes)]
        longer = replace(trainer, epochs=trainer.epochs + 3)  # the first three calls are made in other ways, too
        fast = Training(recipes, data, longer, dtype)
        made = bits(fast)
        with mock.patch.object(stack, "MAX_RECORDED_SIZE", 0):
            assert made == bits(Training(recipes, data, longer, dtype))
        begun, resumed = (Training(recipes, data, longer, dtype) for _ in range(2))
        begun.advance(pause=lambda steps: steps >= paused, every=paused)
        resumed.restore(Saved(deepcopy(begun.state())))
        assert made == bits(begun) == bits(resumed)
        for repeated in repetitions(fast):
            assert not [str(function)[:80] for function, _ in repeated.played if not isinstance(function, Program)]
            programs.extend(repeated.played)

    same_bits()
    print(len(programs))  # noqa: T201


if __name__ == "__main__":
    faulthandler.enable()
    os.environ[SWITCH] = "1"
    first, count, *cpu = sys.argv[1:]
    with mock.patch.object(compiler, "this_processor", return_value=(*cpu, "")) if cpu else nullcontext():
        main(int(first), int(count))
