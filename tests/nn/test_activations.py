import numpy as np
import pytest

from nnexp.component import Array
from nnexp.nn.activations import Activation, ReLU, Sigmoid, Tanh
from tests.gradients import TOLERANCE, relative_error

ACTIVATIONS = [Sigmoid(), Tanh(), ReLU()]
"""Every activation; a new one adds an entry."""
by_name = pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda activation: type(activation).__name__)

VALUES = [
    (Sigmoid(), 0.0, 0.5),
    (Sigmoid(), np.log(3), 0.75),
    (Tanh(), np.log(2), 0.6),
    (ReLU(), -2.0, 0.0),
    (ReLU(), 3.5, 3.5),
]


@by_name
def test_gradient_is_the_derivative(activation: Activation) -> None:
    generator = np.random.default_rng(0)
    z = generator.standard_normal((2, 7, 5))
    z[np.abs(z) < 1e-3] = 0.5  # away from the kinks
    weight = generator.standard_normal(z.shape)

    def total(z: Array) -> float:
        return float((weight * activation.forward(z, np.empty_like(z))).sum())

    gradient = activation.backward(weight.copy(), z, activation.forward(z, np.empty_like(z)))
    assert relative_error(total, gradient, z, generator) < TOLERANCE


@pytest.mark.parametrize(("activation", "z", "expected"), VALUES)
def test_values(activation: Activation, z: float, expected: float) -> None:
    at = np.array([z])
    np.testing.assert_allclose(activation.forward(at, np.empty_like(at)), expected, rtol=1e-15, atol=0)


@by_name
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_inputs_stay_finite_and_keep_the_dtype(activation: Activation, dtype: str) -> None:
    z = np.array([-1e4, -90.0, 0.0, 90.0, 1e4], dtype)
    a = activation.forward(z, np.empty_like(z))
    gradient = activation.backward(np.ones_like(z), z, a)
    assert np.isfinite(a).all()
    assert np.isfinite(gradient).all()
    assert a.dtype == gradient.dtype == z.dtype


def test_relu_is_flat_at_its_kink() -> None:
    z = np.zeros(1)
    assert ReLU().backward(np.ones(1), z, z) == 0
