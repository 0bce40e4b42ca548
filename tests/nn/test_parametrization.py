"""The maximal update parametrization against table 8 of its paper, and by its effect."""

from collections.abc import Sequence

import numpy as np
import pytest

from nnexp.core.component import Array
from nnexp.nn.activations import ReLU
from nnexp.nn.architectures import Uniform
from nnexp.nn.initializers import VarianceScaling
from nnexp.nn.layers import Scale
from nnexp.nn.losses import SparseCategoricalCrossEntropy
from nnexp.nn.network import Layout
from nnexp.nn.parametrization import maximal_update
from nnexp.optim.optimizers import SGD, Adam, Optimizer
from nnexp.optim.schedules import Constant, Time
from nnexp.training.batches import Examples
from nnexp.training.loop import train
from nnexp.training.stack import Recipe, Stack
from nnexp.training.trainer import Trainer
from tests.conftest import make_data

BASE, FEATURES, CLASSES = 64, 20, 5
DATA = make_data(64, FEATURES, CLASSES)


def recipe(width: int, optimizer: Optimizer, base_width: int | None) -> Recipe:
    architecture = Uniform(
        width=width,
        depth=2,
        activation=ReLU(),
        parametrization="standard" if base_width is None else "maximal_update",
        base_width=base_width or BASE,
    )
    initializer = VarianceScaling(gain=2.0)
    layers = architecture.layers(FEATURES, CLASSES)
    if base_width is not None:
        layers = maximal_update(layers, base_width, adaptive=optimizer.adaptive)
    loss = SparseCategoricalCrossEntropy()
    return Recipe(layers, initializer, loss, optimizer, Constant(), 0)


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.01)])
def test_at_the_base_width_it_is_the_standard_one(optimizer: Optimizer) -> None:
    runs = [train([recipe(BASE, optimizer, base)], DATA, Trainer(epochs=5), "float64")[0] for base in (None, BASE)]
    np.testing.assert_array_equal(runs[0].theta, runs[1].theta)


@pytest.mark.parametrize(
    ("adaptive", "inputs", "hidden", "outputs", "bias"), [(False, 4.0, 1.0, 4.0, 4.0), (True, 1.0, 0.25, 1.0, 1.0)]
)
def test_learning_rates_of_table_8(
    *, adaptive: bool, inputs: float, hidden: float, outputs: float, bias: float
) -> None:
    layers = recipe(4 * BASE, Adam() if adaptive else SGD(), BASE).layers
    layout = Layout.of(layers, FEATURES)
    (factors,) = layout.learning_rates(layers, np.empty((1, layout.parameters[-1].end)))
    by_title = {slot.title: set(factors[slot.begin : slot.end]) for slot in layout.parameters}
    assert by_title == {
        "0.weight": {inputs},
        "0.bias": {bias},
        "2.weight": {hidden},
        "2.bias": {bias},
        "5.weight": {outputs},
        "5.bias": {1.0},
    }
    assert layers[4] == Scale(0.25)


def test_initial_variances_of_table_8() -> None:
    layers = recipe(8 * BASE, SGD(), BASE).layers
    layout = Layout.of(layers, FEATURES)
    theta = layout.initial_theta(VarianceScaling(), np.random.default_rng(0))
    layout.scale(theta[None], layers)
    variances = {slot.title: theta[slot.begin : slot.end].var() for slot in layout.parameters}
    np.testing.assert_allclose(variances["0.weight"], 1 / FEATURES, rtol=0.1)
    np.testing.assert_allclose(variances["2.weight"], 1 / (8 * BASE), rtol=0.1)
    np.testing.assert_allclose(variances["5.weight"], 1 / BASE, rtol=0.1)


def activation_sizes(width: int, base_width: int | None) -> Sequence[float]:
    """Return how far the hidden layers' and the output's activations move in a few steps of Adam, root mean square."""
    stack = Stack([recipe(width, Adam(0.01), base_width)], FEATURES, "float64")
    examples = Examples.of(DATA.train, DATA.task, stack.loss, "float64")

    def forward() -> list[Array]:
        stack.network.forward(examples.x)
        hidden = [cell.saved["x"].copy() for cell in stack.network._cells if "x" in cell.saved]  # noqa: SLF001
        return [*hidden[1:], stack.network.forward(examples.x).copy()]

    before = forward()
    for step in range(4):
        stack.set_learning_rate(Time(step, step, 4, 4))
        stack.step(examples)
    return [float(np.sqrt(((new - old) ** 2).mean())) for new, old in zip(forward(), before, strict=True)]


def test_coordinates_stay_put_as_the_width_grows() -> None:
    """From width 64 to 1024, activations move as far under it, and many times as far under the standard one."""
    widths = [64, 128, 256, 512, 1024]
    ours = np.array([activation_sizes(width, BASE) for width in widths])
    standard = np.array([activation_sizes(width, None) for width in widths])
    slopes = [np.polyfit(np.log(widths), np.log(sizes[:, -1]), 1)[0] for sizes in (ours, standard)]
    assert abs(slopes[0]) < 0.2, ours
    assert slopes[1] > 0.5, standard
    assert (ours[-1] / ours[0] < 2).all()
