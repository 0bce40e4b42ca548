"""What a training step costs, counted, not timed: NumPy calls and memory, which must not grow unnoticed."""

import tracemalloc

import pytest
from hypothesis import given

from nnexp.config.compose import compose_experiment
from nnexp.core.files import shipped
from nnexp.data.dataset import Data
from nnexp.optim.schedules import Time
from nnexp.training.batches import BatchBuffers, Examples
from nnexp.training.loop import Training
from nnexp.training.stack import Recipe, Stack
from nnexp.training.trainer import Trainer
from tests.conftest import tries
from tests.programs.benchmarks.work import A, C, Work
from tests.training.test_loop import stacks

NUMPY_BUFFER = 8192 * 8
"""Bytes of the buffer into which NumPy copies an operand that it has to broadcast."""


def ready(work: Work, runs: int) -> tuple[Stack, BatchBuffers]:
    """Return a stack that has made its first two steps, and its examples."""
    experiment, data = work.experiment(work.setting), work.data
    stack = Stack([experiment.recipe(data)] * runs, data.train.x.shape[-1], experiment.dtype)
    portions = BatchBuffers(Examples.of(data.train, data.task, experiment.loss, experiment.dtype))
    stack.set_learning_rate(Time(0, 0, 2, 1))
    for _ in range(2):
        stack.step(portions.batch(slice(0, work.batch_size or len(data.train))))
    return stack, portions


@pytest.mark.parametrize("runs", [1, 8])
@pytest.mark.parametrize(("work", "most"), [(A, 36), (C, 31)], ids=["A", "C"])
def test_calls_of_a_step(work: Work, most: int, runs: int) -> None:
    """Three layers: 3 x (product, bias, activation), the loss, and back 3 x (two gradients, and but once a third)."""
    stack, _ = ready(work, runs)
    ((_, step),) = stack._steps.values()  # noqa: SLF001
    assert 0 < len(step.calls) <= most


@pytest.mark.parametrize("runs", [1, 8])
@pytest.mark.parametrize("work", [A, C], ids=["A", "C"])
def test_memory_of_a_step(work: Work, runs: int) -> None:
    """Arrays are made in the first step alone; what is left is what NumPy takes for itself where shapes differ."""
    stack, portions = ready(work, runs)
    rows = slice(0, work.batch_size or len(work.data.train))
    stack.step(portions.batch(rows))
    tracemalloc.start()
    try:
        for _ in range(3):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            stack.step(portions.batch(rows))
            after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before <= NUMPY_BUFFER
    assert after - before < 200


@tries(50)
@given(stacks())
def test_every_component_is_played_from_a_tape(stack: tuple[list[Recipe], list[Data], Trainer, str]) -> None:
    recipes, data, trainer, dtype = stack
    for recipe, own in zip(recipes, data, strict=True):
        training = Training([recipe], own, trainer, dtype)
        training.advance()
        assert all(step.calls for _, step in training._stack._steps.values())  # noqa: SLF001
        assert all(score.calls for score in training._stack._repeated.values())  # noqa: SLF001


ACTIVATIONS = sorted(path.stem for path in shipped("conf").glob("architecture/activation/*.yaml"))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_played_from_a_tape(name: str) -> None:
    experiment = compose_experiment([f"architecture.activation={name}", "trainer.epochs=3"])
    data = experiment.dataset.load()
    training = Training([experiment.recipe(data)], data, experiment.trainer, experiment.dtype)
    training.advance()
    ((_, step),) = training._stack._steps.values()  # noqa: SLF001
    assert step.calls
