import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nnexp.data.dataset import TableDataset
from nnexp.data.plane import Circles, Moons, Spiral, Xor
from tests.conftest import needs

# In a process of its own: nnfs.init() replaces functions of NumPy.
NNFS = """
import sys
import nnfs.datasets
import numpy as np
nnfs.init()
for part in ("train", "test"):
    x, y = nnfs.datasets.spiral_data(samples=100, classes=3)
    np.savez(f"{sys.argv[1]}/{part}.npz", x=x, y=y)
"""


@needs("nnfs")
def test_the_spiral_is_that_of_the_book(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", NNFS, str(tmp_path)], check=True, capture_output=True)
    data = Spiral(standardize=False).load()
    for name, part in (("train", data.train), ("test", data.test)):
        expected = np.load(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(part.x, expected["x"])
        np.testing.assert_array_equal(part.targets, expected["y"])


def test_the_first_points_of_reference_r3() -> None:
    printed = [[0.0, 0.0], [0.00299556, 0.00964661], [0.01288097, 0.01556285], [0.02997479, 0.0044481]]
    printed.append([0.03931246, 0.00932828])
    np.testing.assert_allclose(Spiral(standardize=False).load().train.x[:5], printed, atol=5e-9)


def test_arms_wind_from_the_origin_to_the_unit_circle() -> None:
    data = Spiral(points=50, arms=4, noise=0.0, standardize=False).load()
    radius = np.hypot(*data.train.x.T).reshape(4, 50)
    np.testing.assert_allclose(radius, np.tile(np.linspace(0, 1, 50), (4, 1)), atol=1e-7)
    np.testing.assert_array_equal(data.train.targets, np.arange(4).repeat(50))
    x, y = data.train.x[:50].T
    turned = np.unwrap(np.arctan2(x[1:], y[1:]))
    np.testing.assert_allclose(turned[-1] - turned[0], 10 * 48 / 49, rtol=1e-5)


def test_the_test_part_of_a_spiral_is_a_draw_of_its_own() -> None:
    data = Spiral(standardize=False).load()
    assert data.test.x.shape == data.train.x.shape
    assert (data.test.x != data.train.x).any(axis=1).mean() > 0.9


def test_moons_are_half_circles_of_radius_one() -> None:
    table = Moons(noise=0.0).examples()
    centre = np.array([[0, 0], [1, 0.5]])[table.targets]
    np.testing.assert_allclose(np.hypot(*(table.x - centre).T), 1)
    up = (table.x - centre)[:, 1]
    assert (up[table.targets == 0] >= -1e-12).all()
    assert (up[table.targets == 1] <= 1e-12).all()


@pytest.mark.parametrize("inner", [0.2, 0.5, 0.8])
def test_the_inner_circle_is_class_one(inner: float) -> None:
    table = Circles(noise=0.0, inner=inner).examples()
    np.testing.assert_allclose(np.hypot(*table.x.T), np.where(table.targets == 1, inner, 1))


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_corners_of_one_sign_are_class_zero(noise: float) -> None:
    table = Xor(noise=noise).examples()
    np.testing.assert_array_equal(table.targets, (table.x.prod(axis=1) < 0).astype(int))
    np.testing.assert_array_equal(np.unique(np.sign(table.x), axis=0, return_counts=True)[1], 100)
    np.testing.assert_allclose((np.abs(table.x) - 1).std(), noise, atol=0.02)


@pytest.mark.parametrize("dataset", [Moons(), Circles(), Xor(), Spiral(), Spiral(arms=5)], ids=repr)
def test_classes_are_balanced(dataset: TableDataset) -> None:
    data = dataset.load()
    counts = np.bincount(np.concatenate([data.train.targets, data.test.targets]).astype(int))
    assert len(counts) == len(data.task.classes)
    assert (counts == counts[0]).all()
