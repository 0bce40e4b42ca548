"""The numbers of the studies that look at networks while they train; all of them take minutes."""

import math
from collections.abc import Callable

import pandas as pd
import pytest

from tests.conftest import needs

pytestmark = pytest.mark.slow


@needs("mnist1d")
def test_edge_of_stability(study: Callable[..., pd.DataFrame]) -> None:
    """R7 b: 12.1 for 2 / learning rate = 12."""
    sharpness = study("edge_of_stability", "optimizer.learning_rate")["final/train/sharpness"]
    for edge in (10, 12, 16):
        assert sharpness.iloc[(sharpness.index - 2 / edge).to_series().abs().argmin()] == pytest.approx(edge, rel=0.04)


def test_depth_and_initialization(study: Callable[..., pd.DataFrame]) -> None:
    """R7 h: 0.75 to 1.7 against 2.303."""
    runs = study("depth_and_initialization", "initializer")
    assert runs["min/train/loss"]["he_normal"] < 1.5
    assert runs["min/train/loss"]["glorot_normal"] == pytest.approx(2.303, abs=0.003)
    sizes = runs["max/train/activation_size_30"]
    assert sizes["glorot_normal"] < 0.01
    assert sizes["he_normal"] > 1


def test_lazy_and_rich(study: Callable[..., pd.DataFrame]) -> None:
    runs = study("lazy_and_rich", "initializer.scale")
    alignment, distance = runs["final/train/kernel_target_alignment"], runs["final/train/distance_from_start"]
    assert alignment.is_monotonic_decreasing
    assert distance.is_monotonic_decreasing
    assert alignment[0.25] > 0.75
    assert alignment[2.0] == pytest.approx(0.426, abs=0.02)
    assert distance[2.0] < 0.02


def test_neural_collapse(study: Callable[..., pd.DataFrame]) -> None:
    """R7 k2: NC1 falls to .40, and the alignment rises to .58, of one seed after 60 epochs."""
    runs = study("neural_collapse", "trainer.regularization.l2")
    apart, alignment = "train/within_class_variability", "train/kernel_target_alignment"
    assert (runs[f"max/{apart}"] > 2 * runs[f"final/{apart}"]).all()
    assert abs(runs[f"final/{apart}"][0.0] - 0.40) < 0.06
    assert runs[f"final/{apart}"][0.001] < 0.2
    assert abs(runs[f"final/{alignment}"] - 0.58).max() < 0.1


def test_phases(study: Callable[..., pd.DataFrame]) -> None:
    """R7 d: c_loss falls with the width, from 9.2 at 8 to 4.6 at 128, and is at most c_sharp."""
    runs = study("phases", "architecture.width", "optimizer.learning_rate")

    def rises(width: int, name: str) -> float:
        highest = runs[name][width]
        return float(highest.index[highest > 1.01 * highest.iloc[0]][0])

    narrow, middle, wide = (rises(width, "max/train/loss") for width in (16, 64, 256))
    assert narrow > middle > wide
    assert 2.5 < wide < 4.5
    assert wide <= rises(256, "max/train/sharpness")


def test_noise_grows(study: Callable[..., pd.DataFrame]) -> None:
    """R7 i: by more than an order of magnitude."""
    runs = study("batch_size_and_noise", "trainer.batch_size", "optimizer.learning_rate")
    assert runs["max/train/gradient_noise"][32, 0.1] > 1000


def test_staged_learning(study: Callable[..., pd.DataFrame]) -> None:
    """Saxe et al.: a mode of singular value s is half learned after ln(s / a) / (2 s rate), a = width scale^2 / 2."""
    runs = study("staged_learning", "initializer.scale")
    for scale in (1e-6, 1e-4):
        for square, level in ((15, 10.375), (7, 5.875), (3, 2.75), (1, 0.5)):
            s, begin = math.sqrt(square), 256 * scale**2 / 2
            expected = math.log(s / begin) / (2 * s * 0.01)
            assert runs[f"time_to/train/loss/{level}"][scale] == pytest.approx(expected, rel=0.04)
    assert runs["max/train/effective_rank"][0.1] > 7.9


def test_coordinate_check(study: Callable[..., pd.DataFrame]) -> None:
    """Outputs grow with the width under the standard parametrization, and stay under the maximal update one."""
    runs = study("coordinate_check", "architecture.parametrization", "architecture.width")
    size = runs["final/train/activation_size_3"]
    assert size["standard", 1024] > 5 * size["standard", 32]
    assert size["maximal_update"].max() < 1.3 * size["maximal_update"].min()
