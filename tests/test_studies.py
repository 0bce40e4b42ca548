"""The numbers of the studies, each a band around the mean over three seeds; all of them take minutes."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from nnexp import sweep

pytestmark = pytest.mark.slow


@pytest.fixture
def study(in_folder: Callable[[], Path]) -> Callable[..., pd.DataFrame]:
    """Return a function that trains a study and returns the means over seeds of its numbers, by the keys that vary."""

    def trained(name: str, *keys: str) -> pd.DataFrame:
        in_folder()
        table = sweep([f"experiment=studies/{name}", "tracking=none", "verbose=false"]).table
        assert table["error"].isna().all()
        return table.groupby([*keys]).mean(numeric_only=True)

    return trained


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
