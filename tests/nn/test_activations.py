from collections.abc import Callable

import numpy as np
import pytest

from nnexp.core.component import Array
from nnexp.nn.activations import (
    ELU,
    GELU,
    SELU,
    Activation,
    Erf,
    Identity,
    LeakyReLU,
    Power,
    ReLU,
    Sigmoid,
    SiLU,
    Sine,
    Softmax,
    Softplus,
    Square,
    Tanh,
)
from tests.gradients import TOLERANCE, relative_error

TORCH: list[tuple[Activation, str, dict[str, object]]] = [
    (Identity(), "Identity", {}),
    (Sigmoid(), "Sigmoid", {}),
    (Tanh(), "Tanh", {}),
    (ReLU(), "ReLU", {}),
    (LeakyReLU(0.2), "LeakyReLU", {"negative_slope": 0.2}),
    (ELU(0.7), "ELU", {"alpha": 0.7}),
    (SELU(), "SELU", {}),
    (Softplus(1.5), "Softplus", {"beta": 1.5, "threshold": 1000}),
    (GELU(), "GELU", {}),
    (GELU("tanh"), "GELU", {"approximate": "tanh"}),
    (SiLU(), "SiLU", {}),
    (Softmax(), "Softmax", {"dim": -1}),
    (Square(), "square", {}),
    (Power(3), "pow", {"exponent": 3}),
    (Power(1), "pow", {"exponent": 1}),
    (Sine(), "sin", {}),
    (Erf(), "erf", {}),
]
"""Every activation with its counterpart in PyTorch; a new one adds a row."""
ACTIVATIONS = [activation for activation, _, _ in TORCH]
ACTIVATIONS.append(Sine(2.5))
by_name = pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)

VALUES = [
    (Sigmoid(), 0.0, 0.5),
    (Sigmoid(), np.log(3), 0.75),
    (Tanh(), np.log(2), 0.6),
    (ReLU(), -2.0, 0.0),
    (ReLU(), 3.5, 3.5),
    (LeakyReLU(), -2.0, -0.02),
    (ELU(), -np.log(2), -0.5),
    (Softplus(), 0.0, np.log(2)),
    (SiLU(), np.log(3), 0.75 * np.log(3)),
    (Square(), -3.0, 9.0),
    (Power(3), -2.0, -8.0),
    (Sine(30.0), np.pi / 180, 0.5),
]
AT_KINKS = [(ReLU(), 0.0), (LeakyReLU(0.1), 0.1), (ELU(0.5), 0.5), (SELU(), SELU.SCALE * SELU.ALPHA)]
"""The derivative at 0, which is the one from the left."""


def forward(activation: Activation, z: Array) -> Array:
    return activation.forward(z, np.empty_like(z))


@by_name
def test_gradient_is_the_derivative(activation: Activation) -> None:
    generator = np.random.default_rng(0)
    z = generator.standard_normal((2, 7, 5))
    z[np.abs(z) < 1e-3] = 0.5  # away from the kinks
    weight = generator.standard_normal(z.shape)
    gradient = activation.backward(weight.copy(), z, forward(activation, z))
    total: Callable[[Array], float] = lambda z: float((weight * forward(activation, z)).sum())  # noqa: E731
    assert relative_error(total, gradient, z, generator) < TOLERANCE


@pytest.mark.parametrize(("activation", "name", "settings"), TORCH, ids=repr)
def test_parity_with_pytorch(activation: Activation, name: str, settings: dict[str, object]) -> None:
    torch = pytest.importorskip("torch")
    z = np.concatenate([np.linspace(-20, 20, 81), np.random.default_rng(1).standard_normal(19)]).reshape(10, 10)
    weight = np.random.default_rng(2).standard_normal(z.shape)
    theirs = torch.tensor(z, requires_grad=True)
    module = getattr(torch.nn, name, None)  # or a function
    value = getattr(torch, name)(theirs, **settings) if module is None else module(**settings)(theirs)
    (value * torch.tensor(weight)).sum().backward()
    ours = forward(activation, z)
    # Values: relative to the inputs where the function itself is a difference of almost equal numbers.
    np.testing.assert_allclose(ours, value.detach().numpy(), rtol=1e-12, atol=1e-15)
    gradient = activation.backward(weight.copy(), z, ours)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("activation", "z", "expected"), VALUES)
def test_values(activation: Activation, z: float, expected: float) -> None:
    np.testing.assert_allclose(forward(activation, np.array([z])), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize(("activation", "slope"), AT_KINKS)
def test_derivative_at_the_kink(activation: Activation, slope: float) -> None:
    z = np.zeros(1)
    np.testing.assert_allclose(activation.backward(np.ones(1), z, forward(activation, z)), slope, rtol=1e-15)


@by_name
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_inputs_stay_finite_and_keep_the_dtype(activation: Activation, dtype: str) -> None:
    z = np.array([-1e4, -90.0, 0.0, 90.0, 1e4], dtype)
    a = forward(activation, z)
    gradient = activation.backward(np.ones_like(z), z, a)
    assert np.isfinite(a).all()
    assert np.isfinite(gradient).all()
    assert a.dtype == gradient.dtype == z.dtype
