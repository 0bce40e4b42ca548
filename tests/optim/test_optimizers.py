from collections.abc import Callable

import numpy as np
import pytest

from nnexp.component import Array
from nnexp.optim.optimizers import SGD, Adam, Optimizer

STEPS = 50

TORCH: list[tuple[Optimizer, str, dict[str, object]]] = [
    (SGD(0.1), "SGD", {"lr": 0.1}),
    (Adam(0.01), "Adam", {"lr": 0.01}),
    (Adam(0.02, beta1=0.7, beta2=0.9, epsilon=1e-3), "Adam", {"lr": 0.02, "betas": (0.7, 0.9), "eps": 1e-3}),
]
"""Every optimizer with its counterpart in PyTorch; a new one adds a row."""


def descend(optimizer: Optimizer, theta: Array, gradient_of: Callable[[Array], Array]) -> Array:
    theta = theta.copy()
    state = optimizer.init(theta)
    for step in range(1, STEPS + 1):
        theta -= optimizer.learning_rate * optimizer.update(gradient_of(theta), state, step)
    return theta


@pytest.mark.parametrize(("optimizer", "name", "settings"), TORCH)
def test_parity_with_pytorch(optimizer: Optimizer, name: str, settings: dict[str, object]) -> None:
    """Fifty steps on a bent valley, in float64."""
    torch = pytest.importorskip("torch")
    start = np.random.default_rng(0).standard_normal((1, 20))
    curvature = np.linspace(0.1, 3, 20)
    ours = descend(optimizer, start, lambda theta: curvature * theta + np.sin(theta))

    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    theirs = getattr(torch.optim, name)([theta], **settings)
    for _ in range(STEPS):
        theirs.zero_grad()
        (torch.tensor(curvature) * theta**2 / 2 - torch.cos(theta)).sum().backward()
        theirs.step()
    np.testing.assert_allclose(ours, theta.detach().numpy(), rtol=1e-10, atol=0)


@pytest.mark.parametrize(("optimizer", "name", "settings"), TORCH)
def test_any_block_of_columns_may_be_updated_alone(
    optimizer: Optimizer, name: str, settings: dict[str, object]
) -> None:
    del name, settings
    start = np.random.default_rng(1).standard_normal((3, 10))
    whole = descend(optimizer, start, np.sin)
    parts = [descend(optimizer, start[:, part], np.sin) for part in (np.s_[:4], np.s_[4:])]
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))
