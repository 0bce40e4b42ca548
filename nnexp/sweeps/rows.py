"""Runs as rows of a table: their readings, and how they ended, computed by the worker that has trained them.

A worker imports this module, so it imports nothing of Hydra or MLflow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from nnexp.core.component import Array
from nnexp.training.active_runs import Indices
from nnexp.training.history import History, Outcome, chosen_by
from nnexp.training.metrics import lower_is_better
from nnexp.training.readings import FINAL, START, Reading
from nnexp.training.story import TRAINING_LOSS
from nnexp.training.worker import Begin, train_until

NEVER = -1
"""Stands for a time that a run does not have."""
SIMPLE = (FINAL, START, "best", "min", "max", "end")
"""The readings that are one of the values of a curve."""


@dataclass(frozen=True)
class Rows:
    """What became of some runs, a row each.

    Attributes:
        readings: By their paths; NaN where a run has none.
        best_time, final_time, diverged_step: As in a run's summary, `NEVER` for none.
        stopped, errors: Why a run ended early, or failed.
        seconds: How long it trained, its share of a stack.
        curves: Its history, thinned; nothing where curves were not asked for.
    """

    readings: Mapping[str, Array]
    best_time: Sequence[int]
    final_time: Sequence[int]
    diverged_step: Sequence[int]
    stopped: Sequence[str | None]
    errors: Sequence[str | None]
    seconds: Array
    curves: Sequence[History]

    def __len__(self) -> int:
        """Return how many runs there are."""
        return len(self.seconds)


@dataclass(frozen=True)
class Wanted:
    """What a table has of every run.

    Attributes:
        paths: The readings.
        length: How long runs train.
        points: How many points of every curve, if any.
    """

    paths: tuple[str, ...]
    length: int
    points: int | None = None


def usual_paths(metrics: Sequence[str], asked: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the readings of a table: those of `runs.csv`, what tells divergence, and what is asked for."""
    paths = [f"{kind}/{name}" for kind in (FINAL, "best") for name in metrics]
    paths += [f"{'min' if lower_is_better(name) else 'max'}/{name}" for name in metrics]
    return (*dict.fromkeys([*paths, f"{START}/{TRAINING_LOSS}", *(Reading.of(path).path for path in asked)]),)


def train_rows(begin: Begin, wanted: Wanted) -> Rows:
    """Train a stack to the end, and return its runs as rows."""
    training, seconds = train_until(begin, None)
    outcomes = [*training.outcomes().values()]
    return rows_of(outcomes, wanted, seconds)


def rows_of(outcomes: Sequence[Outcome], wanted: Wanted, seconds: float) -> Rows:
    """Return runs as rows; those that are as long are read together."""
    count = len(outcomes)
    readings = {path: np.full(count, nan) for path in wanted.paths}
    best, final = np.full(count, NEVER), np.full(count, NEVER)
    for (length, first, last, diverged), places in _alike(outcomes).items():
        histories = [outcomes[place].history for place in places]
        times = histories[0].times
        values = {name: np.array([one.metrics[name] for one in histories]) for name in histories[0].metrics}
        at = np.zeros(len(places), np.intp)
        if length > first:
            at = first + np.argmin(values[chosen_by(values)][:, first:], axis=1)
            best[places] = times[at]
            if not diverged:
                final[places] = times[last]
        for path in wanted.paths:
            one = Reading.of(path)
            if one.metric not in values:
                continue
            if one.kind in SIMPLE:
                alive = length > first and not diverged
                found = _values(one.kind, values[one.metric], first=first, last=last, best=at, alive=alive)
            else:
                read = (one.read(history, wanted.length, final=last, diverged=diverged) for history in histories)
                found = np.array([nan if value is None else value for value in read])
            readings[path][places] = found
    return Rows(
        readings=readings,
        best_time=best.tolist(),
        final_time=final.tolist(),
        diverged_step=[NEVER if one.diverged_step is None else one.diverged_step for one in outcomes],
        stopped=[one.stopped for one in outcomes],
        errors=[None] * count,
        seconds=np.full(count, seconds / count),
        curves=[] if wanted.points is None else [one.history.thinned(wanted.points) for one in outcomes],
    )


def _alike(outcomes: Sequence[Outcome]) -> dict[tuple[int, int, int, bool], list[int]]:
    """Return the places of the runs that ended alike."""
    alike: dict[tuple[int, int, int, bool], list[int]] = {}
    for index, one in enumerate(outcomes):
        diverged = one.diverged_step is not None
        alike.setdefault((len(one.history), one.history.first, one.final, diverged), []).append(index)
    return alike


def _values(kind: str, curve: Array, *, first: int, last: int, best: Indices, alive: bool) -> Array:
    """Return a reading that is one of the values of a curve, of shape (runs, times), for every run."""
    if kind == START and first:
        return curve[:, 0]
    if kind == START or not alive:
        return np.full(len(curve), nan)
    if kind in ("min", "max"):
        return np.asarray((np.min if kind == "min" else np.max)(curve[:, first:], axis=1))
    place = best if kind == "best" else np.full(len(curve), last if kind == FINAL else -1)
    return np.asarray(curve[np.arange(len(curve)), place])


def failed_row(wanted: Wanted, reason: str) -> Rows:
    """Return the row of a run that failed."""
    return Rows(
        readings={path: np.full(1, nan) for path in wanted.paths},
        best_time=[NEVER],
        final_time=[NEVER],
        diverged_step=[NEVER],
        stopped=[None],
        errors=[reason],
        seconds=np.full(1, nan),
        curves=[] if wanted.points is None else [History(np.empty(0, np.intp), {})],
    )
