"""The table of the runs of a sweep, `runs.csv`, with one row for every run."""

import csv
import io

from nnexp.analysis.points import reading_of
from nnexp.analysis.results import SweepResults, swept_keys_of
from nnexp.config.overrides import command
from nnexp.report.rows import cell
from nnexp.training.metrics import lower_is_better
from nnexp.training.readings import FINAL, Reading

Cell = str | float | None


def runs_table(results: SweepResults) -> tuple[list[str], list[list[Cell]]]:
    """Return the header, and a row for every run in the order of the sweep, those with fresh seeds at the end.

    It has the final value of every metric, its value where the selection loss was lowest, and its lowest or highest;
    and the readings by which runs are ranked and which figures draw.
    """
    summaries = [run.summary for run in results.runs if run.summary is not None]
    metrics = list(dict.fromkeys(name for summary in summaries for name in summary.best))
    paths = [f"{kind}/{name}" for kind in (FINAL, "best") for name in metrics]
    paths += [f"{'min' if lower_is_better(name) else 'max'}/{name}" for name in metrics]
    drawn = [node.get(role) for node in results.figures or () for role in ("y", "value")]
    asked = [Reading.of(path) for path in (results.metric, *drawn) if isinstance(path, str)]
    paths = [*dict.fromkeys([*paths, *(reading.path for reading in asked if reading.metric in metrics)])]
    fresh = {run.config_hash or run.name: run for run in reversed(results.fresh)}  # the default may be a setting, too
    runs = [*results.runs, *(run for run in results.fresh if run in fresh.values())]
    keys = [swept.key for swept in swept_keys_of([run.job for run in runs])]
    ending = ["best_time", "final_time", "diverged_step", "stopped", "seconds", "error", "reused", "fresh", "hash"]
    rows: list[list[Cell]] = []
    for run in runs:
        one = run.summary
        rows.append(
            [
                run.name,
                *[run.value(key) for key in keys],
                *[reading_of(run, path) for path in paths],
                *(
                    [None] * 5
                    if one is None
                    else [one.best_time, one.final_time, one.diverged_step, one.stopped, one.seconds]
                ),
                run.error,
                run.reused,
                run.fresh,
                None if one is None else one.config_hash,
                None if run.folder is None else run.folder.name,
                command(*run.job),
            ]
        )
    return ["name", *keys, *paths, *ending, "folder", "command"], rows


def runs_csv(results: SweepResults) -> str:
    """Return the table as comma-separated values."""
    text = io.StringIO()
    header, rows = runs_table(results)
    written = [[str(one).lower() if isinstance(one, bool) else cell(one) for one in row] for row in rows]
    csv.writer(text, lineterminator="\n").writerows([header, *written])
    return text.getvalue()
