"""Data in memory: arrays and tables, of classes and of numbers."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_diabetes, load_digits, load_iris

from nnexp import UserError, load, run, sweep
from nnexp.python.data import Examples
from nnexp.runs.result import Result
from tests.conftest import Typed

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


def test_the_command_repeats_the_run_and_the_same_data_are_kept_once(typed: Typed, tmp_path: Path) -> None:
    result = run(QUICK, data=(IRIS_X, IRIS_Y), output_dir=tmp_path)
    again = run(QUICK, data=(IRIS_X.copy(), IRIS_Y), output_dir=tmp_path)
    assert again.config_hash == result.config_hash
    assert len([*(tmp_path / "arrays").iterdir()]) == 1
    said = typed("replay", str(result.folder), "--output-dir", str(tmp_path))
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


X, Y = IRIS_X[:60, :2], (IRIS_X[:60, 0] > 5).astype(int)
WITHOUT = np.where(np.arange(60) < 3, None, np.array(["a", "b"], object)[Y])
REFUSED: dict[str, tuple[Callable[[], Examples], str]] = {
    "labels that are missing": (lambda: (X, np.where(np.arange(60) < 3, np.nan, Y)), "row 1 has none"),
    "labels that are None": (lambda: (X, WITHOUT), "must have a label for each row of x, and row 1 has none"),
    "labels that are empty": (lambda: (X, np.where(np.arange(60) < 3, "", "a")), "row 1 has none"),
    "test examples of another width": (lambda: (X, Y, X[:, :1], Y), "of the shape of those of the training"),
    "an infinite number": (
        lambda: pd.DataFrame({"a": [*X[:-1, 0], np.inf], "y": Y}),
        "in column a, and row 60 has inf",
    ),
    "missing features": (lambda: (np.where(X > 6, np.nan, X), Y), "dataset.missing=refuse: must be mean, median"),
    "lists in cells": (lambda: pd.DataFrame({"a": [[1], [2]] * 30, "y": Y}), "in each cell of column a, not a list"),
    "no rows": (pd.DataFrame, "data: must have rows and columns"),
    "rows that differ": (lambda: ([[1], [1, 2]], [0, 1]), "data.0.: must be an array of numbers"),
    "a sparse matrix": (lambda: (csr_matrix(X), Y), "data.0.: must be an array of numbers, not sparse"),
    "complex targets": (lambda: (X, Y * 1j), "data.1.: must be an array of numbers or texts, not of complex128"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_learned_is_refused_in_a_line(name: str, tmp_path: Path) -> None:
    data, message = REFUSED[name]
    kind = {"dataset.kind": "classification"} if "missing" in name else {}
    with pytest.raises(UserError, match=message):
        run({**QUICK, **kind}, data=data(), output_dir=tmp_path)


def test_a_column_with_a_word_is_noted_as_one_of_names_and_decimals_are_numbers(tmp_path: Path) -> None:
    odd = pd.DataFrame({"a": ["1O", *(str(place % 5) for place in range(1, 60))], "y": Y})
    assert "taken as names: a (1O)" in run(QUICK, data=odd, output_dir=tmp_path).notes
    exact = pd.DataFrame({"a": [Decimal("1.5") * place for place in range(60)], "y": Y})
    assert run(QUICK, data=exact, output_dir=tmp_path).trained.fan_in == 1


def test_features_that_are_no_numbers_are_not_predicted(tmp_path: Path) -> None:
    result = run(QUICK, data=(X, Y), output_dir=tmp_path)
    wrong: list[npt.ArrayLike] = [[[np.nan, 1.0]], [[1.0, 2.0], [np.inf, 1.0]], [["u", "v"]]]
    for x in wrong:
        with pytest.raises(UserError, match="x: must "):
            result.predict(x)
    gaps = X.copy()
    gaps[::7, 0] = np.nan
    filled = run({**QUICK, "dataset.missing": "mean"}, data=(gaps, Y), output_dir=tmp_path)
    assert "missing numbers (1 9)" in filled.notes[0]


def test_a_moved_output_folder_brings_its_data(tmp_path: Path) -> None:
    result = run(QUICK, data=(X, Y), output_dir=tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    moved = load(tmp_path / "there" / result.folder.relative_to(tmp_path / "here"))
    assert isinstance(moved, Result)
    assert moved.summary == result.summary
