"""A sweep as one table, against the same sweep with a folder for each run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nnexp.analysis import run_table
from nnexp.analysis.findings import importance
from nnexp.analysis.results import SweepResults
from nnexp.analysis.run_table import RunTable
from nnexp.core.errors import UserError
from nnexp.python.swept import Sweep
from nnexp.python.training import load, run, sweep
from tests.sweeps.test_session import MENDED, MOODY

SMALL = ("dataset=moons", "dataset.points=30", "architecture.hidden=[4]", "trainer.epochs=4", "tracking=none")
KEYS = ("optimizer.learning_rate=0.01,0.1,1,1e9", "initializer.scale=logspace(0.1,10,4)", "seed=3,1")

HERE = "hydra.launcher.jobs=1"
"""Trains in this process, whose environment is the one that a test makes."""


def swept(tmp_path: Path, *overrides: str) -> Sweep:
    return sweep([*SMALL, *overrides, f"output_dir={tmp_path}", "verbose=false"])


def rows_of(results: SweepResults) -> list[Mapping[str, object]]:
    """Return what a sweep says of its runs, but for seconds."""
    return [
        {
            "job": [one for one in run.job if not one.startswith(("output_dir", "sweep."))],
            "name": run.name,
            "diverged": run.diverged,
            "best_time": None if run.summary is None else run.summary.best_time,
            "final": None if run.summary is None else run.summary.final,
            "baselines": None if run.summary is None else run.summary.baselines,
            "stopped": None if run.summary is None else run.summary.stopped,
            "mean": run.reading("mean/train/loss"),
            **{
                path: run.reading(path)
                for path in run.readings
                if path.startswith(("final/", "best/", "min/test/loss"))
            },
        }
        for run in results.runs
    ]


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("optimizer=adam,sgd", "trainer.early_stopping={patience: 1}"),
        ("dataset.split_seed=1,2", "architecture.hidden=[3],[5]"),
        ("trainer.evaluate_every=4", "trainer.start=false")[:1],
    ],
)
def test_a_sweep_in_a_table_has_the_numbers_of_one_in_folders(tmp_path: Path, more: tuple[str, ...]) -> None:
    asked = ("sweep.metric=mean/train/loss", "sweep.confirm=0", *more)
    folders = swept(tmp_path / "runs", *KEYS, *asked, "sweep.record=runs")
    table = swept(tmp_path / "table", *KEYS, *asked, "sweep.record=table")
    expected = rows_of(folders.results)
    assert rows_of(table.results) == expected
    assert any(row["diverged"] for row in expected)
    assert table.folder is not None
    again = load(table.folder)
    assert isinstance(again, Sweep)
    assert rows_of(again.results) == expected
    assert [one.name for one in table.results.ranked] == [one.name for one in folders.results.ranked]
    assert len([*(table.folder / "runs").iterdir()]) == 10
    assert table.best.history.metrics["train/loss"].tolist() == folders.best.history.metrics["train/loss"].tolist()


def test_any_row_trained_alone_has_the_same_bits(tmp_path: Path) -> None:
    table = swept(tmp_path, *KEYS, "dataset.seed=1,2", "sweep.record=table", "sweep.confirm=0")
    for one in table.results.runs[::13]:
        alone = run([*one.job, f"output_dir={tmp_path / 'alone'}", "verbose=false"])
        assert alone.summary.final == (one.summary.final if one.summary else None)
        assert alone.history.metrics["train/loss"].max() >= (one.readings["min/train/loss"] or 0)


def test_curves_are_in_the_table_where_they_are_asked_for(tmp_path: Path) -> None:
    folders = swept(tmp_path / "runs", KEYS[0], "sweep.confirm=0", "sweep.record=runs")
    table = swept(tmp_path / "table", KEYS[0], "sweep.confirm=0", "sweep.record=table", "sweep.curves=100")
    for name in ("train/loss", "test/accuracy"):
        pd.testing.assert_frame_equal(table.curves(name), folders.curves(name))


def test_columns_are_read_by_key_and_reading(tmp_path: Path) -> None:
    found = swept(tmp_path, *KEYS, "optimizer=adam,sgd", "sweep.record=table", "sweep.confirm=0").results
    assert isinstance(found.table, RunTable)
    rates = [rate for rate in (0.01, 0.1, 1.0, 1e9) for _ in range(16)]
    assert found.table.column("optimizer.learning_rate").tolist() == rates
    assert found.table.column("seed").dtype == np.int64
    assert {*found.table.column("optimizer")} == {"adam", "sgd"}
    losses = [np.nan if (loss := run.readings["final/test/loss"]) is None else loss for run in found.runs]
    np.testing.assert_array_equal(found.table.reading("final/test/loss"), losses)
    assert found.table.diverged.tolist() == [run.diverged for run in found.runs]
    for path in ("final/train/loss", "start/train/loss"):
        read = found.numbers(["initializer.scale", "seed"], path)
        np.testing.assert_array_equal(read, replace(found, table=None).numbers(["initializer.scale", "seed"], path))


def test_importance_is_that_of_rows_evenly_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are looked at because they are the best would count too often."""
    monkeypatch.setattr(run_table, "MOST_RUNS", 20)
    monkeypatch.setattr(run_table, "BEST_RUNS", 10)
    grid = ("optimizer.learning_rate=logspace(0.01,1e9,8)", "initializer.scale=logspace(0.1,10,5)")
    found = swept(tmp_path, *grid, "sweep.record=table", "sweep.confirm=0", "sweep.figures=[]").results
    assert found.beyond
    even = [int(row) for row in np.linspace(0, 39, 10)]
    few = replace(found, runs=tuple(run for run in found.runs if run.row in even), table=None)
    assert importance(found) == importance(few) != importance(replace(found, table=None))


