import numpy as np
import pytest

from nnexp.core.component import InvalidFieldError
from nnexp.data.synthetic import MOST_NUMBERS, Modular, Polynomial, RandomLabels, Teacher


def test_modular_addition_has_every_pair_once() -> None:
    data = Modular(modulus=7).load()
    x = np.concatenate([data.train.x, data.test.x])
    labels = np.concatenate([data.train.targets, data.test.targets])
    assert x.shape == (49, 14)
    pairs = [(int(np.flatnonzero(row)[0]), int(np.flatnonzero(row)[1]) - 7) for row in x]
    assert sorted(pairs) == [(a, b) for a in range(7) for b in range(7)]
    assert [sum(pair) % 7 for pair in pairs] == labels.tolist()


def test_a_linear_teacher_is_learned_by_least_squares_up_to_its_noise() -> None:
    clean = Teacher(activation="linear", features=5, examples=2000).load()
    weights, *_ = np.linalg.lstsq(clean.train.x, clean.train.targets)
    np.testing.assert_allclose(clean.test.x @ weights, clean.test.targets, atol=1e-12)
    noisy = Teacher(activation="linear", features=5, examples=2000, noise=0.5).load()
    np.testing.assert_allclose((noisy.train.targets - noisy.train.x @ weights).std(), 0.5, rtol=0.05)
    np.testing.assert_array_equal(noisy.test.targets, clean.test.targets)


@pytest.mark.parametrize("activation", ["relu", "tanh", "square"])
def test_a_teacher_is_not_linear_and_more_examples_have_the_same_ones_in_front(activation: str) -> None:
    few, many = (Teacher(activation=activation, examples=count, noise=0.1).load() for count in (300, 600))  # type: ignore[arg-type]
    np.testing.assert_array_equal(few.train.x, many.train.x[:300])
    np.testing.assert_array_equal(few.train.targets, many.train.targets[:300])
    np.testing.assert_array_equal(few.test.targets, many.test.targets)
    weights, *_ = np.linalg.lstsq(many.train.x, many.train.targets)
    assert np.abs(many.test.x @ weights - many.test.targets).mean() > 0.05


def test_random_labels_are_as_many_of_each_class_and_say_nothing() -> None:
    data = RandomLabels(points=6000, features=3, classes=3).load()
    assert np.bincount(data.train.targets.astype(int)).tolist() == [1600] * 3
    means = [data.train.x[data.train.targets == label].mean(axis=0) for label in range(3)]
    np.testing.assert_allclose(means, 0, atol=4 / np.sqrt(1600))


def test_a_polynomial_and_the_points_halfway() -> None:
    data = Polynomial(points=11, coefficients=(1.0, 0.0, -2.0, 4.0), standardize=False).load()
    x = data.test.x
    np.testing.assert_allclose(x[:, 0], np.linspace(-0.9, 0.9, 10), atol=1e-15)
    np.testing.assert_allclose(data.test.targets, 1 - 2 * x**2 + 4 * x**3, atol=1e-14)
    noisy = Polynomial(points=5000, noise=0.1).load()
    clean = Polynomial(points=5000).load()
    np.testing.assert_allclose((noisy.train.targets - clean.train.targets).std(), 0.1, rtol=0.05)


def test_what_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(InvalidFieldError, match="features=1000001: must be at most 1000000 for 100 examples"):
        RandomLabels(points=100, features=MOST_NUMBERS // 100 + 1)
    with pytest.raises(InvalidFieldError, match="features"):
        Teacher(width=10_000_000, features=11)
