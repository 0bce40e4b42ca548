"""Writes the table of a sweep: rows in files of their own as stacks are done, which become one table at the end.

A file is made under another name and renamed, so that after a death there are whole files alone, and the same command
trains the rows that are in none of them.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from shutil import rmtree
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nnexp.analysis.run_table import ABOUT, CURVE, GROUP, PARTS, ROW, TABLE, About, RunTable
from nnexp.config.columns import JobColumns, KeyColumn
from nnexp.core.disk import retry_while_disk_full
from nnexp.core.files import atomically
from nnexp.core.processes import Failure
from nnexp.runs.prepare import Ready
from nnexp.runs.result import summary_before
from nnexp.sweeps.batch import Batch
from nnexp.sweeps.rows import NEVER, Rows, Wanted, failed_row, train_rows, usual_paths
from nnexp.sweeps.stacks import Places
from nnexp.sweeps.train import beginning
from nnexp.sweeps.workers import Pool
from nnexp.training.evaluator import metric_names

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

KEPT = 10
"""How many of the best runs of a table have their files."""
SECONDS_BETWEEN_FILES = 2.0
"""How often rows are written; so much training a death costs at most."""


class TableWriter:
    """The table of a sweep that is being trained.

    Args:
        folder: The folder of the sweep.
        runs: Its runs.
        asked: The readings that are asked for, beside the usual ones.
        points: How many points of every curve it has, if any.
    """

    def __init__(self, folder: "Path", runs: Batch, asked: Sequence[str], points: int | None) -> None:
        self._folder, self._runs, self._points = folder, runs, points
        firsts = runs.firsts
        self.metrics = [*dict.fromkeys(name for one in firsts for name in metrics_of(one))]
        self.paths = usual_paths(self.metrics, asked)
        self._keys = runs.varied
        self._waiting: list[tuple[Sequence[int], Rows]] = []
        self._written = time.monotonic()
        fixed = {column.begins: column for column in JobColumns(runs.jobs[:1]).columns}
        varied = [column.begins for column in self._keys]
        template = [
            text if text in varied else f"{text}{next(iter(fixed[text].texts))}"
            for text in dict.fromkeys([*fixed, *varied])
        ]
        about = About(
            template=template,
            varied=varied,
            odd={one.key: one.odd(one.numbers) for one in self._keys if one.numbers is not None},
            groups=[summary_before(one) for one in firsts],
        )
        self._about = {ABOUT: json.dumps(asdict(about)).encode()}

    @property
    def parts(self) -> "Path":
        """Return the folder of the files with rows."""
        return self._folder / PARTS

    def missing(self) -> Sequence[int]:
        """Return the places of the runs that are in no file, or failed there; these are trained again."""
        table = RunTable(self._folder)
        if (self._folder / TABLE).exists():
            rmtree(self.parts, ignore_errors=True)  # which are in it
        if not table.files:
            return range(len(self._runs))
        done = np.zeros(len(self._runs), bool)
        done[table.rows] = True
        done[table.rows[table.failed]] = False
        return np.flatnonzero(~done).tolist()

    def wanted(self, place: int) -> Wanted:
        """Return what the table has of a run."""
        return Wanted(self.paths, self._runs.first(place).experiment.trainer.length, self._points)

    def add(self, places: Sequence[int], rows: Rows) -> None:
        """Add rows, which are written with others."""
        self._waiting.append((places, rows))
        if time.monotonic() - self._written > SECONDS_BETWEEN_FILES:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait."""
        if self._waiting:
            tables = [self._table(places, rows) for places, rows in self._waiting]
            import pyarrow as pa

            table = pa.concat_tables(tables).sort_by(ROW)
            first = table[ROW][0].as_py()
            self.parts.mkdir(parents=True, exist_ok=True)
            self._write(table, self.parts / f"{first}_{len(table)}_{time.time_ns()}.parquet")
            self._waiting = []
        self._written = time.monotonic()

    def finish(self, folders: Mapping[int, str]) -> None:
        """Make one table of all files, with the folders of the rows that have one, and remove them."""
        import pyarrow as pa

        self.flush()
        table = RunTable(self._folder)
        whole = table.read(table.names)
        named = np.full(len(whole), None)
        for row, name in folders.items():
            named[whole[ROW].to_numpy() == row] = name
        place = whole.schema.get_field_index("folder")
        whole = whole.set_column(place, "folder", pa.array(named, pa.string()))
        self._write(whole.combine_chunks(), self._folder / TABLE)
        rmtree(self.parts, ignore_errors=True)

    def _write(self, table: "pa.Table", path: "Path") -> None:
        import pyarrow.parquet as pq

        def write() -> None:
            with atomically(path) as temporary:
                pq.write_table(table.replace_schema_metadata(self._about), temporary, compression="zstd")

        retry_while_disk_full(write, path.parent)

    def _table(self, places: Sequence[int], rows: Rows) -> "pa.Table":
        import pyarrow as pa

        where = np.array(places)
        whole = pa.int64()
        columns: dict[str, pa.Array] = {ROW: pa.array(where, whole)}
        columns |= {column.key: _values(column, where) for column in self._keys}
        columns |= {path: pa.array(values, from_pandas=True) for path, values in rows.readings.items()}
        for name in ("best_time", "final_time", "diverged_step"):
            columns[name] = pa.array([None if one == NEVER else one for one in getattr(rows, name)], whole)
        columns["stopped"] = pa.array(rows.stopped, pa.string())
        columns["seconds"] = pa.array(rows.seconds, from_pandas=True)
        columns["error"] = pa.array(rows.errors, pa.string())
        columns["folder"] = pa.nulls(len(where), pa.string())
        columns[GROUP] = pa.array(self._runs.group_numbers(where), pa.int32())
        if rows.curves:
            columns["times"] = pa.array([one.times for one in rows.curves], pa.list_(whole))
            for name in self.metrics:
                of_runs = [one.metrics.get(name, np.empty(0)) for one in rows.curves]
                columns[f"{CURVE}{name}"] = pa.array(of_runs, pa.list_(pa.float64()))
        return pa.table(columns)


def _values(column: KeyColumn, places: npt.NDArray[np.intp]) -> "pa.Array":
    """Return the values of a key as numbers where they are such, else as texts."""
    import pyarrow as pa

    codes = np.asarray(column.codes)[places]
    unset = codes < 0
    if column.numbers is not None:
        return pa.array(column.numbers[codes], mask=unset)
    texts = [*column.texts]
    return pa.array([None if code < 0 else texts[code] for code in codes.tolist()], pa.string())


def metrics_of(run: Ready) -> Sequence[str]:
    """Return the metrics of a run."""
    return metric_names(run.data, run.experiment.trainer.metrics)


def train_table(
    writer: TableWriter, runs: Batch, stacks: Sequence[Places], pool: Pool, progress: Callable[[int], None]
) -> None:
    """Train stacks, and add their runs to a table; a stack that fails is trained again run by run."""
    calls = [partial(train_rows, beginning(runs, stack), writer.wanted(stack[0])) for stack in stacks]
    again: list[Places] = []
    for number, answer in pool.begin(calls):
        stack = stacks[number]
        if isinstance(answer, Failure) and len(stack) > 1:
            again += [[place] for place in stack]
            continue
        writer.add(stack, failed_row(writer.wanted(stack[0]), answer.reason) if isinstance(answer, Failure) else answer)
        progress(len(stack))
    if again:
        train_table(writer, runs, again, pool, progress=progress)
