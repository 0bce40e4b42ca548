import numpy as np
import numpy.typing as npt
import pytest

from nnexp.nn.initializers import Constant, Initializer, Normal, Orthogonal, Uniform, VarianceScaling, Zeros

FAN_IN, FAN_OUT = 300, 200
DEVIATIONS: list[tuple[Initializer, float]] = [
    (Normal(0.3), 0.3),
    (Uniform(0.3), 0.3 / np.sqrt(3)),
    (Zeros(), 0.0),
    (Constant(2.0, value=0.1), 0.0),
    (Orthogonal(), 1 / np.sqrt(FAN_IN)),
    *[
        (VarianceScaling(0.5, gain=2.0, distribution=kind), 0.5 * np.sqrt(2 / FAN_IN))
        for kind in ("normal", "uniform", "truncated")
    ],
    *[
        (VarianceScaling(fan="average", distribution=kind), np.sqrt(2 / 500))
        for kind in ("normal", "uniform", "truncated")
    ],
    (VarianceScaling(fan="out"), np.sqrt(1 / FAN_OUT)),
]
"""Every initializer with the standard deviation of its weights; a new one adds a row."""
by_name = pytest.mark.parametrize(("initializer", "deviation"), DEVIATIONS, ids=repr)


def draw(initializer: Initializer, seed: int = 0) -> npt.NDArray[np.float64]:
    return initializer.draw(np.random.default_rng(seed), FAN_IN, FAN_OUT, (FAN_IN, FAN_OUT))


@by_name
def test_weights_have_their_standard_deviation(initializer: Initializer, deviation: float) -> None:
    weights = draw(initializer)
    assert weights.shape == (FAN_IN, FAN_OUT)
    mean = 0.2 if isinstance(initializer, Constant) else 0.0
    assert abs(weights.mean() - mean) <= 5 * deviation / np.sqrt(weights.size) + 1e-15
    np.testing.assert_allclose(weights.std(), deviation, rtol=5 / np.sqrt(weights.size), atol=1e-12)


@by_name
def test_scale_multiplies_the_same_draw(initializer: Initializer, deviation: float) -> None:
    del deviation
    settings = {**vars(initializer), "scale": 1.0}, {**vars(initializer), "scale": 0.1}
    unit, tenth = (draw(type(initializer)(**chosen)) for chosen in settings)
    np.testing.assert_array_equal(tenth, 0.1 * unit)


def test_shapes_of_the_distributions() -> None:
    deviation = np.sqrt(1 / FAN_IN)
    assert np.abs(draw(VarianceScaling(distribution="uniform"))).max() <= np.sqrt(3) * deviation
    assert np.abs(draw(VarianceScaling(distribution="truncated"))).max() <= 2 * deviation / 0.8796
    assert np.abs(draw(VarianceScaling(distribution="normal"))).max() > 3.5 * deviation


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_orthogonal_rows_or_columns_are_orthonormal(shape: tuple[int, int]) -> None:
    weights = Orthogonal().draw(np.random.default_rng(0), *shape, shape)
    product = weights.T @ weights if shape[0] >= shape[1] else weights @ weights.T
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-12)
