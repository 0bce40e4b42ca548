"""What is done on a worker of a sweep, and in the same way for a run alone: nothing of Hydra or MLflow is needed."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from nnexp.core.threads import one_thread
from nnexp.training.history import Outcome
from nnexp.training.loop import Training

Begin = Callable[[], Training]
"""Makes a training, or returns one that has paused."""


@dataclass(frozen=True)
class TrainedRun:
    """The outcome of a run, and its share of the time that its stack took."""

    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Leg:
    """A training that has paused or ended, and how long it took since it began or went on."""

    training: Training
    seconds: float


def train_until(begin: Begin, time_: int | None) -> Leg:
    """Train until a time, in epochs or iterations; None is the end."""
    with one_thread():
        started = time.monotonic()
        training = begin()
        training.advance(time_)
        return Leg(training, time.monotonic() - started)


def train_to_the_end(begin: Begin) -> list[TrainedRun]:
    """Train to the end, and return what came of every run."""
    leg = train_until(begin, None)
    outcomes = leg.training.outcomes()
    return [TrainedRun(outcome, leg.seconds / len(outcomes)) for outcome in outcomes.values()]


def unchanged(training: Training) -> Training:
    """Return a training that goes on where it paused."""
    return training
