"""The outcome of a run: its metrics over time, and its parameters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Literal

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.core.state import Saved, Tree

Unit = Literal["epoch", "iteration"]
"""The unit of time of a training."""
Row = Mapping[str, Array]
"""The metrics of one evaluation of a stack: for every name the value of each run, shape (runs,)."""


@dataclass(frozen=True)
class History:
    """The metrics of one run at every evaluation.

    Attributes:
        times: When it was evaluated: epochs, or iterations, done by then; 0 is before the first step.
        metrics: For every name, such as `test/loss`, the value at each of these times; NaN where it is not known.
        unit: What `times` count: `epoch` or `iteration`.
    """

    times: npt.NDArray[np.intp]
    metrics: dict[str, Array]
    unit: Unit = "epoch"

    def __len__(self) -> int:
        """Return the number of evaluations."""
        return len(self.times)

    def parts(self) -> list[str]:
        """Return the parts of the data that were evaluated, `train` first."""
        return list(dict.fromkeys(name.partition("/")[0] for name in self.metrics))

    @property
    def first(self) -> int:
        """Return the index of the first evaluation after the start, 1 where it was evaluated at time 0, too."""
        return int(len(self) > 0 and self.times[0] == 0)

    @property
    def trained(self) -> "History":
        """Return the evaluations after the start, that at time 0 left out."""
        return self._at(range(self.first, len(self)))

    def best(self) -> int:
        """Return the index of the first evaluation with the lowest selection loss (validation, else test).

        The start counts only where there is nothing else.
        """
        first = min(self.first, len(self) - 1)
        return first + int(np.argmin(self.metrics[chosen_by(self.metrics)][first:]))

    def until(self, time: int) -> "History":
        """Return the evaluations up to a time."""
        return self._at(np.flatnonzero(self.times <= time).tolist())

    def _at(self, places: Sequence[int]) -> "History":
        chosen = np.array(places, np.intp)
        return History(self.times[chosen], {name: values[chosen] for name, values in self.metrics.items()}, self.unit)

    def place(self, time: int | None) -> int:
        """Return the index of the evaluation at a time, -1 for the last where there is none."""
        return next(iter(np.flatnonzero(self.times == time).tolist()), -1)

    def thinned(self, most: int) -> "History":
        """Return `most` evaluations or fewer, evenly spread, and the best one."""
        places = evenly(len(self), most)
        return self._at(sorted({*places, self.best()}) if places else [])

    def evaluations(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Yield the time and the metrics of every evaluation."""
        yield from ((time, self.at(place)) for place, time in enumerate(self.times.tolist()))

    def at(self, index: int) -> dict[str, float]:
        """Return the metrics of one evaluation, without those that are not known of it."""
        found = {name: float(values[index]) for name, values in self.metrics.items()}
        return {name: value for name, value in found.items() if not isnan(value)}

    def known(self, name: str) -> "History":
        """Return the evaluations at which a metric is known; a diagnostic may look at a few of them only."""
        there = ~np.isnan(self.metrics[name])
        return self if there.all() else self._at(np.flatnonzero(there).tolist())


NOTHING = History(np.empty(0, np.intp), {})
"""The history of a run that was never evaluated."""


