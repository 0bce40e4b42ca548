from collections.abc import Callable

import numpy as np
import pytest

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.nn.activations import SiLU, Tanh
from nnexp.nn.centred import Centred
from nnexp.nn.initializers import Normal
from nnexp.nn.layers import Activate, BatchNorm, Dense, Dropout, Layer, LayerNorm, Residual, Scale
from nnexp.nn.network import Layout, Network
from tests.gradients import TOLERANCE, relative_error

FAN_IN = 6
BLOCK = Residual((Dense(4), LayerNorm(), Activate(Tanh()), Dense(6)))
LAYERS: list[tuple[Layer, ...]] = [
    (Dense(5),),
    (Dense(5, bias=False),),
    (Dense(5), Activate(SiLU())),
    (Dense(5), Scale(0.3)),
    (Dense(5), Dropout(0.4)),
    (Dense(5), LayerNorm()),
    (Dense(5), BatchNorm()),
    (LayerNorm(), Dense(5)),
    (BatchNorm(), Dense(5)),
    (BLOCK,),
    (Residual((BLOCK, Dropout(0.3), Dense(6))), Dense(5)),
    (Centred((Dense(6), BatchNorm(), Activate(Tanh()), BLOCK, Dense(3))), Activate(Tanh())),
    (Dense(5), BatchNorm(), Activate(Tanh()), Dropout(0.2), Residual((Dense(5), BatchNorm())), LayerNorm(), Dense(3)),
]
"""Every layer, alone and with others; a new one adds an entry."""
by_name = pytest.mark.parametrize("layers", LAYERS, ids=repr)


def same_every_time(runs: int) -> Callable[[tuple[int, ...]], Array]:
    """Return a source of random numbers that starts anew at every call, so that a function can be differentiated."""
    return lambda shape: np.random.default_rng(3).random((runs, *shape))


def make(layers: tuple[Layer, ...], generator: np.random.Generator, runs: int = 2) -> tuple[Layout, Array, Array]:
    layout = Layout.of(layers, FAN_IN)
    theta = np.stack([layout.initial_theta(Normal(0.7), generator) for _ in range(runs)])
    theta += 0.2 * generator.standard_normal(theta.shape)  # biases, gains and shifts too
    statistics = layout.initial_statistics(theta)
    return layout, theta, statistics + 0.1 * generator.random(statistics.shape)


@by_name
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("own_data", [True, False])
def test_gradients_are_derivatives(layers: tuple[Layer, ...], *, training: bool, own_data: bool) -> None:
    """With respect to all parameters and, through a dense layer in front, to the input."""
    generator = np.random.default_rng(4)
    layers = (Dense(FAN_IN), *layers)
    layout, theta, statistics = make(layers, generator)
    x = generator.standard_normal((2, 9, FAN_IN) if own_data else (9, FAN_IN))

    def network(theta: Array) -> Network:
        return Network(layers, layout, theta, statistics.copy(), same_every_time(2))

    weight = generator.standard_normal(network(theta).forward(x).shape)

    def total(theta: Array) -> float:
        return float((weight * network(theta).forward(x, training=training)).sum())

    bound = network(theta)
    bound.forward(x, training=training)
    assert relative_error(total, bound.backward(weight.copy()), theta, generator) < TOLERANCE


@pytest.mark.parametrize("kind", [BatchNorm, LayerNorm])
def test_normalization_parity_with_pytorch(kind: type[BatchNorm] | type[LayerNorm]) -> None:
    """Outputs, gradients and running statistics over ten training steps, and the prediction after them."""
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    layout, theta, _ = make((kind(),), generator, runs=1)
    statistics = layout.initial_statistics(theta)
    ours = Network((kind(),), layout, theta, statistics)
    theirs = (torch.nn.BatchNorm1d if kind is BatchNorm else torch.nn.LayerNorm)(FAN_IN, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(theta[0, :FAN_IN]))
        theirs.bias.copy_(torch.tensor(theta[0, FAN_IN:]))
    for _ in range(10):
        x, weight = 3 * generator.standard_normal((8, FAN_IN)) + 1, generator.standard_normal((8, FAN_IN))
        y = theirs(torch.tensor(x))
        theirs.zero_grad()
        (y * torch.tensor(weight)).sum().backward()
        np.testing.assert_allclose(ours.forward(x, training=True)[0], y.detach().numpy(), rtol=1e-11, atol=1e-13)
        gradient = ours.backward(weight[None].copy())[0]
        np.testing.assert_allclose(gradient[:FAN_IN], theirs.weight.grad.numpy(), rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(gradient[FAN_IN:], theirs.bias.grad.numpy(), rtol=1e-11, atol=1e-13)
    theirs.eval()
    x = generator.standard_normal((5, FAN_IN))
    np.testing.assert_allclose(ours.forward(x)[0], theirs(torch.tensor(x)).detach().numpy(), rtol=1e-11, atol=1e-13)


def test_dropout_keeps_the_mean_and_does_nothing_when_predicting() -> None:
    layers = (Dropout(0.3), Dense(1))
    layout, theta, statistics = make(layers, np.random.default_rng(0), runs=1)
    generator = np.random.default_rng(1)
    seen: list[Array] = []

    def uniform(shape: tuple[int, ...]) -> Array:
        seen.append(generator.random(shape))
        return seen[-1]

    network = Network(layers, layout, theta, statistics, uniform)
    x = np.ones((20_000, FAN_IN))
    predicted = network.forward(x).copy()
    assert not seen
    trained = network.forward(x, training=True)
    dropped = seen[0] < 0.3
    assert abs(dropped.mean() - 0.3) < 0.01
    expected = np.where(dropped, 0, 1 / 0.7) @ theta[0, :FAN_IN, None] + theta[0, FAN_IN]
    np.testing.assert_allclose(trained[0], expected, rtol=1e-12, atol=1e-12)
    assert abs(trained.mean() - predicted.mean()) < 0.05


def test_a_block_that_changes_the_number_of_units_is_refused() -> None:
    with pytest.raises(UserError, match="a residual block must have as many outputs as inputs, not 4"):
        Layout.of([Residual((Dense(4),))], FAN_IN)
