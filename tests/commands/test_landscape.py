"""The loss around and between runs, against the network itself at every place."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nnexp import UserError, run
from nnexp.commands.landscape import main
from nnexp.core.component import Array
from nnexp.training.history import Parameters
from nnexp.training.landscape import direction
from nnexp.training.model import Trained

WORDS = ["dataset=iris", "loss=sparse_categorical_cross_entropy", "architecture.hidden=[5]", "initializer=lecun_normal"]
SHORT = [*WORDS, "trainer.epochs=5", "optimizer.learning_rate=0.5", "tracking=none", "verbose=false", "figures=false"]


def loss_at(trained: Trained, theta: Array) -> float:
    """Return the mean cross-entropy of the training part, from the probabilities of a model with these parameters."""
    model = replace(trained, learned=Parameters(theta, trained.learned.statistics))
    labels = trained.data.train.targets.astype(int)
    return float(-np.log(model.probabilities(trained.data.train.x)[np.arange(len(labels)), labels]).mean())


def test_tables_and_pictures_are_of_the_network_itself(tmp_path: Path) -> None:
    one, other = (run([*SHORT, f"seed={seed}", f"output_dir={tmp_path}"]) for seed in (0, 1))
    to = tmp_path / "around"
    main([str(one.folder), str(other.folder), "--to", str(to), "--points", "3", "--reach", "0.5", "--seed", "7"])
    assert {path.name for path in to.glob("*.png")} == {"slice.png", "line.png", "spectra.png"}

    generator, theta = np.random.default_rng(7), one.trained.learned.theta
    x, y = direction(one.trained, generator), direction(one.trained, generator)
    for row in pd.read_csv(to / "slice.csv").to_dict("records"):
        expected = loss_at(one.trained, theta + row["x"] * x + row["y"] * y)
        np.testing.assert_allclose(row["train/loss"], expected, rtol=1e-10)
    line = pd.read_csv(to / "line.csv")
    for share, loss in zip(line["share"], line["train/loss"], strict=True):
        between = (1 - share) * theta + share * other.trained.learned.theta
        np.testing.assert_allclose(loss, loss_at(one.trained, between), rtol=1e-10)
    spectra = pd.read_csv(to / "spectra.csv")
    squares = (spectra["singular_value"] ** 2).groupby(spectra["weight"]).sum()
    for name in ("0.weight", "2.weight"):
        np.testing.assert_allclose(squares[name], (one.parameters[name] ** 2).sum())


def test_directions_are_as_long_as_the_weights_of_each_unit(tmp_path: Path) -> None:
    trained = run([*SHORT, f"output_dir={tmp_path}"]).trained
    found = direction(trained, np.random.default_rng(0))
    for slot in trained.layout.parameters:
        weight, part = (flat[slot.begin : slot.end].reshape(slot.shape) for flat in (trained.learned.theta, found))
        expected = np.linalg.norm(weight, axis=0) if slot.name == "weight" else 0 * weight[0]
        np.testing.assert_allclose(np.linalg.norm(part, axis=0), expected, atol=1e-12)


def test_runs_that_cannot_be_joined_are_refused(tmp_path: Path) -> None:
    one, other = (run([*SHORT, f"architecture.hidden=[{units}]", f"output_dir={tmp_path}"]) for units in (5, 6))
    with pytest.raises(UserError, match="landscape: must have two runs of the same layers and data"):
        main([str(one.folder), str(other.folder), "--to", str(tmp_path / "around"), "--points", "3"])
