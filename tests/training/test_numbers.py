"""Every number of every component can differ between the runs of a stack."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from nnexp.core.component import Component, annotations, bare, satisfies
from nnexp.core.task import Task
from nnexp.nn.activations import Tanh
from nnexp.nn.initializers import Normal
from nnexp.nn.layers import Activate, BatchNorm, Dense, Dropout, Layer, LayerNorm, Scale
from nnexp.nn.losses import MeanSquaredError
from nnexp.optim.optimizers import SGD
from nnexp.optim.regularization import Regularization
from nnexp.optim.schedules import Constant
from nnexp.training.loop import train
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer
from tests.conftest import make_data_for
from tests.nn.test_activations import ACTIVATIONS
from tests.nn.test_initializers import DEVIATIONS
from tests.nn.test_losses import LOSSES, NUMBERS
from tests.optim.test_optimizers import OPTIMIZERS
from tests.optim.test_schedules import TORCH

FEATURES = 5
LAYERS: list[Layer] = [Scale(0.7), Dropout(0.3), LayerNorm(), BatchNorm(), *map(Activate, ACTIVATIONS)]
REGULARIZATION = Regularization(l1=0.01, l2=0.02, weight_decay=0.1, clip_value=0.3, clip_norm=0.5)
COMPONENTS: list[tuple[str, Component, Task]] = [
    *[("layer", layer, NUMBERS) for layer in LAYERS],
    *[("initializer", initializer, NUMBERS) for initializer, _ in DEVIATIONS],
    *[("loss", loss, task) for loss, task in LOSSES],
    *[("optimizer", optimizer, NUMBERS) for optimizer in OPTIMIZERS],
    *[("schedule", replace(schedule, warmup=1.5), NUMBERS) for schedule, _, _ in TORCH],
    ("regularization", REGULARIZATION, NUMBERS),
]


def numbers(component: Component, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield where in a component its numbers are."""
    for name, hint in annotations(type(component)).items():
        value = getattr(component, name)
        if isinstance(value, Component):
            yield from numbers(value, (*path, name))
        elif isinstance(value, tuple):
            yield from ((*path, name, index) for index, item in enumerate(value) if isinstance(item, float))
        elif bare(hint) is float and value is not None:
            yield (*path, name)


def changed(component: Component, path: tuple[str | int, ...]) -> Component:
    """Return the component with one of its numbers made different, within its range."""
    name, *rest = path
    assert isinstance(name, str)
    value, hint = getattr(component, name), annotations(type(component))[name]
    if isinstance(value, Component):
        return replace(component, **{name: changed(value, tuple(rest))})
    if isinstance(value, tuple):
        return replace(
            component, **{name: tuple(item + (0.25 if index == rest[0] else 0) for index, item in enumerate(value))}
        )
    other = next(
        other for other in (value * 0.75, value + 1, value + 0.25) if other != value and satisfies(other, hint)
    )
    return replace(component, **{name: other})


def recipe(kind: str, component: Component, task: Task) -> Recipe:
    """Return a recipe in which a component has its place."""
    basis = Recipe((), Normal(0.5), MeanSquaredError(), SGD(0.1), Constant(), 1)
    middle = component if isinstance(component, Layer) else Activate(Tanh())
    if not isinstance(component, Layer):
        basis = replace(basis, **{kind: component})  # type: ignore[arg-type]
    return replace(basis, layers=(Dense(4), middle, Dense(basis.loss.outputs(task) or 2)))


CASES = [
    pytest.param(kind, component, task, path, id=f"{component!r}-{'.'.join(map(str, path))}")
    for kind, component, task in COMPONENTS
    for path in numbers(component)
]


@pytest.mark.parametrize(("kind", "component", "task", "path"), CASES)
def test_a_sweep_of_one_number_is_one_stack(
    kind: str, component: Component, task: Task, path: tuple[str | int, ...]
) -> None:
    pair = [recipe(kind, chosen, task) for chosen in (component, changed(component, path))]
    data = make_data_for(task, pair[0].loss.views, 12, FEATURES)
    trainer = Trainer(epochs=6, batch_size=4)
    together = train(pair, data, trainer, "float64")
    for chosen, outcome in zip(pair, together, strict=True):
        (alone,) = train([chosen], data, trainer, "float64")
        np.testing.assert_array_equal(outcome.theta, alone.theta)
        np.testing.assert_array_equal(outcome.history.metrics["train/loss"], alone.history.metrics["train/loss"])
