"""The functions that a worker of a sweep calls to train stacks; they need neither Hydra nor MLflow."""

import time
from collections.abc import Callable

from nnexp.core.threads import one_thread
from nnexp.training.history import Outcome
from nnexp.training.loop import Training

Begin = Callable[[], Training]
"""Makes a training."""


def train_until(begin: Begin | Training, time_: int | None) -> tuple[Training, float]:
    """Begin a training, or go on with a paused one, until a time in epochs or iterations; None is the end.

    Returns the training, which has paused or ended, and how long it took since then.
    """
    with one_thread():
        started = time.monotonic()
        training = begin if isinstance(begin, Training) else begin()
        training.advance(time_)
        return training, time.monotonic() - started


def train_to_the_end(begin: Begin) -> list[tuple[Outcome, float]]:
    """Train to the end, and return the outcome of every run with its share of the time, in seconds."""
    training, seconds = train_until(begin, None)
    outcomes = training.outcomes()
    return [(outcome, seconds / len(outcomes)) for outcome in outcomes.values()]
