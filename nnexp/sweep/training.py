"""Training the stacks of a sweep on workers: all to the end at once, or from rung to rung with fewer and fewer runs.

Successive halving ranks the runs at every rung by a metric; a share of them goes on, the others stop. Those that go on
continue where they were, so their numbers are those of a run alone.

References
----------
Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016.

"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

import numpy as np

from nnexp.runs import Ready
from nnexp.sweep.ledger import HALVING
from nnexp.sweep.stacks import Places
from nnexp.sweep.workers import Failure, Pool
from nnexp.training.history import History
from nnexp.training.loop import Training
from nnexp.training.metrics import lower_is_better
from nnexp.training.trainer import Trainer
from nnexp.training.worker import Begin, Leg, TrainedRun, train_to_the_end, train_until, unchanged

Results = Iterator[tuple[int, TrainedRun | Failure]]
"""The place of a run in the sweep, and what came of it."""


def train_stacks(runs: Sequence[Ready], stacks: Sequence[Places], pool: Pool) -> Results:
    """Begin to train stacks on all workers at once, and yield every run as its stack is done.

    A stack that fails is trained again run by run, so that only the run is given up that cannot be trained.
    """
    results = pool.begin([partial(train_to_the_end, beginning(runs, stack)) for stack in stacks])
    return _unpacked(runs, stacks, pool, results)


def _unpacked(
    runs: Sequence[Ready],
    stacks: Sequence[Places],
    pool: Pool,
    results: Iterable[tuple[int, list[TrainedRun] | Failure]],
) -> Results:
    again: list[Places] = []
    for number, result in results:
        stack = stacks[number]
        if not isinstance(result, Failure):
            yield from zip(stack, result, strict=True)
        elif len(stack) == 1:
            yield stack[0], result
        else:
            again += [[place] for place in stack]
    if again:
        yield from train_stacks(runs, again, pool)


@dataclass(frozen=True)
class Halving:
    """Which runs go on, and when that is decided.

    Attributes
    ----------
    share
        The share of the runs that goes on at a rung.
    rungs
        How many rungs there are.
    metric
        What runs are ranked by.

    """

    share: float
    rungs: int
    metric: str

    def times(self, trainer: Trainer) -> list[int]:
        """Return the times of the rungs, at length * share^rungs, ..., length * share, or the next evaluation."""
        evaluations = trainer.evaluations()
        wanted = [trainer.length * self.share ** (self.rungs - rung) for rung in range(self.rungs)]
        return sorted({evaluations[bisect_left(evaluations, time)] for time in wanted} - {trainer.length})

    def going_on(self, values: Mapping[int, float]) -> set[int]:
        """Return the runs that go on, given the metric of each; of equal ones the first."""
        sign = 1 if lower_is_better(self.metric) else -1
        ranked = sorted(values, key=lambda place: (sign * values[place], place))
        return set(ranked[: ceil(self.share * len(ranked))])


def train_halving(
    runs: Sequence[Ready],
    stacks: Sequence[Places],
    pool: Pool,
    halving: Halving,
    known: Mapping[int, History],
) -> Results:
    """Train stacks from rung to rung, and yield every run when it has ended.

    Arguments
    ---------
    runs
        All runs of the sweep; they train for the same time.
    stacks
        Those that are to be trained.
    pool
        Who trains them.
    halving
        Which of them go on.
    known
        The histories of runs that have been trained before, which are ranked among the others.

    """
    begins: dict[int, Begin] = {number: beginning(runs, stack) for number, stack in enumerate(stacks)}
    seconds = dict.fromkeys(begins, 0.0)
    ended: set[int] = set()
    for time_ in halving.times(runs[0].experiment.trainer):
        numbers = list(begins)
        legs: dict[int, Leg] = {}
        for index, result in pool.begin([partial(train_until, begins[number], time_) for number in numbers]):
            if isinstance(result, Failure):
                del begins[numbers[index]]
                yield from ((place, result) for place in stacks[numbers[index]] if place not in ended)
            else:
                legs[numbers[index]] = result
        earlier = {place: _at(history, time_, halving.metric) for place, history in known.items()}
        values = {place: value for place, value in earlier.items() if value is not None}
        for number, leg in legs.items():
            latest = leg.training.latest(halving.metric)
            values |= {stacks[number][index]: value for index, value in latest.items()}
        staying = halving.going_on(values)
        for number, leg in legs.items():
            leaving = [index for index in leg.training.latest(halving.metric) if stacks[number][index] not in staying]
            leg.training.stop(leaving, f"{HALVING} at {runs[0].experiment.trainer.unit} {time_}")
            seconds[number] += leg.seconds
            for index, outcome in leg.training.outcomes().items():
                if stacks[number][index] not in ended:
                    ended.add(stacks[number][index])
                    yield stacks[number][index], TrainedRun(outcome, seconds[number] / len(stacks[number]))
            begins[number] = partial(unchanged, leg.training)
            if all(place in ended for place in stacks[number]):
                del begins[number]
        known = {place: history for place, history in known.items() if place in staying}
    numbers = list(begins)
    for index, rest in pool.begin([partial(train_to_the_end, begins[number]) for number in numbers]):
        stack = stacks[numbers[index]]
        last: Sequence[TrainedRun | Failure] = [rest] * len(stack) if isinstance(rest, Failure) else rest
        yield from ((place, run) for place, run in zip(stack, last, strict=True) if place not in ended)


def _at(history: History, time_: int, metric: str) -> float | None:
    """Return the metric of a run at a time, None if it ended before."""
    found = np.flatnonzero(history.times == time_)
    return float(history.metrics[metric][found[0]]) if len(found) else None


def beginning(runs: Sequence[Ready], stack: Places) -> Begin:
    """Return what makes the training of a stack, as it is sent to a worker."""
    first, recipes = runs[stack[0]], [runs[place].recipe for place in stack]
    experiment = first.experiment
    return partial(
        Training,
        recipes,
        first.data,
        experiment.trainer,
        experiment.dtype,
        watch_layers=experiment.figures is True,
    )
