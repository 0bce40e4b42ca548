from itertools import product

import numpy as np
import pytest

from nnexp.component import Array
from nnexp.data.task import Task
from nnexp.nn.activations import Activation
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import Normal
from nnexp.nn.losses import Loss
from nnexp.nn.network import Network, initial_theta, layout
from tests.gradients import TOLERANCE, relative_error
from tests.nn.test_activations import ACTIVATIONS
from tests.nn.test_losses import LOSSES


@pytest.mark.parametrize(
    ("activation", "loss", "classes"), [(activation, *row) for activation, row in product(ACTIVATIONS, LOSSES)]
)
def test_gradient_of_the_composed_network(activation: Activation, loss: Loss, classes: int) -> None:
    """The mean loss of each of two runs, differentiated with respect to all its parameters."""
    generator = np.random.default_rng(5)
    task = Task(tuple(str(number) for number in range(classes)))
    layers = MLP((7, 4), activation).layers(loss.outputs(task))
    slots = layout(layers, 6)
    theta = np.stack([initial_theta(slots, Normal(0.7), generator) for _ in range(2)])
    theta += 0.1 * generator.standard_normal(theta.shape)  # biases too
    x = generator.standard_normal((9, 6))
    y = loss.encode(generator.integers(classes, size=9), task)

    def total(theta: Array) -> float:
        return float(loss.forward(Network(layers, slots, theta).forward(x), y).mean(axis=-1).sum())

    network = Network(layers, slots, theta)
    gradient = network.backward(loss.backward(network.forward(x), y) / len(x))
    assert relative_error(total, gradient, theta, generator) < TOLERANCE


def test_forward_is_the_textbook_formula() -> None:
    """The 3 x 3 batch of reference R3: rows of examples times columns of units, plus biases."""
    x = np.array([[1, 2, 3, 2.5], [2, 5, -1, 2], [-1.5, 2.7, 3.3, -0.8]])
    weight = np.array([[0.2, 0.8, -0.5, 1.0], [0.5, -0.91, 0.26, -0.5], [-0.26, -0.27, 0.17, 0.87]]).T
    layers = MLP((), ACTIVATIONS[0]).layers(3)
    theta = np.concatenate([weight.ravel(), [2, 3, 0.5]])[None]
    z = Network(layers, layout(layers, 4), theta).forward(x)
    expected = [[4.8, 1.21, 2.385], [8.9, -1.81, 0.2], [1.41, 1.051, 0.026]]
    np.testing.assert_allclose(z[0], expected, rtol=1e-12)


def test_layout_fills_theta_without_gaps() -> None:
    slots = layout(MLP((5, 3), ACTIVATIONS[0]).layers(2), 4)
    assert [(slot.layer, slot.name, slot.shape) for slot in slots] == [
        (0, "weight", (4, 5)),
        (0, "bias", (1, 5)),
        (2, "weight", (5, 3)),
        (2, "bias", (1, 3)),
        (4, "weight", (3, 2)),
        (4, "bias", (1, 2)),
    ]
    assert [slot.start for slot in slots[1:]] == [slot.stop for slot in slots[:-1]]
