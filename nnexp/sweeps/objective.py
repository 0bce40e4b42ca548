"""What a run of a sweep returns to whoever asked for it."""

from math import nan

from nnexp.analysis.results import POINTS, SweepRun
from nnexp.runs.result import Result
from nnexp.training.history import chosen_by


class Objective(float):
    """A run's lowest loss on the part for choosing, which a sweeper minimises, and with it the run.

    Attributes
    ----------
    run
        All else that a sweep keeps of it.

    """

    run: SweepRun

    @classmethod
    def of(cls, run: SweepRun) -> "Objective":
        """Return the objective of a run; not a number where nothing was evaluated."""
        best = {} if run.summary is None else run.summary.best
        objective = cls(best.get(chosen_by(best), nan))
        objective.run = run
        return objective


def swept(result: Result) -> SweepRun:
    """Return what a sweep keeps of a run that trained and recorded itself."""
    return SweepRun((), result.name, result.summary, result.history.thinned(POINTS), folder=result.folder)