def evenly(count: int, most: int) -> list[int]:
    """Return `most` indices or fewer below `count`, evenly spread, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(most, count)).tolist()})


def chosen_by(names: Mapping[str, object] | Sequence[str]) -> str:
    """Return the selection loss, by which the best evaluation is chosen: of validation, or of test without one."""
    return "validation/loss" if "validation/loss" in names else "test/loss"


@dataclass(frozen=True)
class Parameters:
    """All that a run has learned: parameters and running statistics, as flat as in the stack."""

    theta: Array
    statistics: Array

    def state(self) -> dict[str, Tree]:
        """Return the state for a checkpoint."""
        return {"theta": self.theta, "statistics": self.statistics}

    def restored(self, saved: Saved) -> "Parameters":
        """Return saved parameters of the same shapes."""
        return Parameters(saved.like("theta", self.theta), saved.like("statistics", self.statistics))


@dataclass(frozen=True)
class LayerHistory:
    """Sizes within one run over time, each a root mean square over a layer, shape (times, layers).

    Attributes:
        times: Epochs, or iterations, done by then.
        layers: The layers with weights, such as `64 → 16`.
        activations: Of the outputs of every activation, on training examples.
        dead: The share of units that are zero for all of these examples, of every layer of rectified units.
        gradients: Of the gradient of every layer's weight, on the same examples.
        weights: Of the weight itself.
        updates: Of its change in one round, an epoch or what lies between two evaluations.
    """

    times: npt.NDArray[np.intp]
    layers: tuple[str, ...]
    activations: Array
    dead: Array
    gradients: Array
    weights: Array
    updates: Array


@dataclass(frozen=True)
class Outcome:
    """The result of training one run.

    Attributes:
        history: Its metrics, up to the last evaluation at which all of them were finite.
        learned: Its parameters when it ended.
        diverged_step: The step, counted from 1, at which its loss was no longer finite; None if it did not diverge.
        stopped: Why it ended before its time, as `early stopping`, `time limit` or `test/loss below 0.2`; else None.
        snapshots: Its parameters at the times of `trainer.snapshots`.
        layers: The sizes within its layers, if they were watched.
        final: The index of the evaluation of its parameters: the last, or the one that early stopping restored.
    """

    history: History
    learned: Parameters
    diverged_step: int | None = None
    stopped: str | None = None
    snapshots: dict[int, Parameters] = field(default_factory=dict)
    layers: LayerHistory | None = None
    final: int = -1

    @property
    def theta(self) -> Array:
        """Return the parameters, shape (parameters,)."""
        return self.learned.theta


class HistoryBuilder:
    """Collects the evaluations of a stack whose runs may end at different times.

    Args:
        runs: How many runs the stack began with.
        times: The times of the evaluations.
        names: The metrics of an evaluation.
        unit: The unit of these times.
    """

    def __init__(self, runs: int, times: Sequence[int], names: Sequence[str], unit: Unit) -> None:
        self._times, self._unit = np.array(times), unit
        self._names, self._evaluations = list(names), 0
        self._metrics = np.empty((len(names), len(times), runs))
        self._start: Array | None = None
        self._snapshots: list[dict[int, Parameters]] = [{} for _ in range(runs)]
        self._lengths: dict[int, int] = {}
        self._ends: dict[int, tuple[Parameters, int | None, str | None]] = {}

    @property
    def begun(self) -> bool:
        """Tell whether the start was recorded."""
        return self._start is not None

    def begin(self, row: Row, runs: npt.NDArray[np.intp]) -> None:
        """Add the evaluation at time 0 of some of the runs."""
        self._start = np.full((len(self._names), self._metrics.shape[-1]), np.nan)
        self._start[:, runs] = [row[name][runs] for name in self._names]

    def record(self, runs: npt.NDArray[np.intp], row: Row) -> None:
        """Add the next evaluation of the runs that are still training."""
        where = runs if len(runs) < self._metrics.shape[-1] else slice(None)  # which takes a third of the time
        self._metrics[:, self._evaluations, where] = [row[name] for name in self._names]
        self._evaluations += 1

    def snapshot(self, run: int, time: int, learned: Parameters) -> None:
        """Add a snapshot: the parameters of a run at a time."""
        self._snapshots[run][time] = learned

    def end(
        self, run: int, learned: Parameters, *, diverged_step: int | None = None, stopped: str | None = None
    ) -> None:
        """Note how a run ended."""
        self._ends[run] = learned, diverged_step, stopped
        self._lengths[run] = self._evaluations

    def reopen(self, runs: Sequence[int]) -> None:
        """Forget the ends of some runs, which go on."""
        for run in runs:
            del self._ends[run], self._lengths[run]

    def history(self, run: int) -> History:
        """Return the evaluations of a run, all of them or those so far."""
        length = self._lengths.get(run, self._evaluations)
        times, values = self._times[:length], self._metrics[:, :length, run].copy()
        if self._start is not None and np.isfinite(self._start[0, run]):
            times, values = np.append(0, times), np.column_stack([self._start[:, run], values])
        return History(times, dict(zip(self._names, np.ascontiguousarray(values), strict=True)), self._unit)

    def state(self) -> Tree:
        """Return the state for a checkpoint."""
        return {
            "evaluations": self._evaluations,
            "start": self._start,
            "metrics": self._metrics[:, : self._evaluations],
            "snapshots": [
                {"run": run, "time": time, **learned.state()}
                for run, snapshots in enumerate(self._snapshots)
                for time, learned in snapshots.items()
            ],
            "ends": [
                {"run": run, "length": self._lengths[run], "diverged_step": step, "stopped": why, **learned.state()}
                for run, (learned, step, why) in self._ends.items()
            ],
        }

    def restore(self, saved: Saved, like: Parameters) -> None:
        """Restore a saved state; `like` has the shapes of the parameters."""
        _, times, runs = self._metrics.shape
        self._evaluations = saved.whole("evaluations", times + 1)
        saved.fill("metrics", self._metrics[:, : self._evaluations])
        self._start = saved.like("start", self._metrics[:, 0]) if saved.has("start") else None
        for one in saved.parts("snapshots"):
            self.snapshot(one.whole("run", runs), one.whole("time"), like.restored(one))
        for one in saved.parts("ends"):
            run = one.whole("run", runs)
            diverged_step = one.whole("diverged_step") if one.has("diverged_step") else None
            stopped = one.text("stopped") if one.has("stopped") else None
            self._ends[run] = like.restored(one), diverged_step, stopped
            self._lengths[run] = one.whole("length", self._evaluations + 1)

    def outcomes(self) -> dict[int, Outcome]:
        """Return the outcome of every run that has ended, in their order."""
        return {run: Outcome(self.history(run), *self._ends[run], self._snapshots[run]) for run in sorted(self._ends)}
