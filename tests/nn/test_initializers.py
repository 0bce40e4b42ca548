import numpy as np

from nnexp.nn.initializers import Normal


def test_normal_weights_have_the_standard_deviation_of_their_scale() -> None:
    weights = Normal(0.3).weights(np.random.default_rng(0), 200, 300)
    assert weights.shape == (200, 300)
    assert abs(weights.mean()) < 5 * 0.3 / np.sqrt(weights.size)
    assert abs(weights.std() / 0.3 - 1) < 5 / np.sqrt(2 * weights.size)


def test_scale_multiplies_the_same_draw() -> None:
    unit, tenth = (Normal(scale).weights(np.random.default_rng(3), 4, 5) for scale in (1.0, 0.1))
    np.testing.assert_array_equal(tenth, 0.1 * unit)