def test_a_run_that_fails_is_a_row_and_is_trained_when_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNEXP_PACKAGES", "tests")
    asked = (MOODY, "initializer.scale=0.1,0.5,1", "seed=1,2", "sweep.record=table", "sweep.confirm=0", HERE)
    found = swept(tmp_path, *asked)
    assert [run.error for run in found.results.runs if run.error] == ["RuntimeError: not this scale"] * 2
    assert "Failed: scale=0.5 seed=1: RuntimeError: not this scale" in found.answer
    monkeypatch.setenv(MENDED, "yes")
    again = swept(tmp_path, *asked)
    assert again.folder == found.folder
    assert [run.error for run in again.results.runs] == [None] * 6
    before, after = rows_of(found.results), rows_of(again.results)
    assert [before[place] for place in (0, 1, 4, 5)] == [after[place] for place in (0, 1, 4, 5)]


def test_tables_are_refused_where_runs_depend_on_others(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sweep\.record=table: must be runs or auto beside sweep\.halving=0\.5"):
        swept(tmp_path, KEYS[0], "sweep.record=table", "sweep.halving=0.5")
    assert [*tmp_path.iterdir()] == []


def test_a_sweep_that_fits_nowhere_says_what_it_needs(tmp_path: Path) -> None:
    many = [f"{key}=range(99999)" for key in ("seed", "dataset.split_seed")]
    with pytest.raises(UserError, match=r"-m: must need at most the .* not 10 TB for the table of 9,999,800,001 runs"):
        swept(tmp_path, *many)


def test_a_thousand_runs_have_folders_and_more_a_table(tmp_path: Path) -> None:
    short = ("trainer.epochs=1", "sweep.confirm=0", "sweep.figures=[]")
    found = swept(tmp_path, "seed=range(1001)", *short)
    assert found.folder is not None
    assert len(RunTable(found.folder)) == len(found.results.runs) == 1001
    assert len([*(found.folder / "runs").iterdir()]) <= 10
