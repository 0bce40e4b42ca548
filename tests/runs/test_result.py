"""What a run says of itself is of the parameters that it leaves."""

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from nnexp import run
from nnexp.report.rows import number
from nnexp.training.predictions import ClassPredictions
from tests.conftest import Typed

OVERFITS = (
    "dataset=moons",
    "dataset.points=40",
    "dataset.noise=0.5",
    "architecture.hidden=[32]",
    "architecture.activation=tanh",
    "optimizer=adam",
    "optimizer.learning_rate=0.05",
    "trainer.epochs=200",
    "figures=false",
    "verbose=false",
)
PATIENT = "trainer.early_stopping={patience: 15}"


def test_what_is_reported_is_what_is_kept(typed: Typed, tmp_path: Path) -> None:
    """In the line of the run, its files and its tracker."""
    done = typed(*OVERFITS, PATIENT)
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = (tmp_path / "outputs" / "moons").iterdir()
    summary = json.loads((folder / "result.json").read_text())
    final, end = (summary[name]["test/loss"] for name in ("final", "end"))
    assert final < end
    assert f"test/loss {number(final)}" in done.stdout
    assert f"restored from epoch {summary['final_time']}" in done.stdout
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert f"| loss, restored epoch {summary['final_time']} | {number(summary['final']['train/loss'])} |" in report
    with sqlite3.connect(tmp_path / "outputs" / "mlflow.db") as database:
        recorded = dict(database.execute("select key, value from latest_metrics where key like 'final/%'"))
    assert recorded == {f"final/{name}": value for name, value in summary["final"].items()}


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize("restore", ["true", "false"])
def test_the_final_metrics_are_those_of_its_predictions(restore: str) -> None:
    result = run([*OVERFITS, f"trainer.early_stopping={{patience: 15, restore: {restore}}}", "tracking=none"])
    assert isinstance(result.predictions, ClassPredictions)
    chances = result.predictions.probabilities[np.arange(8), result.predictions.labels]
    assert result.summary.final["test/loss"] == pytest.approx(-np.log(chances).mean(), rel=1e-12)
    assert (result.summary.final_time == result.history.times[-1]) == (restore == "false")
