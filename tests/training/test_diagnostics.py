"""Diagnostics against plain loops, a dense Hessian and finite differences; they change nothing, alone or in a stack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.core.state import Saved
from nnexp.core.task import Task
from nnexp.data.dataset import Data
from nnexp.nn.activations import Activation, Identity, ReLU, Tanh
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import Normal, VarianceScaling
from nnexp.nn.layers import Activate, BatchNorm, Dense, Layer, LayerNorm, Residual
from nnexp.nn.losses import Loss, MeanSquaredError, SparseCategoricalCrossEntropy
from nnexp.optim.optimizers import SGD
from nnexp.optim.schedules import Constant
from nnexp.training.batches import Examples
from nnexp.training.diagnostic import Diagnostic, diagnostic_names
from nnexp.training.diagnostics import (
    ActivationSize,
    DeadUnits,
    DistanceFromStart,
    EffectiveRank,
    GradientNoise,
    GradientSize,
    KernelTargetAlignment,
    Saturation,
    Sharpness,
    UpdateSize,
    WeightNorm,
    WeightSize,
    WithinClassVariability,
    _chosen,
    largest_eigenvalue,
)
from nnexp.training.loop import Training, train
from nnexp.training.stack import Recipe, Stack
from nnexp.training.trainer import EarlyStopping, Trainer
from nnexp.training.view import View
from tests.conftest import Typed, make_data, make_data_for, tries
from tests.nn.test_activations import ACTIVATIONS
from tests.nn.test_losses import LOSSES
from tests.training.test_checkpoint import at
from tests.training.test_loop import assert_same_bits, stacks

ALL: list[Diagnostic] = [
    Sharpness(),
    GradientNoise(),
    KernelTargetAlignment(),
    WithinClassVariability(),
    WeightNorm(),
    DistanceFromStart(),
    EffectiveRank(),
    Saturation(),
    ActivationSize(),
    GradientSize(),
    WeightSize(),
    UpdateSize(),
    DeadUnits(),
]
DATA = make_data(30, 5, 3)
LOSS = SparseCategoricalCrossEntropy()


def recipe_of(layers: tuple[Layer, ...], loss: Loss = LOSS, seed: int = 0) -> Recipe:
    return Recipe(layers, VarianceScaling(bias=Normal(0.1)), loss, SGD(0.2), Constant(), seed)


def viewed(data: Data, *recipes: Recipe) -> View:
    stack = Stack(recipes, data.train.x.shape[-1], np.float64)
    return View(stack, Examples.of(data.train, data.task, stack.loss, np.float64), data.task)


LAYERS = MLP(hidden=(6, 4), activation=Tanh()).layers(5, 3)
RECTIFIED = MLP(hidden=(6, 4), activation=ReLU()).layers(5, 3)
BLOCKS = (
    Dense(6),
    BatchNorm(),
    Activate(Tanh()),
    Residual((Dense(6, bias=False), LayerNorm(), Activate(Tanh()))),
    Dense(3),
)


@pytest.mark.parametrize(
    ("activation", "loss", "task"), [(a, *row) for a, row in product(ACTIVATIONS, LOSSES)], ids=repr
)
def test_product_with_the_hessian_is_the_derivative_of_the_gradient(
    activation: Activation, loss: Loss, task: Task
) -> None:
    data = make_data_for(task, loss.views, 9, 6)
    outputs = 3 if loss.views > 1 else None
    layers = MLP(hidden=(7, 4), activation=activation, outputs=outputs).layers(6, loss.outputs(task))
    assert_product(viewed(data, recipe_of(layers, loss), recipe_of(layers, loss, seed=1)))


def test_product_with_the_hessian_goes_through_blocks_and_normalization() -> None:
    view = viewed(DATA, recipe_of(BLOCKS))
    statistics = view._stack.statistics.copy()  # noqa: SLF001
    assert_product(view)
    np.testing.assert_array_equal(view._stack.statistics, statistics)  # noqa: SLF001


def assert_product(view: View) -> None:
    direction = np.random.default_rng(1).standard_normal(view.theta.shape)
    examples, theta, step = view.examples(None), view.theta.copy(), 1e-6
    times = view.curvature(examples)
    products = [times(direction) for _ in range(4)]  # recorded, checked, played
    sides = []
    for sign in (1, -1):
        view.theta[:] = theta + sign * step * direction
        sides.append(view.gradient(examples).copy())
    found = (sides[0] - sides[1]) / (2 * step)
    size = max(np.abs(found).max(), np.abs(sides[0]).max())
    assert np.abs(found - products[0]).max() < 1e-6 * size
    for again in products[1:]:
        np.testing.assert_array_equal(again, products[0])


@dataclass(frozen=True)
class Unusual(Tanh):
    """tanh by functions whose derivatives are not known."""

    def forward(self, z: Array, a: Array) -> Array:
        """Write it."""
        return np.arctanh(np.tanh(z, out=a) * 0.5, out=a)


def test_a_function_without_a_known_derivative_is_named() -> None:
    view = viewed(DATA, recipe_of((Dense(4), Activate(Unusual()), Dense(3))))
    with pytest.raises(UserError, match="derivative of NumPy's arctanh, which is not known"):
        Sharpness().look(view)


@pytest.mark.parametrize("layers", [LAYERS, RECTIFIED, BLOCKS])
def test_sharpness_is_the_largest_eigenvalue_of_a_dense_hessian(layers: tuple[Layer, ...]) -> None:
    view = viewed(DATA, *(recipe_of(layers, seed=seed) for seed in range(3)))
    expected = np.linalg.eigvalsh(hessians(view))[:, -1]
    np.testing.assert_allclose(Sharpness(tolerance=1e-5).look(view), expected, rtol=1e-4)
    np.testing.assert_allclose(Sharpness().look(view), expected, rtol=1e-2)


def hessians(view: View) -> Array:
    """Return the Hessian of every run, by finite differences."""
    examples, theta, step = view.examples(None), view.theta.copy(), 1e-6
    columns = []
    for parameter in range(theta.shape[1]):
        sides = []
        for sign in (1, -1):
            view.theta[:] = theta
            view.theta[:, parameter] += sign * step
            sides.append(view.gradient(examples).copy())
        columns.append((sides[0] - sides[1]) / (2 * step))
    view.theta[:] = theta
    found = np.stack(columns, axis=-1)
    return (found + found.mT) / 2


@pytest.mark.parametrize(("frozen", "pruned"), [((0,), 0.0), ((1,), 0.0), ((2,), 0.0), ((), 0.4), ((1,), 0.4)])
def test_curvature_and_gradients_are_of_the_parameters_that_learn(frozen: tuple[int, ...], pruned: float) -> None:
    """Those that do not are constants of the loss, and with rates by layer the loss is the same."""
    layers = MLP(hidden=(6, 4), activation=Tanh(), frozen=frozen, learning_rates=(1, 3, 0.5)).layers(5, 3)
    learns = np.random.default_rng(0).random((2, 79)) >= pruned
    stack = Stack([recipe_of(layers, seed=seed) for seed in range(2)], 5, np.float64)
    if pruned:
        stack.prune(learns.astype(np.float64), stack.theta.copy())
    for number in frozen:
        learns[:, slice(*[(0, 36), (36, 64), (64, 79)][number])] = False
    examples = Examples.of(DATA.train, DATA.task, stack.loss, np.float64)
    view, whole = View(stack, examples, DATA.task), viewed(DATA, *(recipe_of(LAYERS, seed=seed) for seed in range(2)))
    whole.theta[:] = stack.theta
    sharpness, noise = Sharpness(tolerance=1e-5).look(view), GradientNoise().look(view)
    alignment, sizes = KernelTargetAlignment().look(view), GradientSize().look(view)
    for run, (hessian, chosen) in enumerate(zip(hessians(whole), learns, strict=True)):
        assert sharpness[run] == pytest.approx(np.linalg.eigvalsh(hessian[np.ix_(chosen, chosen)])[-1], rel=1e-4)
        of_each = [*whole.loss_gradients(examples)][run][:, chosen]
        assert noise[run] == pytest.approx(np.trace(np.cov(of_each.T)) / np.sum(of_each.mean(axis=0) ** 2))
        assert sizes[run, 1] == pytest.approx(np.sqrt(np.mean((of_each.mean(axis=0) @ np.eye(79)[chosen])[36:60] ** 2)))
        kernel, n = np.zeros((30, 30)), len(examples)
        for output in range(3):
            slopes = [*whole.example_gradients(examples, _chosen(output))][run][:, chosen]
            kernel += slopes @ slopes.T
        wanted = DATA.train.targets == DATA.train.targets[:, None]
        one, other = ((np.eye(n) - 1 / n) @ matrix @ (np.eye(n) - 1 / n) for matrix in (kernel, wanted))
        assert alignment[run] == pytest.approx(np.sum(one * other) / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("spectrum", [[3.0, 1.0, -8.0], [-1.0, -2.0], [5.0], [2.0, 2.0, 2.0, 0.0, 0.0]], ids=repr)
def test_the_largest_eigenvalue_is_not_the_most_negative_one(spectrum: Sequence[float]) -> None:
    n = len(spectrum)
    basis, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((n, n)))
    matrix = basis * spectrum @ basis.T
    found = largest_eigenvalue(lambda v: v @ matrix, np.empty((2, n)), 1e-6, 100)
    np.testing.assert_allclose(found, max(spectrum), rtol=1e-9)


def loss_of(x: Array, label: int, theta: Array) -> float:
    """Return the loss of one example of the network of `LAYERS`, by the textbook."""
    sizes, begin, a = (5, 6, 4, 3), 0, x
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        weight = theta[begin : begin + inputs * outputs].reshape(inputs, outputs)
        bias = theta[begin + inputs * outputs : begin + (inputs + 1) * outputs]
        begin, z = begin + (inputs + 1) * outputs, a @ weight + bias
        a = z if number == 2 else np.tanh(z)
    return float(np.log(np.exp(a).sum()) - a[label])


def slope_of(x: Array, label: int, theta: Array) -> Array:
    """Return the gradient of that by finite differences."""
    around = np.eye(len(theta)) * 1e-6
    return np.array([loss_of(x, label, theta + one) - loss_of(x, label, theta - one) for one in around]) / 2e-6


def test_gradient_noise_is_that_of_a_plain_loop() -> None:
    recipes = [recipe_of(LAYERS, seed=seed) for seed in range(2)]
    view, part = viewed(DATA, *recipes), DATA.train
    for theta, found in zip(view.theta, GradientNoise(examples=1000).look(view), strict=True):
        of_each = [slope_of(x, int(label), theta) for x, label in zip(part.x, part.targets, strict=True)]
        covariance = np.cov(np.array(of_each).T)
        assert found == pytest.approx(np.trace(covariance) / np.sum(np.mean(of_each, axis=0) ** 2), rel=1e-5)


def test_alignment_is_the_centred_cosine_of_the_tangent_kernel_and_the_targets() -> None:
    view, n = viewed(DATA, recipe_of(LAYERS)), len(DATA.train)
    theta, labels = view.theta[0], DATA.train.targets
    network_slopes = np.empty((n, 3, len(theta)))
    for parameter in range(len(theta)):
        sides = []
        for sign in (1, -1):
            view.theta[0, parameter] += sign * 1e-6
            network = view._network()  # noqa: SLF001
            sides.append(network.forward(DATA.train.x)[0])
            view.theta[0, parameter] -= sign * 1e-6
        network_slopes[..., parameter] = (sides[0] - sides[1]) / 2e-6
    kernel = np.array([[np.sum(one * other) for other in network_slopes] for one in network_slopes])
    wanted = np.array([[float(one == other) for other in labels] for one in labels])
    centre = np.eye(n) - 1 / n
    kernel, wanted = centre @ kernel @ centre, centre @ wanted @ centre
    expected = np.trace(kernel @ wanted) / np.linalg.norm(kernel) / np.linalg.norm(wanted)
    assert KernelTargetAlignment(examples=1000).look(view)[0] == pytest.approx(expected, rel=1e-6)


def test_features_within_classes_and_their_rank_are_those_of_plain_loops() -> None:
    view, part = viewed(DATA, recipe_of(LAYERS)), DATA.train
    weight, bias, second, shift = (view.theta[0, begin:end] for begin, end in ((0, 30), (30, 36), (36, 60), (60, 64)))
    features = np.tanh(np.tanh(part.x @ weight.reshape(5, 6) + bias) @ second.reshape(6, 4) + shift)
    within, between, classes = 0.0, 0.0, sorted({*part.targets.tolist()})
    means = {
        one: np.mean([f for f, label in zip(features, part.targets, strict=True) if label == one], axis=0)
        for one in classes
    }
    for f, label in zip(features, part.targets.tolist(), strict=True):
        within += float(np.sum((f - means[label]) ** 2)) / len(part)
    for one in classes:
        between += float(np.sum((means[one] - features.mean(axis=0)) ** 2)) / len(classes)
    assert WithinClassVariability().look(view)[0] == pytest.approx(within / between, rel=1e-9)
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(features.T @ features), 0))
    share = singular / singular.sum()
    assert EffectiveRank().look(view)[0] == pytest.approx(np.exp(-np.sum(share * np.log(share))), rel=1e-6)
    assert Saturation(percentile=50.0).look(view)[0, 1] == pytest.approx(np.median(np.abs(features)), rel=1e-12)
    assert ActivationSize().look(view)[0, 1] == pytest.approx(np.sqrt(np.mean(features**2)), rel=1e-12)


def test_what_is_seen_of_a_training_is_there() -> None:
    looks = (WeightNorm(), DistanceFromStart(), WeightSize(), UpdateSize(), GradientSize(), DeadUnits())
    trainer = Trainer(epochs=4, diagnostics=looks, diagnose_every=2, snapshots=(0, 1, 2, 3))
    (outcome,) = train([recipe_of(RECTIFIED)], DATA, trainer, "float64")
    start, before, theta = (outcome.snapshots[time].theta for time in (0, 1, 2))
    at_two = outcome.history.at(2)
    assert outcome.history.times.tolist() == [0, 1, 2, 3, 4]
    assert outcome.history.known("train/weight_norm").times.tolist() == [0, 2, 4]
    assert at_two["train/weight_norm"] == pytest.approx(np.linalg.norm(theta))
    assert at_two["train/distance_from_start"] == pytest.approx(np.linalg.norm(theta - start) / np.linalg.norm(start))
    assert at_two["train/weight_size_2"] == pytest.approx(np.sqrt(np.mean(theta[36:60] ** 2)))
    assert at_two["train/update_size_2"] == pytest.approx(np.sqrt(np.mean((theta - before)[36:60] ** 2)))
    after = outcome.snapshots[3].theta  # a round is one step, 0.2 times the gradient
    assert at_two["train/gradient_size_2"] == pytest.approx(np.sqrt(np.mean((after - theta)[36:60] ** 2)) / 0.2)
    weight, bias = theta[:30].reshape(5, 6), theta[30:36]
    dead = np.mean([(DATA.train.x @ weight[:, unit] + bias[unit] <= 0).all() for unit in range(6)])
    assert at_two["train/dead_units_1"] == dead


@st.composite
def diagnosed(draw: st.DrawFn) -> tuple[list[Recipe], Data, Trainer, npt.DTypeLike]:
    """Draw runs of one shape, and all diagnostics that fit them."""
    recipes, (data, *_), trainer, dtype = draw(stacks())
    assume(len({len(recipe.layers) for recipe in recipes}) == 1)
    fitting = tuple(one for one in ALL if one.misfit(data.task, recipes[0].layers) is None)
    return recipes, data, replace(trainer, diagnostics=fitting, diagnose_every=draw(st.sampled_from([None, 2]))), dtype


@tries(30)
@given(diagnosed(), st.integers(0, 20))
def test_diagnosing_changes_no_bit_and_sees_the_same_alone_in_a_stack_and_after_a_pause(
    stack: tuple[list[Recipe], Data, Trainer, npt.DTypeLike], pause: int
) -> None:
    recipes, data, trainer, dtype = stack
    together = train(recipes, data, trainer, dtype)
    for recipe, outcome in zip(recipes, together, strict=True):
        (alone,) = train([recipe], data, trainer, dtype)
        assert_same_bits(alone, outcome)
        (unseen,) = train([recipe], data, replace(trainer, diagnostics=()), dtype)
        np.testing.assert_array_equal(unseen.theta, outcome.theta)
    paused, later = (Training(recipes, data, trainer, dtype) for _ in range(2))
    if paused.advance(pause=at(pause)):
        later.restore(Saved(paused.state()))
        later.advance()
        for run, outcome in later.outcomes().items():
            assert_same_bits(outcome, together[run])


def test_a_learning_rate_in_units_of_the_sharpness_is_one_over_it_at_the_start() -> None:
    recipes = [recipe_of(LAYERS, seed=seed) for seed in range(3)]
    of_each = Sharpness().look(viewed(DATA, *recipes))
    in_units = [
        replace(one, optimizer=SGD(rate, unit="sharpness")) for one, rate in zip(recipes, (0.5, 1, 0.1), strict=True)
    ]
    trainer = Trainer(epochs=3, early_stopping=EarlyStopping(patience=1))
    together = train(in_units, DATA, trainer, "float64")
    for recipe, sharpness, outcome in zip(in_units, of_each, together, strict=True):
        plain = replace(recipe, optimizer=SGD(recipe.optimizer.learning_rate * (1 / sharpness)))
        for other in (recipe, plain):
            assert_same_bits(train([other], DATA, trainer, "float64")[0], outcome)


def test_a_run_does_not_diverge_by_what_is_seen_of_it() -> None:
    @dataclass(frozen=True)
    class Nothing(Diagnostic):
        def look(self, view: View) -> Array:
            return np.full(len(view), np.inf)

    trainer = Trainer(epochs=2, diagnostics=(Nothing(),))
    (outcome,) = train([recipe_of(LAYERS)], DATA, trainer, "float64")
    assert outcome.diverged_step is None
    assert np.isnan(outcome.history.metrics["train/nothing"]).all()


@pytest.mark.parametrize(
    ("looks", "layers", "task", "message"),
    [
        ((DeadUnits(),), LAYERS, DATA.task, "dead_units: must have rectified units"),
        ((WithinClassVariability(),), LAYERS, Task((), "regression"), "must have classes as targets"),
        ((WeightNorm(), WeightNorm()), LAYERS, DATA.task, "weight_norm: must be in the list once"),
    ],
)
def test_a_diagnostic_that_does_not_fit_is_named(
    looks: tuple[Diagnostic, ...], layers: tuple[Layer, ...], task: Task, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        diagnostic_names(looks, task, layers)
    assert diagnostic_names((UpdateSize(), Saturation()), DATA.task, BLOCKS) == [
        *(f"train/update_size_{number}" for number in (1, 2, 3)),
        *(f"train/saturation_{number}" for number in (1, 2)),
    ]


def test_a_linear_network_has_the_curvature_of_its_data() -> None:
    """Squared error of a linear map: the Hessian is 2 x x^T / n, whatever the weights are."""
    task = Task((), "regression")
    data = make_data_for(task, 1, 20, 4)
    data = replace(data, train=replace(data.train, weights=None))
    view = viewed(data, recipe_of((Dense(1, bias=False), Activate(Identity())), MeanSquaredError()))
    x = data.train.x
    assert Sharpness(tolerance=1e-6).look(view)[0] == pytest.approx(np.linalg.eigvalsh(2 * x.T @ x / len(x))[-1])


def test_a_sweep_ranks_and_records_what_is_seen(typed: Typed, tmp_path: Path) -> None:
    """With MLflow: no point where there was no look, all that there were."""
    done = typed(
        *(
            "-m",
            "optimizer.learning_rate=0.1,0.3",
            "trainer.epochs=5",
            "sweep.metric=max/train/sharpness",
            "sweep.confirm=0",
        ),
        *(
            "trainer.diagnostics=[sharpness]",
            "trainer.diagnose_every=2",
            "sweep.figures=[{curves: {y: train/sharpness}}]",
        ),
    )
    assert done.returncode == 0, done.stderr
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    runs = [run for one in client.search_experiments() for run in client.search_runs([one.experiment_id])]
    points = [client.get_metric_history(run.info.run_id, "train/sharpness") for run in runs]
    assert [[point.step for point in curve] for curve in points if curve] == [[0, 2, 4], [0, 2, 4]]
    assert all(point.value > 0 for curve in points for point in curve)
