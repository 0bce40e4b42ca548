"""A trained network, asked again: by its names, in portions, in the units of the data."""

from dataclasses import replace

import numpy as np
import pytest

from nnexp.core.component import Array
from nnexp.data.bundled import Diabetes
from nnexp.nn.activations import ReLU, Sigmoid, Tanh
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import Normal
from nnexp.nn.layers import Activate, BatchNorm, Dense, Residual
from nnexp.nn.losses import BinaryCrossEntropy, Loss, MeanSquaredError, SparseCategoricalCrossEntropy
from nnexp.nn.network import CHUNK
from nnexp.optim.optimizers import Adam
from nnexp.optim.schedules import Constant
from nnexp.training.loop import train
from nnexp.training.model import Trained
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer
from tests.conftest import make_data

DATA = make_data(40, 5, 3)
LAYERS = (Dense(6), BatchNorm(), Activate(Tanh()), Residual((Dense(6), Activate(Tanh()))), Dense(3))
RECIPE = Recipe(LAYERS, Normal(0.5), SparseCategoricalCrossEntropy(), Adam(0.01), Constant(), 0)


def trained(recipe: Recipe = RECIPE, dtype: str = "float64") -> Trained:
    (outcome,) = train([recipe], DATA, Trainer(epochs=20, batch_size=10), dtype)
    return Trained.of(recipe, outcome.learned, DATA)


def rebuilt(named: dict[str, Array], x: Array) -> Array:
    """Return the logits of the network above, from its named parameters alone."""
    z = x @ named["0.weight"] + named["0.bias"]
    normal = (z - named["1.mean"]) / np.sqrt(named["1.variance"] + 1e-5)
    a = np.tanh(named["1.gain"] * normal + named["1.shift"])
    a = a + np.tanh(a @ named["3.0.weight"] + named["3.0.bias"])
    return np.asarray(a @ named["4.weight"] + named["4.bias"])


def test_parameters_by_name_make_the_same_network() -> None:
    network = trained()
    named = network.parameters()
    assert sum(array.size for array in named.values()) == network.learned.theta.size + network.learned.statistics.size
    z = rebuilt(named, DATA.test.x)
    np.testing.assert_allclose(network.logits(DATA.test.x), z, rtol=1e-12)
    np.testing.assert_array_equal(network.decide(DATA.test.x), z.argmax(axis=1))
    powers = np.exp(z)
    np.testing.assert_allclose(
        network.probabilities(DATA.test.x), powers / powers.sum(axis=1, keepdims=True), rtol=1e-12
    )


@pytest.mark.parametrize("rows", [1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_a_table_in_portions_is_predicted_as_its_rows_are(rows: int) -> None:
    x = np.random.default_rng(0).standard_normal((rows, 5))
    network = trained()
    np.testing.assert_allclose(network.logits(x), rebuilt(network.parameters(), x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(network.logits(x)[-1:], network.logits(x[-1:]), rtol=1e-12, atol=1e-12)


def test_answers_do_not_change_with_what_was_asked_before() -> None:
    network = trained()
    first = network.logits(DATA.test.x)
    kept = first.copy()
    network.logits(-DATA.test.x)
    np.testing.assert_array_equal(first, kept)


def test_a_network_of_float32_answers_in_float32() -> None:
    logits = trained(dtype="float32").logits(DATA.test.x)
    assert logits.dtype == np.float32


@pytest.mark.parametrize(
    ("loss", "output"), [(BinaryCrossEntropy(), None), (MeanSquaredError(), Sigmoid())], ids=["logits", "a sigmoid"]
)
def test_the_probabilities_of_one_output_are_two_that_sum_to_one(loss: Loss, output: Sigmoid | None) -> None:
    data = make_data(40, 5, 2)
    recipe = replace(RECIPE, layers=MLP(activation=ReLU(), output=output).layers(5, 1), loss=loss)
    (outcome,) = train([recipe], data, Trainer(epochs=20), "float64")
    network = Trained.of(recipe, outcome.learned, data)
    p = network.probabilities(data.test.x)
    z = network.logits(data.test.x)[:, 0]
    np.testing.assert_allclose(p[:, 1], z if output else 1 / (1 + np.exp(-z)), rtol=1e-12)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(network.decide(data.test.x), p[:, 1] > 0.5)


def test_numbers_are_in_the_units_of_the_targets() -> None:
    data = Diabetes(standardize_targets=True).load()
    assert data.target_scaling is not None
    recipe = replace(RECIPE, layers=MLP().layers(10, 1), loss=MeanSquaredError())
    (outcome,) = train([recipe], data, Trainer(epochs=20), "float64")
    network = Trained.of(recipe, outcome.learned, data)
    raw = Diabetes().load().train.targets
    expected = network.logits(data.test.x) * raw.std() + raw.mean()
    np.testing.assert_allclose(network.numbers(data.test.x), expected, rtol=1e-9)


def test_extreme_logits_make_certain_probabilities_without_a_warning() -> None:
    network = trained()
    certain = Trained.of(RECIPE, replace(network.learned, theta=1e150 * network.learned.theta), DATA)
    p = certain.probabilities(DATA.test.x)
    assert set(p.ravel().tolist()) == {0.0, 1.0}
