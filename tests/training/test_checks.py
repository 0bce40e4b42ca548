"""What is right passes the checks, and what is wrong is found where it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given

from nnexp.config.compose import compose_experiment
from nnexp.core.component import Array, Number
from nnexp.core.errors import UserError
from nnexp.data.dataset import Data
from nnexp.nn.activations import Activation, ReLU, Tanh
from nnexp.nn.architectures import Layers
from nnexp.nn.layers import Activate, Cell, Dense, Layer
from nnexp.nn.losses import BinaryCrossEntropy, Loss
from nnexp.optim.optimizers import SGD, State
from nnexp.training.checks import by_heart, is_same_in_a_stack, start_of, unrecorded
from nnexp.training.gradient_check import gradients
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer
from tests.conftest import tries
from tests.training.test_loop import stacks


@dataclass(frozen=True)
class Steep(Tanh):
    """Forgets a square."""

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:  # noqa: ARG002
        return gradient * (1 - a)


@dataclass(frozen=True)
class Two(ReLU):
    """Is wrong at its kink alone, where any slope from 0 to 1 is right."""

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:  # noqa: ARG002
        return gradient * np.where(z == 0, 2.0, z > 0)


@dataclass(frozen=True)
class Centred(Tanh):
    """Takes the mean over all runs."""

    def forward(self, z: Array, a: Array) -> Array:
        return super().forward(z - z.mean(), a)


@dataclass(frozen=True)
class Remembered(Tanh):
    """Does what a tape does not see."""

    def forward(self, z: Array, a: Array) -> Array:
        return super().forward(z + float(np.array(z, subok=False).sum()), a)


@dataclass(frozen=True)
class FirstRow(Dense):
    """Its bias hears of one example."""

    def differentiate(self, gradient: Array, cell: Cell) -> None:
        super().differentiate(gradient, cell)
        np.copyto(cell.gradients["bias"], gradient[..., :1, :])


@dataclass(frozen=True)
class Narrow(Dense):
    """Returns a gradient of another shape."""

    def backward(self, gradient: Array, cell: Cell) -> Array:  # noqa: ARG002
        return gradient


@dataclass(frozen=True)
class Half(BinaryCrossEntropy):
    """Has half the gradient."""

    def backward(self, z: Array, y: Array) -> Array:
        half: Array = super().backward(z, y) / 2
        return half


@dataclass(frozen=True)
class Unseen(SGD):
    """Does what a tape does not see."""

    def update(self, gradient: Array, state: State, step: Number) -> Array:  # noqa: ARG002
        return gradient + float(np.array(gradient, subok=False).sum())


def made(hidden: Sequence[Layer], loss: Loss | None = None) -> tuple[Recipe, Data]:
    experiment = replace(compose_experiment(), architecture=Layers(hidden=tuple(hidden)))
    experiment = experiment if loss is None else replace(experiment, loss=loss)
    data = experiment.dataset.load()
    return experiment.recipe(data), data


def with_activation(activation: Activation) -> tuple[Recipe, Data]:
    return made([Dense(6), Activate(activation), Dense(5)])


@tries(40)
@given(stacks())
def test_every_component_is_right(stack: tuple[list[Recipe], list[Data], Trainer, str]) -> None:
    (recipe, *_), (data, *_), _, dtype = stack
    assert [(one.name, one.wrong) for one in gradients(recipe, data) if one.wrong] == []
    assert is_same_in_a_stack(recipe, data, dtype)
    assert unrecorded(recipe, data) == []


WRONG: list[tuple[Sequence[Layer], Loss | None, str, str]] = [
    ([Dense(6), Activate(Steep()), Dense(5), Activate(Tanh())], None, "1 Steep", "input["),
    ([Dense(6), Activate(Tanh()), FirstRow(5), Activate(Tanh())], None, "2 FirstRow", "2.bias[0, "),
    ([Dense(6), Activate(Tanh())], Half(), "loss", "input["),
    ([Dense(6), Activate(ReLU()), Activate(Two())], None, "2 Two", "input["),
]


@pytest.mark.parametrize(("hidden", "loss", "name", "of"), WRONG)
@pytest.mark.parametrize("every", [False, True])
def test_a_wrong_gradient_is_found_where_it_is(
    hidden: Sequence[Layer], loss: Loss | None, name: str, of: str, *, every: bool
) -> None:
    found = {one.name: one for one in gradients(*made(hidden, loss), every=every)}
    wrong = {one.name: one.wrong for one in found.values() if one.wrong is not None}
    assert {*wrong} - {"network"} == {name}
    assert wrong[name].of.startswith(of)
    assert abs(wrong[name].claimed - wrong[name].found) > 1e-3 * abs(wrong[name].found)
    if name == "loss":
        np.testing.assert_allclose(wrong[name].claimed, wrong[name].found / 2, rtol=1e-6)


def test_a_kink_is_told_as_one() -> None:
    recipe, data = made([Dense(6), Activate(ReLU()), Activate(ReLU())])
    found = {one.name: one for one in gradients(recipe, data, every=True)}
    assert found["1 ReLU"].kinks == 0
    assert found["2 ReLU"].kinks > 20
    assert [(one.name, one.wrong) for one in found.values() if one.wrong] == []


def test_every_single_number_can_be_compared() -> None:
    recipe, data = made([Dense(6), Activate(Tanh())])
    first, second, third, *_ = gradients(recipe, data, every=True)
    assert [len(one.slopes) for one in (first, second, third)] == [
        10 + 64 * 6 + 6 + 10 + 24 * 64,
        10 + 24 * 6,
        10 + 6 + 1 + 10 + 24 * 6,
    ]


def test_a_gradient_of_another_shape_is_refused_in_a_line() -> None:
    with pytest.raises(UserError, match=r"^layer 0 Narrow: backward must return an array of the input's shape, \(1, 2"):
        gradients(*made([Narrow(6)]))


def test_a_component_that_mixes_runs_has_other_bits_in_a_stack() -> None:
    assert not is_same_in_a_stack(*with_activation(Centred()), np.float64)
    assert is_same_in_a_stack(*with_activation(Tanh()), np.float64)


def test_what_cannot_be_recorded_is_named() -> None:
    recipe, data = with_activation(Remembered())
    assert unrecorded(recipe, data) == ["1 Remembered"]
    assert unrecorded(replace(recipe, optimizer=Unseen()), data) == ["1 Remembered", "optimizer Unseen"]


def test_the_start_of_the_default_network() -> None:
    experiment = compose_experiment()
    data = experiment.dataset.load()
    recipe = experiment.recipe(data)
    start = start_of(recipe, data)
    assert sum(layer.parameters for layer in start.layers) == 1185
    assert [(layer.fan_in, layer.fan_out) for layer in start.layers] == [(64, 16), (16, 16), (16, 8), (8, 8), (8, 1)]
    assert start.guess == pytest.approx(np.log(2))
    assert start.loss == pytest.approx(np.log(2), abs=1e-3)
    assert start.layers[0].weights == pytest.approx(0.01, rel=0.1)
    assert by_heart(recipe, data).right == 8


def test_a_network_that_starts_all_the_same_learns_nothing_by_heart() -> None:
    experiment = compose_experiment(["initializer=zeros", "architecture.activation=relu"])
    data = experiment.dataset.load()
    learned = by_heart(experiment.recipe(data), data)
    assert learned.right < learned.examples == 8


@dataclass(frozen=True)
class Forgetful(Tanh):
    """Forgets to return its output."""

    def forward(self, z: Array, a: Array) -> Array:
        np.tanh(z, out=a)
        return None  # type: ignore[return-value]


def test_an_output_that_is_not_returned_is_told_with_its_layer() -> None:
    experiment = compose_experiment()
    data = experiment.dataset.load()
    recipe = experiment.recipe(data)
    layers = (recipe.layers[0], Activate(Forgetful()), *recipe.layers[2:])
    with pytest.raises(UserError, match="1 Forgetful: must return from `forward` an array of 16 units, not NoneType"):
        start_of(replace(recipe, layers=layers), data)
