"""The next jobs of a sweep: all of them at once, or those that the scores of the earlier ones suggest."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from math import isfinite, prod
from statistics import fmean
from typing import TYPE_CHECKING

from nnexp.config.overrides import Job
from nnexp.config.sweep_functions import MAX_VALUES
from nnexp.core.errors import UserError
from nnexp.runs.limits import amount
from nnexp.sweeps.options import SweepOptions
from nnexp.sweeps.sampling import Interval, Point

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

Scores = Mapping[tuple[str, ...], float | None]
"""The scores of jobs, lower is better; None if a job failed or diverged."""
BYTES_OF_A_ROW, BYTES_ON_DISK = 1000, 150
"""About how much memory a run of a table takes before and while it is trained, and how much its row on the disk."""
STARTUP = 8
"""How many points are drawn at random before Optuna's model is asked."""


@dataclass(frozen=True)
class Block:
    """Lists of overrides, of which every combination is wanted, and intervals to draw from.

    Attributes:
        before, after: The lists before and after the first interval.
        intervals: They are drawn from together.
    """

    before: Sequence[Sequence[Point]]
    intervals: Sequence[Interval]
    after: Sequence[Sequence[Point]]

    def check(self, options: SweepOptions) -> None:
        """Raise UserError if its runs are too many to have a folder each, or their table does not fit into memory."""
        total = prod([*map(len, (*self.before, *self.after)), options.draws if self.intervals else 1])
        check_number(total, in_table=options.in_table(total))

    def jobs(self, points: Sequence[Point]) -> list[Job]:
        """Return every combination of points and rows."""
        rows = product(*self.before, points, *self.after)
        return [[override for part in row for override in part] for row in rows]


def check_number(total: int, *, in_table: bool) -> None:
    """Raise UserError if there are too many runs to have a folder each, or to be rows of a table."""
    import psutil

    if not in_table and total > MAX_VALUES:
        raise UserError(
            f"-m: must make at most {MAX_VALUES:,} runs, not {total:,}; with sweep.record=table it may be more"
        )
    needed, free = total * BYTES_OF_A_ROW, psutil.virtual_memory().available
    if in_table and needed > free:
        raise UserError(
            f"-m: must need at most the {amount(free)} of memory that are free, not {amount(needed)} "
            f"for the table of {total:,} runs; on the disk it would take {amount(total * BYTES_ON_DISK)}"
        )


class Search:
    """Where the jobs of a sweep come from: a batch at a time, of which the first has all jobs that need no scores.

    Optuna proposes points, each of which is combined with all that is listed. The score of a point is the mean over
    its jobs; one whose jobs have no score counts as failed. The same scores lead to the same proposals.

    Raises UserError if Optuna is needed and not installed.

    Args:
        jobs: All jobs that are known from the start.
        blocks: What Optuna searches, each in a study of its own, with its options.
        drawn: The keys whose values are drawn from intervals.
    """

    def __init__(
        self, jobs: Sequence[Job], blocks: Sequence[tuple[Block, SweepOptions]] = (), drawn: Sequence[str] = ()
    ) -> None:
        if blocks and find_spec("optuna") is None:
            raise UserError("sweep.sampler=optuna: must have Optuna, pip install 'nnexp[search]'")
        self.drawn = tuple(drawn)
        self._listed = distinct(jobs)
        self._searches = [_BlockSearch(block, options) for block, options in blocks]
        self._asked: set[tuple[str, ...]] = set()
        self._given = 0
        self._scores: dict[tuple[str, ...], float | None] = {}

    @property
    def total(self) -> int:
        """Return how many jobs there will be; fewer where Optuna proposes a point again."""
        return self._given + len(self._asked) + len(self._listed) + sum(search.jobs_left for search in self._searches)

    def ask(self) -> list[Job]:
        """Return the jobs of the next batch; none when done."""
        jobs, self._listed = self._listed, []
        if not self._searches:
            self._given += len(jobs)
            return jobs
        while True:
            for search in self._searches:
                search.learn(self._scores)
                jobs = [*jobs, *search.batch()]
            fresh = [job for job in distinct(jobs) if _in_order(job) not in self._asked]
            if fresh or not any(search.jobs_left for search in self._searches):
                self._asked.update(_in_order(job) for job in fresh)
                return fresh

    def tell(self, scores: Scores) -> None:
        """Learn the scores of jobs."""
        self._scores.update({_in_order(job): score for job, score in scores.items()})


class _BlockSearch:
    """Optuna's search of one block."""

    def __init__(self, block: Block, options: SweepOptions) -> None:
        self._block, self._batch, self._left = block, options.batch, options.draws
        self._study = _study(options.draw_seed)
        self._distributions = {interval.key: _distribution(interval) for interval in block.intervals}
        self._pending: list[tuple[Trial, list[Job]]] = []

    @property
    def jobs_left(self) -> int:
        """Return how many jobs the points make that are still to be drawn."""
        return self._left * len(self._block.jobs([()]))

    def batch(self) -> list[Job]:
        """Return the jobs of the points that Optuna proposes next."""
        count = min(self._batch, self._left)
        self._left -= count
        for _ in range(count):
            trial = self._study.ask(self._distributions)
            point = tuple(interval.override(trial.params[interval.key]) for interval in self._block.intervals)
            self._pending.append((trial, self._block.jobs([point])))
        return [job for _, jobs in self._pending for job in jobs]

    def learn(self, scores: Scores) -> None:
        """Tell Optuna the scores of the last batch."""
        from optuna.trial import TrialState

        for trial, jobs in self._pending:
            known = [score for job in jobs if (score := scores.get(_in_order(job))) is not None and isfinite(score)]
            if known:
                self._study.tell(trial, fmean(known))
            else:
                self._study.tell(trial, state=TrialState.FAIL)
        self._pending = []


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs without those that differ from an earlier one in the order of overrides at most."""
    first: dict[tuple[str, ...], Job] = {}
    for job in jobs:
        first.setdefault(_in_order(job), job)
    return list(first.values())


def _in_order(job: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides of a job in alphabetic order, which makes no difference to it."""
    return tuple(sorted(job))


def _study(seed: int) -> "Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=True)
    return optuna.create_study(sampler=sampler)


def _distribution(interval: Interval) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    if interval.whole:
        return IntDistribution(int(interval.low), int(interval.high), log=interval.logarithmic)
    return FloatDistribution(interval.low, interval.high, log=interval.logarithmic)
