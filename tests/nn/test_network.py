from itertools import pairwise, product

import numpy as np
import pytest

from nnexp.core.component import Array
from nnexp.core.task import Task
from nnexp.nn.activations import Activation, Identity, ReLU, Softmax
from nnexp.nn.architectures import MLP, Architecture, Layers, Logistic, Uniform
from nnexp.nn.initializers import Constant, Normal
from nnexp.nn.layers import Activate, Dense
from nnexp.nn.losses import Loss, SparseCategoricalCrossEntropy
from nnexp.nn.network import Layout, Network
from tests.gradients import TOLERANCE, relative_error
from tests.nn.test_activations import ACTIVATIONS
from tests.nn.test_losses import LOSSES, make_targets

NOTHING = np.zeros((1, 0))


@pytest.mark.parametrize(
    ("activation", "loss", "task"), [(a, *row) for a, row in product(ACTIVATIONS, LOSSES)], ids=repr
)
def test_gradient_of_the_composed_network(activation: Activation, loss: Loss, task: Task) -> None:
    """The mean loss of each of two runs, differentiated with respect to all its parameters."""
    generator = np.random.default_rng(5)
    layers = MLP(hidden=(7, 4), activation=activation, outputs=3 if loss.views > 1 else None).layers(
        6, loss.outputs(task)
    )
    layout = Layout.of(layers, 6)
    theta = np.stack([layout.initial_theta(Normal(0.7, bias=Normal(0.1)), generator) for _ in range(2)])
    x = generator.standard_normal((9 * loss.views, 6))
    y = loss.encode(make_targets(task, 9, generator), task)

    def network(theta: Array) -> Network:
        return Network(layers, layout, theta, np.zeros((2, 0)))

    def total(theta: Array) -> float:
        return float(loss.forward(network(theta).forward(x), y).mean(axis=-1).sum())

    bound = network(theta)
    gradient = bound.backward(loss.backward(bound.forward(x), y) / len(y))
    assert relative_error(total, gradient, theta, generator) < TOLERANCE


def dense(x: Array, *pairs: tuple[Array, Array]) -> Array:
    """Return the output of dense layers without activations, given weights (fan_in, units) and biases."""
    layers = [Dense(weight.shape[1]) for weight, _ in pairs]
    theta = np.concatenate([part.ravel() for pair in pairs for part in pair])[None]
    y: Array = Network(layers, Layout.of(layers, x.shape[1]), theta, NOTHING).forward(x)[0]
    return y


BATCH = np.array([[1, 2, 3, 2.5], [2, 5, -1, 2], [-1.5, 2.7, 3.3, -0.8]])
WEIGHT = np.array([[0.2, 0.8, -0.5, 1.0], [0.5, -0.91, 0.26, -0.5], [-0.26, -0.27, 0.17, 0.87]]).T
BIAS = np.array([2, 3, 0.5])


def test_forward_values_of_reference_r3() -> None:
    """The batches of the tutorial, one layer and two."""
    expected = [[4.8, 1.21, 2.385], [8.9, -1.81, 0.2], [1.41, 1.051, 0.026]]
    np.testing.assert_allclose(dense(BATCH, (WEIGHT, BIAS)), expected, rtol=1e-12)
    weight = np.array([[0.1, -0.14, 0.5], [-0.5, 0.12, -0.33], [-0.44, 0.73, -0.13]]).T
    expected = [[0.5031, -1.04185, -2.03875], [0.2434, -2.7332, -5.7633], [-0.99314, 1.41254, -0.35655]]
    np.testing.assert_allclose(dense(BATCH, (WEIGHT, BIAS), (weight, np.array([-1, 2, -0.5]))), expected, rtol=1e-12)


THREE_UNITS = np.array([[0.9, 0.1, -0.1, -0.3], [0.5, -0.91, 0.3, 0.2], [-0.1, 0.26, -0.26, -0.29]]).T
SINGLE: list[tuple[list[float], Array, list[float], list[float]]] = [
    ([1.2, 2.3, 3.1], np.array([[3.1], [2.1], [8.7]]), [3], [38.52]),
    ([1.2, 2.3, 3.1], THREE_UNITS[:3], [2, 3, 0.5], [3.0, 2.437, 0.172]),  # the source writes out three of four inputs
    ([1.2, 2.3, 3.1, 4.2], THREE_UNITS, [2, 3, 0.5], [1.74, 3.277, -1.046]),
    ([1, 2, 3, 2.5], np.array([[0.2], [0.8], [-0.5], [1.0]]), [2], [4.8]),
]


