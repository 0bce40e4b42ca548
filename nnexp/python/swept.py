"""A sweep, as Python gets it: a table, the best run, curves, figures and an answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nnexp.analysis.chosen_figures import sweep_figures
from nnexp.analysis.findings import all_by_rank, best_run
from nnexp.analysis.results import SweepResults
from nnexp.analysis.runs_table import runs_table
from nnexp.analysis.summary import MOST_SETTINGS, answer, settings_table
from nnexp.core.errors import UserError
from nnexp.plots.drawn import DrawnFigures
from nnexp.report.html import fragment
from nnexp.report.markdown import table
from nnexp.runs.load import load_run
from nnexp.runs.result import Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Sweep:
    """A sweep that was trained.

    Attributes:
        results: Its runs, reduced to what the answer needs.
        folder: The folder with its report and its runs; None of a plan.
    """

    results: SweepResults
    folder: Path | None

    def __repr__(self) -> str:
        """Return its command and its answer."""
        return f"{self.results.command}\n{self.answer}"

    def _repr_html_(self) -> str:
        """Return the table of its settings and its answer, for notebooks."""
        header, rows = settings_table(self.results, all_by_rank(self.results)[:MOST_SETTINGS])
        return fragment("\n\n".join([table(header, rows), *self.answer.splitlines()]))

    @property
    def answer(self) -> str:
        """Return what came out in sentences, as the terminal has it."""
        return "\n".join(answer(self.results))

    @cached_property
    def table(self) -> "pd.DataFrame":
        """Return a row for every run, as in `runs.csv`: what was varied, readings, seconds, folder and command."""
        import pandas as pd

        header, rows = runs_table(self.results)
        table: pd.DataFrame = pd.DataFrame(rows, columns=header)
        for swept in self.results.swept_keys:
            if swept.numbers is not None:
                table[swept.key] = pd.to_numeric(table[swept.key])
        return table

    @cached_property
    def best(self) -> Result:
        """Return the best run of the setting that comes first.

        Raises UserError if no run is first, as where all diverged or their losses cannot be compared.
        """
        run = best_run(self.results)
        if run is None or run.folder is None:
            raise UserError("sweep: must have runs that can be ranked; its answer says why they cannot")
        return load_run(str(run.folder), run.folder.parent)

    def curves(self, metric: str) -> "pd.DataFrame":
        """Return a metric such as `test/loss` over time: a row for each evaluation, a column for each run.

        Raises UserError if no run has it.
        """
        import pandas as pd

        runs = [run for run in self.results.runs if run.curves is not None]
        known = dict.fromkeys(name for run in runs if run.curves is not None for name in run.curves.metrics)
        if metric not in known:
            raise UserError(f"metric={metric}: must be one of {', '.join(known)}")
        found = {
            run.name: pd.Series(run.curves.metrics[metric], index=run.curves.times)
            for run in runs
            if run.curves is not None and metric in run.curves.metrics
        }
        return pd.DataFrame(found)

    @property
    def figures(self) -> Mapping[str, object]:
        """Return the figures of its report by name, each drawn when it is asked for."""
        return DrawnFigures(sweep_figures(self.results))
