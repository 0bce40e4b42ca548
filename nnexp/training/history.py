"""What a run leaves behind: its metrics over the epochs, and its parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnexp.component import Array

Row = Mapping[str, Array]
"""The metrics of one evaluation of a stack: for every name the value of each run, shape (runs,)."""


@dataclass(frozen=True)
class History:
    """The metrics of one run at every epoch that was evaluated.

    Attributes
    ----------
    epochs
        The evaluated epochs, counted from 1.
    metrics
        For every name, such as `test/loss`, the value at each of these epochs.

    """

    epochs: npt.NDArray[np.intp]
    metrics: dict[str, Array]

    def __len__(self) -> int:
        """Return the number of evaluations."""
        return len(self.epochs)

    def best(self) -> int:
        """Return the index of the evaluation with the lowest test loss, the first of several."""
        return int(np.argmin(self.metrics["test/loss"]))

    def at(self, index: int) -> dict[str, float]:
        """Return the metrics of one evaluation."""
        return {name: float(values[index]) for name, values in self.metrics.items()}


@dataclass(frozen=True)
class Outcome:
    """The result of training one run.

    Attributes
    ----------
    history
        Its metrics, up to the last evaluation at which all of them were finite.
    theta
        Its parameters when it ended, shape (parameters,).
    diverged_step
        The step, counted from 1, at which its loss was no longer finite; None if it trained to the end.

    """

    history: History
    theta: Array
    diverged_step: int | None


class Recorder:
    """Collects the evaluations of a stack whose runs may end at different times.

    Arguments
    ---------
    runs
        How many runs the stack began with.
    epochs
        The epochs at which it will be evaluated.
    names
        The metrics of an evaluation.

    """

    def __init__(self, runs: int, epochs: Sequence[int], names: Sequence[str]) -> None:
        self._epochs = np.array(epochs)
        self._evaluations = np.zeros(runs, np.intp)
        self._metrics = {name: np.empty((runs, len(epochs))) for name in names}
        self._ends: dict[int, tuple[Array, int | None]] = {}

    def record(self, runs: npt.NDArray[np.intp], row: Row) -> None:
        """Add the next evaluation of the runs that are still training."""
        for name, values in row.items():
            self._metrics[name][runs, self._evaluations[runs]] = values
        self._evaluations[runs] += 1

    def end(self, run: int, theta: Array, diverged_step: int | None) -> None:
        """Note how a run ended."""
        self._ends[run] = theta.copy(), diverged_step

    def outcomes(self) -> list[Outcome]:
        """Return the outcome of every run, in their order."""
        return [
            Outcome(
                History(self._epochs[:count], {name: values[run, :count] for name, values in self._metrics.items()}),
                *self._ends[run],
            )
            for run, count in enumerate(self._evaluations)
        ]
