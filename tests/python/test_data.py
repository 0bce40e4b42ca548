"""Data in memory: arrays and tables, of classes and of numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_iris

from nnexp import UserError, run, sweep
from nnexp.python.data import Examples
from tests.conftest import CommandLine

QUICK = {"tracking": "none", "figures": False, "verbose": False, "trainer.epochs": 3}
IRIS_X, IRIS_Y = load_iris(return_X_y=True)
FLATS = pd.DataFrame(
    {
        "rooms": np.arange(40) % 5 + 1.0,
        "city": [["Bonn", "Köln", "it's"][place % 3] for place in range(40)],
        7: np.linspace(0, 1, 40),
        "price": 100.0 * (np.arange(40) % 5) + 3.5,
    }
)


@pytest.mark.parametrize(
    ("data", "more", "kind", "loss", "features"),
    [
        ((IRIS_X, IRIS_Y), {}, "classification", "SparseCategoricalCrossEntropy", 4),
        ([IRIS_X.tolist(), IRIS_Y > 0], {}, "classification", "BinaryCrossEntropy", 4),
        ((IRIS_X, np.array(["a", "b", "c"], object)[IRIS_Y]), {}, "classification", "SparseCategoricalCrossEntropy", 4),
        (load_diabetes(return_X_y=True), {}, "regression", "MeanSquaredError", 10),
        (load_diabetes(return_X_y=True), {"loss": "huber"}, "regression", "Huber", 10),
        ((IRIS_X, IRIS_X[:, :2]), {}, "regression", "MeanSquaredError", 4),
        (
            (IRIS_X[::2], IRIS_Y[::2], IRIS_X[1::2], IRIS_Y[1::2]),
            {},
            "classification",
            "SparseCategoricalCrossEntropy",
            4,
        ),
        ((load_digits().images, load_digits().target), {}, "classification", "SparseCategoricalCrossEntropy", 64),
        (FLATS, {}, "regression", "MeanSquaredError", 5),
        (FLATS, {"dataset.target": "city"}, "classification", "SparseCategoricalCrossEntropy", 3),
    ],
)
def test_data_in_memory_are_trained_on(
    data: Examples, more: dict[str, object], kind: str, loss: str, features: int, tmp_path: Path
) -> None:
    result = run({**QUICK, **more}, data=data, output_dir=tmp_path)
    assert (result.trained.data.task.kind, type(result.trained.loss).__name__) == (kind, loss)
    assert result.trained.fan_in == features
    assert len([*(tmp_path / "arrays").iterdir()]) == 1


def test_the_command_repeats_the_run_and_the_same_data_are_kept_once(nnexp: CommandLine, tmp_path: Path) -> None:
    result = run(QUICK, data=(IRIS_X, IRIS_Y), output_dir=tmp_path)
    again = run(QUICK, data=(IRIS_X.copy(), IRIS_Y), output_dir=tmp_path)
    assert again.config_hash == result.config_hash
    assert len([*(tmp_path / "arrays").iterdir()]) == 1
    said = nnexp("replay", str(result.folder), "--output-dir", str(tmp_path))
    assert said.returncode == 0, said.stderr
    assert result.predict(pd.DataFrame(IRIS_X[:2], columns=list("1234"))).shape == (2,)


def test_a_sweep_learns_them_too(tmp_path: Path) -> None:
    swept = sweep({"optimizer.learning_rate": [0.1, 1], **QUICK}, data=FLATS, output_dir=tmp_path, confirm=0)
    assert len(swept.table) == 2
    assert swept.best.predict(FLATS.drop(columns="price")[:3]).shape == (3,)


@pytest.mark.parametrize("data", [IRIS_X, (IRIS_X,), "iris.csv"])
def test_other_data_are_refused_in_a_line(data: Examples, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data: must be \(x, y\)"):
        run(QUICK, data=data, output_dir=tmp_path)
