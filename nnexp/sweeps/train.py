"""Training the stacks of a sweep on workers: all to the end at once, or from rung to rung with fewer and fewer runs.

Successive halving ranks the runs at every rung by a reading; a share of them goes on, the others stop. Those that go on
continue where they were, so their numbers are those of a run alone.

References:
    Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil, inf
from typing import Self

from nnexp.core.processes import Failure
from nnexp.runs.prepare import Ready
from nnexp.storage.run_folder import HALVING
from nnexp.sweeps.batch import data_of, recipes_of
from nnexp.sweeps.stacks import Places
from nnexp.sweeps.workers import Pool
from nnexp.training.history import History, Outcome
from nnexp.training.loop import Training
from nnexp.training.readings import Reading
from nnexp.training.trainer import Trainer
from nnexp.training.worker import Begin, train_to_the_end, train_until

DECIMALS = 9
"""Products of shares are rounded to this many decimals: 200 * 0.1 * 0.1 is 2, not a little more."""
TrainedRuns = Iterator[tuple[int, tuple[Outcome, float] | Failure]]
"""The place of every run in the sweep, with its outcome and its seconds or why it failed, as stacks end."""


def train_stacks(runs: Sequence[Ready], stacks: Sequence[Places], pool: Pool) -> TrainedRuns:
    """Begin to train stacks on all workers at once, and yield every run when its stack is done.

    A stack that fails is trained again run by run, so that only the runs fail that cannot be trained.
    """
    answers = pool.begin([partial(train_to_the_end, beginning(runs, stack)) for stack in stacks])
    return _runs_of_stacks(runs, stacks, pool, answers)


def _runs_of_stacks(
    runs: Sequence[Ready],
    stacks: Sequence[Places],
    pool: Pool,
    answers: Iterable[tuple[int, list[tuple[Outcome, float]] | Failure]],
) -> TrainedRuns:
    again: list[Places] = []
    for number, answer in answers:
        stack = stacks[number]
        if not isinstance(answer, Failure):
            yield from zip(stack, answer, strict=True)
        elif len(stack) == 1:
            yield stack[0], answer
        else:
            again += [[place] for place in stack]
    if again:
        yield from train_stacks(runs, again, pool)


@dataclass(frozen=True)
class Halving:
    """Successive halving: which runs go on, and when that is decided.

    Attributes:
        share: The share of the runs that goes on at a rung.
        rungs: How many rungs there are.
        metric: The path of the reading that ranks the runs, as of what they have trained so far.
    """

    share: float
    rungs: int
    metric: str

    @property
    def reading(self) -> Reading:
        """Return the reading that ranks the runs."""
        return Reading.of(self.metric)

    def times(self, trainer: Trainer) -> list[int]:
        """Return the times of the rungs, at length * share^rungs, ..., length * share, or the next evaluation."""
        evaluations = trainer.evaluations()
        wanted = [round(trainer.length * self.share ** (self.rungs - rung), DECIMALS) for rung in range(self.rungs)]
        return sorted({evaluations[bisect_left(evaluations, time)] for time in wanted} - {trainer.length})

    def going_on(self, values: Mapping[int, float | None]) -> set[int]:
        """Return the places of the runs that go on, given the reading of each, last where None; of equals the first."""
        sign = 1 if self.reading.lower_is_better else -1
        scores = {place: inf if value is None else sign * value for place, value in values.items()}
        ranked = sorted(scores, key=lambda place: (scores[place], place))
        return set(ranked[: ceil(round(self.share * len(ranked), DECIMALS))])


def train_halving(
    runs: Sequence[Ready],
    stacks: Sequence[Places],
    pool: Pool,
    halving: Halving,
    known: Mapping[int, History],
) -> TrainedRuns:
    """Train stacks from rung to rung, and yield every run when it has ended.

    All runs of the sweep train for the same time. `known` are the histories of those that were trained before, by
    place; they are ranked among the others.
    """
    trainer = runs[0].experiment.trainer
    going = [_PausedStack(tuple(stack), beginning(runs, stack)) for stack in stacks]
    for moment in [*halving.times(trainer), None]:
        going, failed = _advance(runs, going, pool, moment)
        yield from failed.items()
        if moment is not None:
            known = _halve(going, known, halving, moment=moment, reason=f"{HALVING} at {trainer.unit} {moment}")
        for stack in going:
            yield from stack.ended()
        going = [stack for stack in going if stack.left]


@dataclass
class _PausedStack:
    """A stack before the first rung or at a later one.

    Attributes:
        places: The places of its runs in the sweep.
        begin: Makes the training.
        training: The paused training; None before the first rung.
        seconds: How long it has trained.
        reported: The places of the runs that have ended and been yielded.
    """

    places: tuple[int, ...]
    begin: Begin
    training: Training | None = None
    seconds: float = 0.0
    reported: set[int] = field(default_factory=set)

    @property
    def left(self) -> list[int]:
        """Return the places of the runs that have not ended."""
        return [place for place in self.places if place not in self.reported]

    def reached(self, training: Training, seconds: float) -> Self:
        """Return the stack at the next rung, to which it took some seconds."""
        return replace(self, training=training, seconds=self.seconds + seconds)

    def readings(self, reading: Reading) -> dict[int, float | None]:
        """Return a reading of every run that has not ended, by its place."""
        training = self.training
        if training is None:
            return {}
        return {
            self.places[index]: reading.read(training.history(index), training.time) for index in training.active_runs
        }

    def stop(self, places: Collection[int], reason: str) -> None:
        """End some of the runs before their time."""
        if self.training is not None:
            self.training.stop([index for index, place in enumerate(self.places) if place in places], reason)

    def ended(self) -> Iterator[tuple[int, tuple[Outcome, float]]]:
        """Yield the runs that have ended since the last call."""
        for index, outcome in ({} if self.training is None else self.training.outcomes()).items():
            if self.places[index] not in self.reported:
                self.reported.add(self.places[index])
                yield self.places[index], (outcome, self.seconds / len(self.places))


def _advance(
    runs: Sequence[Ready], going: Sequence[_PausedStack], pool: Pool, moment: int | None
) -> tuple[list[_PausedStack], dict[int, Failure]]:
    """Return stacks at the next rung, and the runs that cannot get there; a stack that fails goes on run by run."""
    there: list[_PausedStack] = []
    failed: dict[int, Failure] = {}
    while going:
        again: list[_PausedStack] = []
        calls = [partial(train_until, stack.training or stack.begin, moment) for stack in going]
        for number, trained in pool.begin(calls):
            stack = going[number]
            if not isinstance(trained, Failure):
                there.append(stack.reached(*trained))
            elif len(stack.places) > 1:
                again += [_PausedStack((place,), beginning(runs, [place])) for place in stack.left]
            else:
                failed |= dict.fromkeys(stack.left, trained)
        going = again
    return there, failed


def _halve(
    going: Sequence[_PausedStack], known: Mapping[int, History], halving: Halving, moment: int, reason: str
) -> dict[int, History]:
    """End the worse of all runs at a rung; of those that were trained before, return the ones that would go on."""
    there = {place: history for place, history in known.items() if moment in history.times}
    values = {place: halving.reading.read(history.until(moment), moment) for place, history in there.items()}
    training = [stack.readings(halving.reading) for stack in going]
    for readings in training:
        values |= readings
    staying = halving.going_on(values)
    for stack, readings in zip(going, training, strict=True):
        stack.stop(readings.keys() - staying, reason)
    return {place: history for place, history in known.items() if place in staying}


def beginning(runs: Sequence[Ready], stack: Places) -> Begin:
    """Return a function that makes the training of a stack; it is sent to a worker."""
    experiment = runs[stack[0]].experiment
    return partial(
        Training,
        recipes_of(runs, stack),
        data_of(runs, stack),
        experiment.trainer,
        experiment.dtype,
        watch_layers=experiment.draws(alone=False),
    )
