"""The table of a sweep, `runs.parquet`: a row for each run with its keys, readings and how it ended, read when asked.

While a sweep trains, the rows that are done are in files of a folder beside it; at its end they become one table.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nnexp.analysis.results import EXPLODED, SweepResults, SweepRun, names_of, shortened
from nnexp.core.component import Array
from nnexp.core.errors import DamagedError
from nnexp.core.json_files import typed
from nnexp.plots.style import FARTHEST
from nnexp.storage.run_folder import RunSummary
from nnexp.training.history import History, chosen_by
from nnexp.training.readings import FINAL, START, Reading
from nnexp.training.story import TRAINING_LOSS

if TYPE_CHECKING:
    import pyarrow as pa

TABLE, PARTS = "runs.parquet", "table"
ABOUT = b"nnexp"
"""The key in the schema of a table with what its rows have in common."""
ROW, GROUP, CURVE = "row", "group", "curve/"
MOST_RUNS, BEST_RUNS = 5_000, 1_000
"""Of a table with more rows, a report looks at so many: the best ones and others evenly spread."""


@dataclass(frozen=True)
class About:
    """What the rows of a table have in common.

    Attributes:
        template: The overrides of a job in their order; of those that vary, what stands before their value.
        varied: These.
        odd: By keys the values that are written otherwise than Python writes their numbers, by what Python writes.
        groups: Summaries with what the runs of each group share.
    """

    template: Sequence[str]
    varied: Sequence[str]
    odd: Mapping[str, Mapping[str, str]]
    groups: Sequence[RunSummary]


class RunTable:
    """The rows of a sweep that are done.

    Args:
        folder: The folder of the sweep.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Tell whether a sweep has a table."""
        return (folder / TABLE).exists() or (folder / PARTS).is_dir()

    @cached_property
    def files(self) -> list[Path]:
        """Return its files, the later ones last: one at the end, several before."""
        whole = self.folder / TABLE
        parts = (self.folder / PARTS).glob("[!.]*.parquet")
        return [*([whole] if whole.exists() else []), *sorted(parts, key=lambda part: part.stem.rpartition("_")[2])]

    @cached_property
    def about(self) -> About | None:
        """Return what the rows have in common; None where there are no rows yet."""
        import pyarrow.parquet as pq

        if not self.files:
            return None
        metadata = pq.read_schema(self.files[0]).metadata or {}
        return typed(About, json.loads(metadata.get(ABOUT, b"null")), self.files[0].name)

    def read(self, names: Sequence[str]) -> "pa.Table":
        """Return some columns, in the order of the rows; of a row that is there twice, as after a failure, the last.

        Raises DamagedError if a file is not as it was written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            known = {*pq.read_schema(self.files[0]).names} if self.files else set()
            wanted = [name for name in dict.fromkeys([ROW, *names]) if name in known]
            tables = [pq.read_table(file, columns=wanted, partitioning=None) for file in self.files]
        except (pa.ArrowInvalid, OSError) as error:
            raise DamagedError(f"{self.folder / TABLE} is damaged ({error})") from error
        if not tables:
            return pa.table({ROW: pa.array([], pa.int64())})
        if len(tables) == 1:
            return tables[0]
        whole = pa.concat_tables(tables)
        rows = whole[ROW].to_numpy()
        order = np.argsort(rows, kind="stable")
        last = np.append(np.diff(rows[order]) > 0, True)
        return whole.take(order[last])

    @cached_property
    def names(self) -> list[str]:
        """Return the names of all columns."""
        import pyarrow.parquet as pq

        return list(pq.read_schema(self.files[0]).names) if self.files else []

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.rows)

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """Return the numbers of the rows, the places of their jobs in the sweep."""
        found: npt.NDArray[np.int64] = self.read([ROW])[ROW].to_numpy()
        return found

    def column(self, name: str) -> npt.NDArray[np.generic]:
        """Return the values of a key, or another column, in the order of the rows: numbers, NaN for none, or texts."""
        found: npt.NDArray[np.generic] = self.read([name])[name].to_numpy(zero_copy_only=False)
        return found

    def reading(self, path: str) -> Array:
        """Return a reading, or a key of numbers, of every row by its path, NaN where a run has none."""
        return np.asarray(self.column(path), np.float64)

    def numbers(self, keys: Sequence[str], path: str) -> Array:
        """Return the values of keys of numbers, and a reading, of every row; NaN where a run that diverged has none."""
        values = self.reading(path)
        if not Reading.of(path).of_diverged:
            values = np.where(self.diverged, np.nan, values)
        return np.column_stack([*(self.reading(key) for key in keys), values])

    @cached_property
    def diverged(self) -> npt.NDArray[np.bool_]:
        """Return which rows diverged, as `SweepRun.diverged` has it."""
        found: npt.NDArray[np.bool_] = self.read(["diverged_step"])["diverged_step"].is_valid().to_numpy()
        for name in self.names:
            if name.startswith(f"{FINAL}/"):
                found = found | (np.abs(self.reading(name)) > FARTHEST)
        begun = self.reading(f"{START}/{TRAINING_LOSS}")
        return found | ((begun > 0) & (self.reading(f"{FINAL}/{TRAINING_LOSS}") > EXPLODED * begun))

    @cached_property
    def failed(self) -> npt.NDArray[np.bool_]:
        """Return which rows are of runs that failed."""
        found: npt.NDArray[np.bool_] = self.read(["error"])["error"].is_valid().to_numpy()
        return found

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many rows there are, and how many of them failed and diverged."""
        return {"runs": len(self), "failed": int(self.failed.sum()), "diverged": int(self.diverged.sum())}

    @cached_property
    def even(self) -> npt.NDArray[np.intp]:
        """Return the places of rows that are evenly spread, as many as a report looks at beside the best ones."""
        return np.linspace(0, len(self) - 1, MOST_RUNS - BEST_RUNS).astype(np.intp)

    def chosen(self, path: str | None, *, lower: bool) -> npt.NDArray[np.intp]:
        """Return the places of the rows that a report looks at: all, or the best by a reading and others."""
        count = len(self)
        if count <= MOST_RUNS:
            return np.arange(count)
        failed = np.flatnonzero(self.failed)[:BEST_RUNS]
        best = np.empty(0, np.intp)
        if path is not None and path in self.names:
            values = self.reading(path) * (1 if lower else -1)
            best = np.argsort(values, kind="stable")[: min(BEST_RUNS, int(np.isfinite(values).sum()))]
        return np.unique(np.concatenate([self.even, failed, best]))

    def runs(self, places: npt.NDArray[np.intp]) -> list[SweepRun]:
        """Return some rows as runs, whose names tell them apart from each other."""
        about = self.about
        if about is None or not len(places):
            return []
        columns = self.read(self.names).take(places).to_pydict()
        jobs = [self._job(about, columns, index) for index in range(len(places))]
        return [
            self._run(about, columns, index, SweepRun(job=tuple(job), name=name, row=_whole(columns[ROW][index])))
            for index, (job, name) in enumerate(zip(jobs, shortened(names_of(jobs)), strict=True))
        ]

    def _job(self, about: About, columns: Mapping[str, Sequence[object]], index: int) -> list[str]:
        job = []
        for text in about.template:
            key = _key(text)
            if text not in about.varied:
                job.append(text)
            elif (value := columns[key][index]) is not None:
                written = value if isinstance(value, str) else repr(value)
                job.append(f"{text}{about.odd.get(key, {}).get(written, written)}")
        return job

    def _run(self, about: About, columns: Mapping[str, Sequence[object]], index: int, run: SweepRun) -> SweepRun:
        row = {name: values[index] for name, values in columns.items()}
        if row["error"] is not None:
            return replace(run, error=str(row["error"]))
        shared = about.groups[_whole(row[GROUP]) or 0]
        others = {*map(_key, about.varied), *(name for name in row if name.startswith(CURVE) or "/" not in name)}
        readings = {name: _number(value) for name, value in row.items() if name not in others}
        final = {name.partition("/")[2]: value for name, value in readings.items() if name.startswith(f"{FINAL}/")}
        known = {name: value for name, value in final.items() if value is not None}
        best_time = _whole(row["best_time"])
        at_best = {name: readings.get(f"best/{name}") for name in final} if best_time is not None else {}
        kept = {name: np.nan if value is None else value for name, value in at_best.items()}
        summary = replace(
            shared,
            end=known,
            best=kept,
            at_best=kept,
            best_time=best_time,
            diverged_step=_whole(row["diverged_step"]),
            stopped=None if row["stopped"] is None else str(row["stopped"]),
            seconds=_number(row["seconds"]) or 0.0,
            final=known,
            final_time=_whole(row["final_time"]),
        )
        folder = None if row["folder"] is None else self.folder / str(row["folder"])
        return replace(run, summary=summary, readings=readings, folder=folder, curves=_curves(row, shared))


def _key(begins: str) -> str:
    """Return the key of an override that ends with the equals sign."""
    return begins.lstrip("+~").removesuffix("=")


def with_table(results: SweepResults, folder: Path) -> SweepResults:
    """Return the results of a sweep with the rows of its table for runs: all, or the best and others of very many."""
    table = RunTable(folder)
    path = results.wanted or chosen_by([name.partition("/")[2] for name in table.names])
    reading = Reading.of(path)
    runs = table.runs(table.chosen(reading.path, lower=reading.lower_is_better))
    missing = max(0, results.missing - len(table))
    return replace(results, runs=tuple(runs), missing=missing, table=table)


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _curves(row: Mapping[str, object], shared: RunSummary) -> History | None:
    times = row.get("times")
    if not isinstance(times, list):
        return None
    metrics: dict[str, Array] = {
        name.removeprefix(CURVE): np.array(values, np.float64) for name, values in row.items() if name.startswith(CURVE)
    }
    return History(np.array(times, np.intp), metrics, shared.unit)
