"""The numbers of the studies, each a band around the mean over three seeds; all of them take minutes."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nnexp import run
from nnexp.training.landscape import way_between
from tests.conftest import needs

RATE = "optimizer.learning_rate"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_grokking(study: Callable[..., pd.DataFrame]) -> None:
    """R7 f: test accuracy .99 at 840 with decay 1, 3400 with 0.3, never without."""
    runs = study("grokking", "trainer.regularization.weight_decay")
    reached = runs["time_to/test/accuracy/0.99"]
    assert 700 < reached[1.0] < 1200
    assert 2800 < reached[0.3] < 4500
    assert runs["final/test/accuracy"][0.0] < 0.1
    assert (runs["final/train/accuracy"] == 1).all()


def test_double_descent(study: Callable[..., pd.DataFrame]) -> None:
    """R7 g: .135, .341 at width 40 where the training loss is 0, .227 at 256."""
    loss = study("double_descent", "architecture.width")["final/test/loss"]
    assert abs(loss[2] - 0.135) < 0.03
    assert abs(loss[40] - 0.341) < 0.06
    assert abs(loss[256] - 0.227) < 0.04
    assert loss.idxmax() in (24, 28, 32, 40, 48)


@needs("mnist1d")
def test_deep_double_descent(study: Callable[..., pd.DataFrame]) -> None:
    """R7 a3: test error 46.9 % at width 12, 55.6 % at 60 where the training error reaches 0, 48.1 % at 220."""
    runs = study("deep_double_descent", "architecture.width")
    error, learned = 1 - runs["final/test/accuracy"], runs["final/train/accuracy"]
    assert abs(error[12] - 0.469) < 0.05
    assert abs(error[60] - 0.556) < 0.03
    assert abs(error[220] - 0.481) < 0.03
    assert error.loc[12:].idxmax() == learned.index[learned == 1][0] == 60


def test_learning_rate_transfer(study: Callable[..., pd.DataFrame]) -> None:
    """R7 c: under the standard parametrization the best rate falls with the width, under the other it stays."""
    runs = study("learning_rate_transfer", "architecture.parametrization", "architecture.width", RATE)
    best = {(kind, width): rate for kind, width, rate in runs["final/train/loss"].groupby(level=[0, 1]).idxmin()}
    narrow, middle, wide = (best["standard", width] for width in (32, 128, 512))
    assert narrow > 3 * middle > 9 * wide
    assert all(0.009 < best["maximal_update", width] < 0.02 for width in (32, 128, 512))


def test_optimizers(study: Callable[..., pd.DataFrame]) -> None:
    """R7 l: best rates 0.32, 0.03 to 0.1, 0.003, 0.01, 0.001, within a step of the grid, all about as good."""
    loss = study("optimizers", "optimizer", RATE)["final/test/loss"].groupby(level=0)
    published = {"sgd": 0.32, "momentum": 0.05, "rmsprop": 0.003, "adam": 0.01, "lion": 0.001}
    for name, rate in loss.idxmin():
        assert rate / 3.5 < published[name] < rate * 3.5
    assert loss.min().max() < 0.3


def test_scaling(study: Callable[..., pd.DataFrame]) -> None:
    """R7 j: examples^-0.53."""
    loss = study("scaling", "dataset.subsample")["best/test/loss"]
    exponent, _ = np.polyfit(np.log(loss.index), np.log(loss), 1)
    assert -0.7 < exponent < -0.45


def test_lottery_ticket(study: Callable[..., pd.DataFrame]) -> None:
    """R7 k: at 7.8 % of the weights .930 against .775."""
    accuracy = study("lottery_ticket", "trainer.pruning.by", "trainer.pruning.rounds")["final/test/accuracy"]
    assert abs(accuracy["magnitude", 5] - 0.930) < 0.03
    assert abs(accuracy["random", 5] - 0.775) < 0.12
    assert accuracy["random", 5] < accuracy["magnitude", 5] - 0.1


def test_landscape(in_folder: Callable[[], Path]) -> None:
    """R7 k2: a barrier between seeds of .84."""
    in_folder()
    words = ["experiment=studies/landscape", "tracking=none", "verbose=false", "figures=false"]
    runs = [run([*words, f"seed={seed}"]).trained for seed in range(3)]
    barriers = [way_between(one, other, 21).barrier for one, other in combinations(runs, 2)]
    assert abs(np.mean(barriers) - 0.84) < 0.3
    assert min(barriers) > 0.3
