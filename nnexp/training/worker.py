"""The functions that a worker of a sweep calls to train stacks; they need neither Hydra nor MLflow."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from nnexp.core.threads import one_thread
from nnexp.training.history import Outcome
from nnexp.training.loop import Training

Begin = Callable[[], Training]
"""Makes a training."""


@dataclass(frozen=True)
class TrainedRun:
    """The outcome of a run, and its share of the time that its stack took."""

    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class TrainedUntil:
    """A training that has paused or ended, and how long it took since it began or went on."""

    training: Training
    seconds: float


def train_until(begin: Begin | Training, time_: int | None) -> TrainedUntil:
    """Begin a training, or go on with a paused one, until a time in epochs or iterations; None is the end."""
    with one_thread():
        started = time.monotonic()
        training = begin if isinstance(begin, Training) else begin()
        training.advance(time_)
        return TrainedUntil(training, time.monotonic() - started)


def train_to_the_end(begin: Begin) -> list[TrainedRun]:
    """Train to the end, and return every run with its outcome."""
    trained = train_until(begin, None)
    outcomes = trained.training.outcomes()
    return [TrainedRun(outcome, trained.seconds / len(outcomes)) for outcome in outcomes.values()]
