"""Early stopping: finds the runs of a stack that no longer improve."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from nnexp.core.errors import UserError
from nnexp.core.state import Saved, Tree
from nnexp.training.history import History, Parameters, Row, chosen_by
from nnexp.training.metrics import lower_is_better, no_such_metric
from nnexp.training.trainer import EarlyStopping


def watched_metric(settings: EarlyStopping, names: Sequence[str]) -> str:
    """Return the metric to watch.

    Raises UserError if it is not one of the metrics that are evaluated.
    """
    metric = settings.metric or chosen_by(names)
    if metric not in names:
        raise UserError(no_such_metric("trainer.early_stopping.metric", metric, names))
    return metric


class Patience:
    """Watches one metric of every run of a stack.

    Args:
        settings: What to watch and how long to wait.
        runs: The number of runs.
        names: The metrics that are evaluated.
    """

    def __init__(self, settings: EarlyStopping, runs: int, names: Sequence[str]) -> None:
        self._settings, self._metric = settings, watched_metric(settings, names)
        self._sign = 1 if lower_is_better(self._metric) else -1
        self._best = np.full(runs, np.inf)
        self._waited = np.zeros(runs, np.intp)
        self._parameters: list[Parameters | None] = [None] * runs

    def over(
        self, runs: npt.NDArray[np.intp], row: Row, learned: Sequence[Callable[[], Parameters]]
    ) -> npt.NDArray[np.bool_]:
        """Record an evaluation of some runs; return for each whether it has waited too long for an improvement."""
        values = self._sign * row[self._metric]
        better = values < self._best[runs] - self._settings.min_delta
        self._best[runs] = np.where(better, values, self._best[runs])
        self._waited[runs] = np.where(better, 0, self._waited[runs] + 1)
        if self._settings.restore:
            for index in np.flatnonzero(better).tolist():
                self._parameters[runs[index]] = learned[index]()
        over: npt.NDArray[np.bool_] = self._waited[runs] >= self._settings.patience
        return over

    def state(self) -> Tree:
        """Return the state for a checkpoint."""
        kept = [{"run": run, **one.state()} for run, one in enumerate(self._parameters) if one is not None]
        return {"best": self._best, "waited": self._waited, "parameters": kept}

    def restore(self, saved: Saved, like: Parameters) -> None:
        """Restore a saved state; `like` has the shapes of the parameters."""
        saved.fill("best", self._best)
        saved.fill("waited", self._waited)
        for one in saved.parts("parameters"):
            self._parameters[one.whole("run", len(self._parameters))] = like.restored(one)

    def best(self, run: int) -> Parameters | None:
        """Return the parameters of a run's best evaluation, if they are to be restored."""
        return self._parameters[run]

    def final(self, run: int, history: History) -> int:
        """Return the index of the evaluation of these parameters, the last if none are to be restored."""
        if self._parameters[run] is None:
            return -1
        values = self._sign * history.metrics[self._metric][history.first :]
        return history.first + int(np.argmax(values == self._best[run]))
