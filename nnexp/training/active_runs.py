"""The runs of a stack that are still training, and the outcomes of those that have ended."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.core.errors import DamagedError
from nnexp.core.state import Saved, Tree
from nnexp.training.early_stopping import Patience
from nnexp.training.evaluator import diverged_step
from nnexp.training.history import History, HistoryBuilder, Outcome, Parameters, Row
from nnexp.training.stack import Stack
from nnexp.training.trainer import Round, Trainer

Indices = npt.NDArray[np.intp]

Observer = Callable[[int, Sequence[int], Row], None]
"""Called after every evaluation with the time, the runs that are still training, and their metrics."""


def all_finite(row: Row) -> npt.NDArray[np.bool_]:
    """Tell for each run whether all of its metrics are finite."""
    finite: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite([*row.values()]))
    return finite


def unobserved(_time: int, _runs: Sequence[int], _row: Row) -> None:
    """Do nothing with an evaluation."""


class ActiveRuns:
    """The runs of a stack by their numbers, from the first round to the outcome of each.

    Args:
        runs: How many runs begin.
        trainer: Says when they end.
        names: The metrics of an evaluation.
        observe: Called after every evaluation.
    """

    def __init__(self, runs: int, trainer: Trainer, names: Sequence[str], observe: Observer) -> None:
        self._runs = np.arange(runs)
        self._histories = HistoryBuilder(runs, trainer.evaluations(), names, trainer.unit)
        self._patience = Patience(trainer.early_stopping, runs, names) if trainer.early_stopping else None
        self._began, self._most, self._stop = time.monotonic(), trainer.max_seconds, trainer.stop
        self._observe, self._from_start = observe, 0 in trainer.moments

    @property
    def begun(self) -> bool:
        """Tell whether the runs were evaluated before their first step."""
        return self._histories.begun

    def begin(self, stack: Stack, row: Row, seen: Row) -> None:
        """Record how the runs are before their first step; one whose metrics are not finite has no such record."""
        finite = np.flatnonzero(all_finite(row))
        row = {**row, **seen}
        self._histories.begin(row, finite)
        if len(finite):
            self._observe(0, finite.tolist(), {name: values[finite] for name, values in row.items()})
        for run in self._runs.tolist() if self._from_start else ():
            self._histories.snapshot(run, 0, stack.learned(run))

    def after_round(self, this: Round, stack: Stack, *, losses: Array, row: Row, seen: Row) -> Indices:
        """Record a round, end the runs that are done, and return which runs of the stack stay, as indices into it.

        Args:
            this: The round.
            stack: The stack after it.
            losses: The loss of every training example in it, shape (runs, examples).
            row: The metrics after it.
            seen: What the diagnostics found; a run does not diverge by it.
        """
        staying = np.arange(len(self._runs))
        finite = all_finite(row)
        row = {**row, **seen}
        if not finite.all():
            for index in staying[~finite].tolist():
                self._end(
                    stack, index, diverged_step=diverged_step(losses[index], stack.steps - this.steps, this.steps)
                )
            staying = staying[finite]
            row = {name: values[staying] for name, values in row.items()}
        if this.evaluated and len(staying):
            self._histories.record(self._runs[staying], row)
            self._observe(this.time, self._runs[staying].tolist(), row)
        if this.snapshot:
            for index in staying.tolist():
                self._histories.snapshot(self._runs.item(index), this.time, stack.learned(index))
        if this.evaluated and self._patience is not None:
            learned = [partial(stack.learned, index) for index in staying.tolist()]
            over = self._patience.over(self._runs[staying], row, learned)
            staying = self._leave(stack, staying, over, "early stopping")
            row = {name: values[~over] for name, values in row.items()}
        if this.evaluated and self._stop is not None:
            staying = self._leave(stack, staying, self._stop.reached(row), self._stop.reason)
        if self._most is not None and self.seconds > self._most:
            staying = self._leave(stack, staying, np.full(len(staying), fill_value=True), "time limit")
        self._runs = self._runs[staying]
        return staying

    def __len__(self) -> int:
        """Return the number of runs that are still training."""
        return len(self._runs)

    @property
    def seconds(self) -> float:
        """Return how long the training has taken so far."""
        return time.monotonic() - self._began

    def history(self, run: int) -> History:
        """Return the evaluations of a run, all of them or those so far."""
        return self._histories.history(run)

    def state(self) -> Tree:
        """Return the state for a checkpoint."""
        return {
            "runs": self._runs,
            "seconds": self.seconds,
            "history": self._histories.state(),
            "patience": None if self._patience is None else self._patience.state(),
        }

    def restore(self, saved: Saved, like: Parameters, *, longer: bool) -> Indices:
        """Restore a saved state, and return the runs in its stack: those that still train or trained to the end.

        Args:
            saved: The state.
            like: Has the shapes of the parameters.
            longer: Whether those that trained to the end go on.
        """
        self._began = time.monotonic() - saved.number("seconds")
        self._histories.restore(saved.part("history"), like)
        if self._patience is not None:
            self._patience.restore(saved.part("patience"), like)
        ended, everyone = self.outcomes(), self._runs.tolist()
        self._runs = saved.indices("runs", len(everyone))
        if sorted([*self._runs.tolist(), *ended]) != everyone:
            raise DamagedError("it has runs that neither train nor have ended, or both")
        completed = [run for run, one in ended.items() if one.diverged_step is None and one.stopped is None]
        in_stack = np.array(sorted([*self._runs.tolist(), *completed]), np.intp)
        if longer:
            self._histories.reopen(completed)
            self._runs = in_stack
        return in_stack

    @property
    def numbers(self) -> list[int]:
        """Return the runs that are still training."""
        numbers: list[int] = self._runs.tolist()
        return numbers

    def stop(self, stack: Stack, runs: Sequence[int], reason: str) -> Indices:
        """End some of the runs that are still training, and return which of the stack stay, as indices into it."""
        leaving = np.isin(self._runs, runs)
        staying = self._leave(stack, np.arange(len(self._runs)), leaving, reason)
        self._runs = self._runs[staying]
        return staying

    def end_all(self, stack: Stack) -> None:
        """End the runs that trained to the end."""
        for index in range(len(self._runs)):
            self._end(stack, index)
        self._runs = self._runs[:0]

    def outcomes(self) -> dict[int, Outcome]:
        """Return the outcome of every run that has ended, in their order."""
        outcomes, patience = self._histories.outcomes(), self._patience
        if patience is None:
            return outcomes
        return {
            run: one if one.diverged_step is not None else replace(one, final=patience.final(run, one.history))
            for run, one in outcomes.items()
        }

    def _leave(self, stack: Stack, indices: Indices, leaving: npt.NDArray[np.bool_], reason: str) -> Indices:
        for index in indices[leaving].tolist():
            self._end(stack, index, stopped=reason)
        return indices[~leaving]

    def _end(self, stack: Stack, index: int, diverged_step: int | None = None, stopped: str | None = None) -> None:
        run, learned = self._runs.item(index), stack.learned(index)
        if self._patience is not None and diverged_step is None:
            learned = self._patience.best(run) or learned
        for array in (learned.theta, learned.statistics) if diverged_step is not None else ():
            array[np.isnan(array)] = np.nan  # of several kinds, it depends on the processor which is left
        self._histories.end(run, learned, diverged_step=diverged_step, stopped=stopped)
