"""Whole trainings against PyTorch, in float64."""

import numpy as np
import pytest

from nnexp.core.component import Array
from nnexp.nn.activations import Tanh
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import Normal
from nnexp.nn.losses import SparseCategoricalCrossEntropy
from nnexp.optim.optimizers import Optimizer
from nnexp.optim.schedules import Constant
from nnexp.training.loop import train
from nnexp.training.model import Trained
from nnexp.training.stack import Recipe, Stack
from nnexp.training.trainer import Trainer
from tests.conftest import make_data
from tests.optim.test_optimizers import STEPS, TORCH

DATA = make_data(40, 5, 3)


@pytest.mark.parametrize(("optimizer", "name", "settings"), TORCH, ids=repr)
def test_fifty_steps_of_a_small_network(optimizer: Optimizer, name: str, settings: dict[str, object]) -> None:
    """5-8-3, tanh, softmax cross-entropy, full batch: all parameters after the last step."""
    torch = pytest.importorskip("torch")
    recipe = Recipe(
        MLP(hidden=(8,), activation=Tanh()).layers(5, 3),
        Normal(0.5),
        SparseCategoricalCrossEntropy(),
        optimizer,
        Constant(),
        0,
    )
    start = Trained.of(recipe, Stack([recipe], 5, "float64").learned(0), DATA).parameters()
    (outcome,) = train([recipe], DATA, Trainer(epochs=STEPS), "float64")
    ours = Trained.of(recipe, outcome.learned, DATA).parameters()

    torch.set_default_dtype(torch.float64)
    try:
        network = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))

        def arrays() -> dict[str, Array]:
            return {
                key: value.detach().numpy().T.reshape(start[key].shape) for key, value in network.state_dict().items()
            }

        network.load_state_dict(
            {key: torch.tensor(start[key].T.reshape(value.shape)) for key, value in network.state_dict().items()}
        )
        theirs = getattr(torch.optim, name)(network.parameters(), **settings)
        x, labels = torch.tensor(DATA.train.x), torch.tensor(DATA.train.targets)
        for _ in range(STEPS):
            theirs.zero_grad()
            torch.nn.functional.cross_entropy(network(x), labels).backward()
            theirs.step()
        for key, value in arrays().items():
            np.testing.assert_allclose(ours[key], value, rtol=1e-10, atol=1e-11, err_msg=key)
    finally:
        torch.set_default_dtype(torch.float32)