@pytest.mark.parametrize(("x", "weight", "bias", "expected"), SINGLE)
def test_neurons_of_reference_r3(x: list[float], weight: Array, bias: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(dense(np.array([x]), (weight, np.array(bias)))[0], expected, rtol=1e-12)


def test_layers_drawn_from_the_legacy_seed_of_reference_r3() -> None:
    """4-5-2-1 on the tutorial's 3 x 4 batch, 0.1 N(0, 1) from RandomState(0)."""
    legacy = np.random.RandomState(0)
    sizes = [4, 5, 2, 1]
    pairs = [(0.1 * legacy.randn(n, m), np.zeros(m)) for n, m in pairwise(sizes)]
    np.testing.assert_allclose(dense(BATCH, *pairs)[:, 0], [-0.00087785, 0.00167789, 0.00036128], atol=5e-9)


def test_an_untrained_softmax_network_knows_nothing() -> None:
    """Reference R3: 2-3-3 on points near the origin starts at a third for every class."""
    layers = MLP(hidden=(3,), activation=ReLU(), output=Softmax()).layers(2, 3)
    layout = Layout.of(layers, 2)
    theta = layout.initial_theta(Normal(0.01), np.random.default_rng(0))[None]
    p = Network(layers, layout, theta, NOTHING).forward(np.array([[0.0, 0.0], [0.1, 0.2]]))
    np.testing.assert_allclose(p, 1 / 3, atol=1e-4)


SHAPES: list[tuple[Architecture, list[tuple[str, tuple[int, ...]]]]] = [
    (MLP(hidden=(5, 3)), [("0.weight", (4, 5)), ("2.weight", (5, 3)), ("4.weight", (3, 2))]),
    (MLP(hidden=()), [("0.weight", (4, 2))]),
    (Logistic(), [("0.weight", (4, 2))]),
    (
        Uniform(width=3, depth=3),
        [("0.weight", (4, 3)), ("2.weight", (3, 3)), ("4.weight", (3, 3)), ("6.weight", (3, 2))],
    ),
    (MLP(hidden=(5,), normalization="layer", dropout=0.5), [("0.weight", (4, 5)), ("4.weight", (5, 2))]),
    (Layers(hidden=(Dense(7), Activate(Identity()))), [("0.weight", (4, 7)), ("2.weight", (7, 2))]),
]


@pytest.mark.parametrize(("architecture", "weights"), SHAPES, ids=repr)
def test_architectures_have_their_layers(
    architecture: Architecture, weights: list[tuple[str, tuple[int, ...]]]
) -> None:
    slots = Layout.of(architecture.layers(4, 2), 4).parameters
    assert [(slot.title, slot.shape) for slot in slots if slot.name == "weight"] == weights
    assert [slot.begin for slot in slots[1:]] == [slot.end for slot in slots[:-1]], "theta without gaps"


def test_biases_start_at_zero_unless_they_are_given_a_start() -> None:
    layers = MLP(hidden=(3,), normalization="batch").layers(2, 1)
    layout = Layout.of(layers, 2)
    theta = layout.initial_theta(Normal(bias=Constant(value=0.5)), np.random.default_rng(0))
    starts = {slot.title: theta[slot.begin : slot.end] for slot in layout.parameters}
    assert set(starts["0.bias"]) == {0.5}
    assert set(starts["1.gain"]) == {1.0}
    assert set(starts["1.shift"]) == {0.0}
    theta = layout.initial_theta(Normal(), np.random.default_rng(0))
    assert not theta[layout.parameters[1].begin : layout.parameters[1].end].any()


def test_outputs_follow_from_data_and_loss() -> None:
    assert SparseCategoricalCrossEntropy().outputs(Task(("a", "b", "c"))) == 3
