"""What MLflow shows of a sweep: its scores, its first setting, what was varied, and which runs have fresh seeds."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from nnexp.analysis import report, run_table
from nnexp.sweeps.check import shortened
from nnexp.sweeps.table import KEPT
from tests.conftest import Typed

SWEEP = (
    *("-m", "optimizer.learning_rate=0.3,0.7123456789", "initializer.scale=0.3", "seed=0,1", "trainer.epochs=50"),
    *("sweep.confirm=2", "question=![x](https://there)", "figures=false", "verbose=false"),
)


def test_a_sweep_says_what_came_out_and_its_fresh_runs_are_marked(typed: Typed, tmp_path: Path) -> None:
    done = typed(*SWEEP)
    assert (done.returncode, done.stderr) == (0, "")
    client = MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    experiment = client.get_experiment_by_name("digits_binary")
    assert experiment is not None
    link = f"#/experiments/{experiment.experiment_id}/runs"
    assert experiment.tags["mlflow.note.content"].startswith(f"[**All runs**]({link}?workflowType=machine_learning)")
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.`final/test/loss`"])
    (parent,) = (run for run in runs if "sweep_key" in run.data.tags)
    children = {run.info.run_name: run for run in runs if run is not parent}
    names = [f"learning_rate=0.7123 seed={seed}" for seed in (0, 1)]
    fresh = [f"learning_rate=0.7123 seed={seed} (fresh seed)" for seed in (2, 3)]
    assert {*names, *fresh} < {*children}

    assert parent.data.params == {
        "first setting": "learning_rate=0.7123",
        "optimizer.learning_rate": "0.3, 0.7123",
        "seed": "0, 1",
    }
    losses = [[children[name].data.metrics["final/test/loss"] for name in some] for some in (names, fresh)]
    metrics = parent.data.metrics
    assert metrics["final/test/loss"] == pytest.approx(sum(losses[0]) / 2)
    assert metrics["fresh/final/test/loss"] == pytest.approx(sum(losses[1]) / 2)
    assert (metrics["runs"], "final/test/accuracy" in metrics) == (4, True)

    members = client.search_runs([experiment.experiment_id], f"tags.`sweep.{parent.info.run_id}` = 'yes'")
    assert {run.info.run_name for run in members} == {name for name in children if "fresh" not in str(name)}
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith(f"[**Report**, with figures]({link}/{parent.info.run_id}/artifacts/report.html?")
    assert r"![x\](https://there)" in note


def recorded(output_dir: Path) -> tuple[Run, dict[str, Run], set[str]]:
    """Return the one sweep that MLflow has, its runs by their names, and the names of the sweep's artifacts."""
    client = MlflowClient(f"sqlite:///{output_dir}/mlflow.db")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    (parent,) = (run for run in runs if "sweep_key" in run.data.tags)
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    names = {run.info.run_name: run for run in children}
    assert len(names) == len(children) == len(runs) - 1
    return parent, names, {file.path for file in client.list_artifacts(parent.info.run_id)}


def test_a_sweep_in_a_table_is_in_mlflow_what_it_is_in_folders(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a report looks at some rows of the table alone."""
    monkeypatch.setattr(run_table, "MOST_RUNS", 20)
    monkeypatch.setattr(run_table, "BEST_RUNS", 10)
    monkeypatch.setattr(report, "MAX_ROWS", 5)
    small = ("dataset=moons", "dataset.points=30", "architecture.hidden=[4]", "trainer.epochs=4", "sweep.confirm=0")
    grid = ("optimizer.learning_rate=logspace(0.01,1e9,23)", "initializer.scale=0.1,10", "sweep.figures=[]")
    for record in ("runs", "table"):
        done = typed("-m", *small, *grid, f"sweep.record={record}", f"output_dir={record}")
        assert (done.returncode, done.stderr) == (0, "")
        (text,) = (path.read_text() for path in tmp_path.glob(f"{record}/sweeps/*/report.md"))
        assert "The best 5 of 46 runs" in text
    runs, runs_children, runs_files = recorded(tmp_path / "runs")
    table, table_children, table_files = recorded(tmp_path / "table")
    assert (len(runs_children), len(table_children)) == (46, KEPT)
    assert table.data.metrics == runs.data.metrics
    assert (table.data.metrics["runs"], table.data.metrics["diverged"] > 0) == (46, True)
    assert table.data.params == runs.data.params
    assert table.data.params["optimizer.learning_rate"] == "23 values from 0.01 to 1e+09, over orders of magnitude"
    assert table.data.params["initializer.scale"] == "0.1, 10"
    assert (runs_files ^ table_files) == {"runs.csv", "runs.parquet"}
    for name, child in table_children.items():
        same = runs_children[name]
        assert (child.info.status, child.data.metrics) == (same.info.status, same.data.metrics)
        assert child.data.params == same.data.params


def test_names_have_four_digits_unless_they_would_look_alike() -> None:
    long = ["rate=0.123456789012 seed=1", "rate=1.98765432e-05"]
    assert shortened(long) == ["rate=0.1235 seed=1", "rate=1.988e-05"]
    assert shortened([*long, "rate=0.123412345678 seed=1", "rate=0.123456712345 seed=1"]) == [
        *["rate=0.123456789 seed=1", "rate=1.98765432e-05"],
        *["rate=0.123412346 seed=1", "rate=0.123456712 seed=1"],
    ]
    as_typed = ["path=a1.23456.csv", "hidden=[16,8] rate=0.25", "rate=1234567"]
    assert shortened(as_typed) == as_typed
