import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

from nnexp.data.bundled import BreastCancer, Diabetes, Iris, Wine
from nnexp.data.dataset import Collection
from nnexp.data.plane import Circles, Moons


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Iris(), "iris"), (Wine(), "wine"), (BreastCancer(), "breast_cancer"), (Diabetes(), "diabetes")],
)
def test_tables_are_those_of_scikit_learn(ours: Collection, theirs: str) -> None:
    table = ours.examples()
    bunch = getattr(datasets, f"load_{theirs}")(**({"scaled": False} if theirs == "diabetes" else {}))
    np.testing.assert_array_equal(table.x, bunch.data)
    np.testing.assert_array_equal(table.targets.ravel(), bunch.target)
    assert list(table.features) == [*bunch.feature_names]
    assert theirs == "diabetes" or table.task.classes == (*bunch.target_names,)


@pytest.mark.parametrize("points", [100, 101])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_points_are_those_of_scikit_learn(points: int, noise: float) -> None:
    moons = datasets.make_moons(points, noise=noise, random_state=3)
    circles = datasets.make_circles(points, noise=noise, factor=0.4, random_state=3)
    ours = Moons(points=points, noise=noise, seed=3), Circles(points=points, noise=noise, seed=3, inner=0.4)
    for one, (x, labels) in zip(ours, (moons, circles), strict=True):
        np.testing.assert_array_equal(one.examples().x, x)
        np.testing.assert_array_equal(one.examples().targets, labels)


@pytest.mark.parametrize("name", ["digits.Digits", "bundled.Wine", "plane.Moons", "csv.Heart"])
def test_nothing_waits_for_scikit_learn(name: str) -> None:
    module, kind = name.split(".")
    code = f"import sys; from nnexp.data.{module} import {kind}; {kind}(validation_size=0.1).load()"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'sklearn' not in sys.modules"], check=True)
