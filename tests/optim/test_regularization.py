import numpy as np
import pytest

from nnexp.core.component import Array
from nnexp.optim.regularization import Regularization
from tests.gradients import TOLERANCE, relative_error

PENALISED = np.array([1.0, 1.0, 0.0, 1.0, 0.0])


@pytest.mark.parametrize(("l1", "l2"), [(0.3, None), (None, 0.2), (0.1, 2.0)])
def test_gradient_of_the_penalty(l1: float | None, l2: float | None) -> None:
    generator = np.random.default_rng(0)
    theta = generator.standard_normal((3, 5))
    gradient = np.zeros_like(theta)
    Regularization(l1=l1, l2=l2).add_penalty_and_clip(gradient, theta, PENALISED)

    def total(theta: Array) -> float:
        weights = theta * PENALISED
        return float((l1 or 0) * np.abs(weights).sum() + (l2 or 0) / 2 * (weights**2).sum())

    assert relative_error(total, gradient, theta, generator) < TOLERANCE
    assert not gradient[:, PENALISED == 0].any()


def test_clipping_parity_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    for scale in (0.1, 10.0):
        gradient = scale * np.random.default_rng(1).standard_normal((2, 5))
        for settings, function, limit in (
            (Regularization(clip_norm=1.5), torch.nn.utils.clip_grad_norm_, 1.5),
            (Regularization(clip_value=0.5), torch.nn.utils.clip_grad_value_, 0.5),
        ):
            ours = gradient.copy()
            settings.add_penalty_and_clip(ours, np.zeros_like(ours), PENALISED)
            for run in range(2):
                parameter = torch.zeros(5, dtype=torch.float64)
                parameter.grad = torch.tensor(gradient[run])
                function([parameter], limit)
                np.testing.assert_allclose(
                    ours[run], parameter.grad.numpy(), rtol=1e-6
                )  # PyTorch adds 1e-6 to the norm


def test_a_gradient_of_zeros_is_left_alone() -> None:
    gradient = np.zeros((2, 5))
    Regularization(clip_norm=1.0).add_penalty_and_clip(gradient, gradient, PENALISED)
    assert not gradient.any()


def test_weight_decay_parity_with_adamw() -> None:
    """Adam, and weight decay past it, for fifty steps."""
    from nnexp.optim.optimizers import Adam

    torch = pytest.importorskip("torch")
    start = np.random.default_rng(0).standard_normal((1, 5))
    theta, optimizer, decay = start.copy(), Adam(0.01), Regularization(weight_decay=0.3)
    parameter = torch.tensor(start, requires_grad=True)
    theirs = torch.optim.AdamW([parameter], lr=0.01, weight_decay=0.3)
    state = optimizer.init(theta)
    for step in range(1, 51):
        direction = optimizer.update(np.sin(theta), state, step) + decay.decay(theta, np.ones(5))
        theta -= 0.01 * direction
        parameter.grad = torch.sin(parameter.detach())
        theirs.step()
    np.testing.assert_allclose(theta, parameter.detach().numpy(), rtol=1e-10)
