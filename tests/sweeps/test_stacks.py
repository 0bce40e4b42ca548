"""Which runs share a stack: exactly those that can, as many as have room, and each in one."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from math import ceil
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnexp.config.compose import compose_experiment
from nnexp.core.component import Component, annotations, bare, satisfies
from nnexp.nn.activations import ReLU, Tanh
from nnexp.nn.layers import Activate, BatchNorm, Dense, Dropout, LayerNorm, Residual, Scale
from nnexp.nn.losses import MeanSquaredError
from nnexp.optim.regularization import Regularization
from nnexp.runs.prepare import Ready, load, prepare
from nnexp.sweeps.stacks import stack_key
from nnexp.training.loop import train
from nnexp.training.stack import Recipe
from nnexp.training.stacking import shape_of, stacked
from tests.conftest import tries
from tests.nn.test_activations import ACTIVATIONS
from tests.nn.test_losses import LOSSES
from tests.optim.test_optimizers import OPTIMIZERS
from tests.sweeps.batches import stacks_of
from tests.training.test_loop import INITIALIZER, SCHEDULE, assert_same_bits

COMPONENTS: list[Component] = [
    *ACTIVATIONS,
    *OPTIMIZERS,
    *SCHEDULE,
    *INITIALIZER,
    *[loss for loss, _ in LOSSES],
    *[Regularization(), Regularization(l1=0.1, l2=0.2), Regularization(clip_norm=1.0, biases=True)],
    *[Dense(3), Dense(3, bias=False), Activate(ReLU()), Scale(0.5), Dropout(0.2), BatchNorm(), LayerNorm()],
    *[Residual((Dense(2), Dropout(0.1))), Residual((Dense(2),)), Residual((Activate(Tanh()),)), Residual()],
]


@st.composite
def changed(draw: st.DrawFn, component: Component) -> Component:
    """Draw a component of the same kind, in which one or more fields are something else that they may be."""

    def other(value: object, hint: object) -> object:
        kind = bare(hint)
        candidates = [value, None, True, False, 2, 3, 0.3, 0.75, 1.5, *COMPONENTS]
        if isinstance(value, Component):
            candidates += [draw(changed(value))]
        if isinstance(value, tuple):
            item = get_args(kind)[0]
            candidates += [value[:-1], value[::-1], tuple(other(entry, item) for entry in value)]
        if get_origin(kind) is tuple:
            candidates += [(0.5, 2.0), (1.5, 0.25)]
        if get_origin(kind) is Literal:
            candidates += get_args(kind)
        return draw(st.sampled_from([candidate for candidate in candidates if satisfies(candidate, hint)]))

    hints = annotations(type(component))
    names = draw(st.sets(st.sampled_from(sorted(hints)), max_size=2)) if hints else set()
    return replace(component, **{name: other(getattr(component, name), hints[name]) for name in names})


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Component, Component]:
    one = draw(st.sampled_from(COMPONENTS))
    other = draw(changed(one)) if draw(st.integers(0, 9)) else draw(st.sampled_from(COMPONENTS))
    return one, other


def can_be_stacked(one: Component, other: Component) -> bool:
    try:
        stacked([one, other], 1, "float64")
    except (TypeError, ValueError):
        return False
    return True


@tries(600)
@given(pairs())
def test_components_have_one_shape_exactly_when_they_can_be_stacked(pair: tuple[Component, Component]) -> None:
    one, other = pair
    assert (shape_of(one) == shape_of(other)) == can_be_stacked(one, other)
    assert can_be_stacked(other, one) == can_be_stacked(one, other)


def test_the_pairs_are_of_either_kind() -> None:
    """So that the test above compares something."""
    assert can_be_stacked(Dropout(0.1), Dropout(0.2))
    assert not can_be_stacked(Dense(3), Dense(2))
    assert not can_be_stacked(Regularization(l1=0.1), Regularization())
    assert not can_be_stacked(MeanSquaredError(), ReLU())


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("stacks"))
        yield


BASE = ("trainer.epochs=2", "trainer.batch_size=32", "architecture.hidden=[8]", "tracking=none")


loaded = cache(load)


@cache
def ready(*overrides: str) -> Ready:
    experiment = compose_experiment([*BASE, *overrides])
    return prepare(experiment, overrides, None, loaded(experiment.dataset))


def keys(*overrides: str) -> bool:
    """Tell whether a run with these overrides has the stack of one without."""
    return stack_key(ready(*overrides)) == stack_key(ready())


ALIKE = [
    ("seed=7",),
    ("optimizer.learning_rate=0.3",),
    ("initializer.scale=0.5",),
    ("initializer=orthogonal",),
    ("initializer=zeros", "seed=3"),
    ("question=why", "output_dir=there", "verbose=true"),
    ("figures=false",),
    ("dataset.split_seed=5",),
]
"""Changes under which runs are trained together."""

UNLIKE = [
    ("dataset=moons",),
    ("dataset.test_size=0.3",),
    ("dataset.validation_size=0.2",),
    ("dataset.classes=[1,2]",),
    ("architecture.activation=relu",),
    ("architecture.hidden=[9]",),
    ("architecture.hidden=[8,8]",),
    ("architecture.dropout=0.1",),
    ("architecture.normalization=layer",),
    ("trainer.batch_size=33",),
    ("trainer.batch_size=full",),
    ("trainer.epochs=3",),
    ("trainer.iterations=9",),
    ("trainer.sampling=order",),
    ("trainer.evaluate_every=2",),
    ("trainer.snapshots=[1]",),
    ("trainer.metrics=[f1]",),
    ("trainer.early_stopping={patience: 3}",),
    ("trainer.max_seconds=100",),
    ("trainer.regularization.l2=0.1",),
    ("trainer.regularization.biases=true",),
    ("optimizer=adam",),
    ("optimizer=momentum",),
    ("schedule=cosine",),
    ("schedule.warmup=3",),
    ("loss=sparse_categorical_cross_entropy",),
    ("loss.class_weights=[1,2]",),
    ("dtype=float32",),
    ("figures=true",),
]
"""Changes each of which begins another stack."""


@pytest.mark.parametrize("overrides", ALIKE, ids=" ".join)
def test_runs_that_differ_in_numbers_and_seeds_share_a_stack(overrides: tuple[str, ...]) -> None:
    assert keys(*overrides)


@pytest.mark.parametrize("overrides", UNLIKE, ids=" ".join)
def test_whatever_else_differs_begins_another_stack(overrides: tuple[str, ...]) -> None:
    assert not keys(*overrides)


@pytest.mark.parametrize(
    "more",
    [
        ("trainer.diagnostics=[weight_norm]",),
        ("dataset=pairs", "dataset.source=iris", "dataset.count=40", "loss=contrastive", "architecture.outputs=2"),
    ],
)
def test_what_looks_at_the_data_is_of_one_data_set(more: tuple[str, ...]) -> None:
    key = "dataset.split_seed" if len(more) == 1 else "dataset.seed"
    one, again, other = (ready(*more, f"{key}={seeds[0]}", f"seed={seeds[1]}") for seeds in ((1, 1), (1, 2), (2, 1)))
    assert stack_key(one) == stack_key(again) != stack_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("trainer.regularization.l2=0.1",), ("trainer.regularization.l2=0.2",)),
        (("architecture.dropout=0.1",), ("architecture.dropout=0.2",)),
        (("schedule=exponential",), ("schedule=exponential", "schedule.gamma=0.5")),
        (("loss.class_weights=[1,2]",), ("loss.class_weights=[3,1]",)),
        (("loss.class_weights=[[1,2],[0,1]]",), ("loss.class_weights=balanced",)),
        (("optimizer=adam",), ("optimizer=adam", "optimizer.beta1=0.5", "seed=2")),
    ],
)
def test_numbers_of_every_part_may_differ(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert stack_key(ready(*one)) == stack_key(ready(*other))


def test_numbers_of_layers_may_differ_and_what_is_frozen_may_not() -> None:
    wide = ("architecture.parametrization=maximal_update", "initializer=he_normal", "architecture.hidden=[16,16]")
    one, other = (ready(*wide, f"architecture.base_width={width}") for width in (8, 32))
    assert stack_key(one) == stack_key(other)
    rates, frozen = (ready(f"architecture.{words}") for words in ("learning_rates=[1,2]", "frozen=[0]"))
    assert stack_key(rates) == stack_key(ready()) != stack_key(frozen)


def test_memory_is_counted_by_hand() -> None:
    """64 features, 8 hidden units, 1 output: 520 + 9 parameters and their gradient; 8 + 8 + 1 units of 32 examples."""
    expected = 529 * 2 + 3 * 32 * 17
    assert ready().step_bytes == 8 * expected
    assert ready("dtype=float32").step_bytes == 4 * expected
    assert ready("optimizer=adam").step_bytes == 8 * (expected + 2 * 529)
    assert ready("trainer.batch_size=full").step_bytes == 8 * (529 * 2 + 3 * 288 * 17)


@tries(200)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=40),
    st.integers(1, 12),
    st.integers(1, 8),
)
def test_every_run_is_in_one_stack_of_its_kind_within_budget(kinds: list[int], room: int, workers: int) -> None:
    shapes = [(), ("optimizer=adam",), ("dtype=float32",)]
    runs = [ready(*shapes[kind]) for kind in kinds]
    budget = room * ready().step_bytes
    stacks = stacks_of(runs, budget, workers)
    assert sorted(place for stack in stacks for place in stack) == list(range(len(runs)))
    for stack in stacks:
        assert stack == sorted(stack)
        assert len({kinds[place] for place in stack}) == 1
        assert len(stack) == 1 or len(stack) * runs[stack[0]].step_bytes <= budget
        assert len(stack) <= ceil(len(runs) / workers)
    for kind in set(kinds):
        sizes = [len(stack) for stack in stacks if kinds[stack[0]] == kind]
        most = max(1, min(budget // ready(*shapes[kind]).step_bytes, ceil(len(runs) / workers)))
        assert len(sizes) == ceil(kinds.count(kind) / most), "no more stacks than needed"
        assert max(sizes) - min(sizes) <= 1, "and of one size"


def test_sizes_by_hand() -> None:
    runs, plenty = [ready()] * 10, 1_000_000_000
    assert [len(stack) for stack in stacks_of(runs, plenty, 1)] == [10]
    assert [len(stack) for stack in stacks_of(runs, plenty, 2)] == [5, 5]
    assert [len(stack) for stack in stacks_of(runs, plenty, 4)] == [3, 3, 2, 2]
    assert [len(stack) for stack in stacks_of(runs, plenty, 100)] == [1] * 10
    assert [len(stack) for stack in stacks_of(runs, 4 * ready().step_bytes, 1)] == [4, 3, 3]
    assert [len(stack) for stack in stacks_of(runs, 1, 1)] == [1] * 10, "what has no room is alone"


def test_runs_of_several_data_sets_share_a_stack_where_they_are_few_and_small() -> None:
    """A run then has 288 + 72 examples of its own, of 64 features and a label."""
    runs = [ready(f"dataset.split_seed={seed}", f"seed={start}") for start in range(2) for seed in range(4)]
    assert runs[0].data_bytes == 8 * 360 * 65
    run_bytes = runs[0].step_bytes + runs[0].data_bytes
    of_one = [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert stacks_of(runs, 14 * run_bytes, 1) == [[0, 1, 2, 3, 4, 5, 6, 7]]
    assert stacks_of(runs, 14 * run_bytes - 1, 1) == of_one, "memory for less than seven times as many"
    assert stacks_of(runs, 14 * run_bytes, 2) == [[0, 1, 4, 5], [2, 3, 6, 7]], "of as few data sets as can be"
    assert stacks_of(runs, 14 * run_bytes, 3) == of_one, "with less than twice as many for each worker"
    more = [ready("dataset.split_seed=9", f"seed={seed}") for seed in range(3)]
    assert stacks_of([*runs, *more], 14 * run_bytes, 1) == [[8, 9, 10], [0, 1, 2, 3, 4, 5, 6, 7]]
    alone = [*runs[:4], *[ready(f"dataset.split_seed={seed}") for seed in range(4, 16)]]
    assert [*map(len, stacks_of(alone, 7 * run_bytes, 1))] == [6, 5, 5], "what has a place in the memory"


def test_runs_of_several_initializers_have_in_a_stack_the_bits_that_they_have_alone() -> None:
    starts = ["zeros", "orthogonal", "he_normal", "glorot_uniform", "constant"]
    runs = [ready(f"initializer={start}", f"seed={seed}") for seed, start in enumerate(starts)]
    assert stacks_of(runs, 1_000_000_000, 1) == [[0, 1, 2, 3, 4]]
    recipes: list[Recipe] = [run.recipe for run in runs]
    data, trainer = runs[0].data, runs[0].experiment.trainer
    together = train(recipes, data, trainer, "float64")
    for recipe, outcome in zip(recipes, together, strict=True):
        assert_same_bits(train([recipe], data, trainer, "float64")[0], outcome)
    assert len({outcome.theta.tobytes() for outcome in together}) == len(starts)
    assert all(np.isfinite(outcome.theta).all() for outcome in together)
