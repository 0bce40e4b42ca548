from collections.abc import Callable

import numpy as np
import pytest

from nnexp.core.component import Array
from nnexp.optim.optimizers import (
    SGD,
    Adadelta,
    AdaGrad,
    Adam,
    AMSGrad,
    Lion,
    Momentum,
    NAdam,
    Nesterov,
    Optimizer,
    RAdam,
    RMSprop,
)

STEPS = 50

TORCH: list[tuple[Optimizer, str, dict[str, object]]] = [
    (SGD(0.1), "SGD", {"lr": 0.1}),
    (Momentum(0.05, momentum=0.8), "SGD", {"lr": 0.05, "momentum": 0.8}),
    (Nesterov(0.05, momentum=0.8), "SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    (AdaGrad(), "Adagrad", {}),
    (AdaGrad(0.3, epsilon=1e-3), "Adagrad", {"lr": 0.3, "eps": 1e-3}),
    (RMSprop(), "RMSprop", {}),
    (RMSprop(0.02, rho=0.9, epsilon=1e-4), "RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 1e-4}),
    (Adadelta(), "Adadelta", {}),
    (Adadelta(0.5, rho=0.8, epsilon=1e-3), "Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-3}),
    (Adam(), "Adam", {}),
    (Adam(0.02, beta1=0.7, beta2=0.9, epsilon=1e-3), "Adam", {"lr": 0.02, "betas": (0.7, 0.9), "eps": 1e-3}),
    (AMSGrad(0.05, beta2=0.9), "Adam", {"lr": 0.05, "betas": (0.9, 0.9), "amsgrad": True}),
    (NAdam(), "NAdam", {}),
    (NAdam(0.03, beta1=0.8, momentum_decay=0.1), "NAdam", {"lr": 0.03, "betas": (0.8, 0.999), "momentum_decay": 0.1}),
    (RAdam(0.01), "RAdam", {"lr": 0.01}),
    (RAdam(0.01, beta2=0.9), "RAdam", {"lr": 0.01, "betas": (0.9, 0.9)}),
]
"""Every optimizer with its counterpart in PyTorch; a new one adds a row. Lion has none and is below."""
OPTIMIZERS = [*[optimizer for optimizer, _, _ in TORCH], Lion(0.01)]


def gradient_of(theta: Array) -> Array:
    """Return the gradient of a bent valley."""
    gradient: Array = np.linspace(0.1, 3, theta.shape[1]) * theta + np.sin(3 * theta)
    return gradient


def descend(optimizer: Optimizer, theta: Array, gradient_of: Callable[[Array], Array]) -> Array:
    theta = theta.copy()
    state = optimizer.init(theta)
    for step in range(1, STEPS + 1):
        theta -= optimizer.learning_rate * optimizer.update(gradient_of(theta), state, step)
    return theta


@pytest.mark.parametrize(("optimizer", "name", "settings"), TORCH, ids=repr)
def test_parity_with_pytorch(optimizer: Optimizer, name: str, settings: dict[str, object]) -> None:
    """Fifty steps in float64."""
    torch = pytest.importorskip("torch")
    start = np.random.default_rng(0).standard_normal((1, 20))
    theta = torch.tensor(start, requires_grad=True)
    torch.set_default_dtype(torch.float64)  # which NAdam takes for its product
    try:
        theirs = getattr(torch.optim, name)([theta], **settings)
        for _ in range(STEPS):
            theta.grad = torch.tensor(gradient_of(theta.detach().numpy()))
            theirs.step()
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(descend(optimizer, start, gradient_of), theta.detach().numpy(), rtol=1e-10, atol=1e-14)


def test_lion_is_algorithm_2_of_its_paper() -> None:
    start = np.random.default_rng(0).standard_normal((1, 20))
    theta, m = start[0].copy(), np.zeros(20)
    for _ in range(STEPS):
        g = gradient_of(theta[None])[0]
        for i in range(20):
            c = 0.9 * m[i] + 0.1 * g[i]
            theta[i] -= 0.01 * (1 if c > 0 else -1 if c < 0 else 0)
            m[i] = 0.99 * m[i] + 0.01 * g[i]
    np.testing.assert_allclose(descend(Lion(0.01), start, gradient_of)[0], theta, rtol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_any_block_of_columns_may_be_updated_alone(optimizer: Optimizer) -> None:
    start = np.random.default_rng(1).standard_normal((3, 10))
    whole = descend(optimizer, start, np.sin)
    parts = [descend(optimizer, start[:, part], np.sin) for part in (np.s_[:4], np.s_[4:])]
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))
