"""The jobs of a sweep as columns of numbers, against jobs that are composed and drawn one by one."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from nnexp.config.identity import config_hash
from nnexp.config.overrides import Job
from nnexp.config.search_path import register
from nnexp.core.errors import UserError
from nnexp.core.files import shipped
from nnexp.sweeps.batch import Batch, data_of
from nnexp.sweeps.check import checked
from nnexp.sweeps.configs import Composer, Group, groups_of
from nnexp.sweeps.options import SweepOptions
from nnexp.training.batches import stream
from nnexp.training.loop import train
from nnexp.training.stack import Stack
from nnexp.training.stacking import Varied
from tests.training.test_loop import assert_same_bits

SMALL = ["architecture.hidden=[5]", "trainer.epochs=2", "trainer.batch_size=32", "tracking=none"]


@pytest.fixture(autouse=True, scope="module")
def hydra() -> Iterator[None]:
    register()
    with initialize_config_dir(str(shipped("conf")), job_name="nnexp", version_base="1.3"):
        yield


def grouped(jobs: list[Job]) -> list[Group]:
    return groups_of(jobs, GlobalHydra.instance().config_loader(), master())


def master() -> DictConfig:
    return GlobalHydra.instance().config_loader().load_configuration("config", [], RunMode.MULTIRUN)


def grid(*axes: list[str]) -> list[Job]:
    return [[*SMALL, *job] for job in product(*axes)]


RATES = [f"optimizer.learning_rate={value}" for value in ("1", "0.3", "1e-2", "2.5e-05")]
SCALES = [f"initializer.scale={value}" for value in ("0", "0.1", "1.7")]
SEEDS = [f"seed={seed}" for seed in range(3)]
GRIDS: list[tuple[list[Job], int]] = [
    (grid(RATES, SCALES, SEEDS), 1),
    (grid(RATES, ["optimizer=adam", "optimizer=momentum"]), 2),
    (grid(["architecture.dropout=0.1", "architecture.dropout=0.25"], SEEDS), 2),
    (grid(["architecture.hidden=[4]", "architecture.hidden=[5]"], RATES), 2),
    (grid(["trainer.regularization.l2=0.1", "trainer.regularization.l2=1"], SCALES), 1),
    (grid(["schedule=exponential"], ["schedule.gamma=0.5", "schedule.gamma=0.25"], SEEDS), 1),
    (grid(["dataset.split_seed=1", "dataset.split_seed=2"], RATES), 2),
    (grid(["dataset.test_size=0.3", "dataset.test_size=0.25"]), 2),
    (grid(["trainer.evaluate_every=1", "trainer.evaluate_every=2"], SEEDS), 2),
    (grid(["trainer.epochs=1"], SEEDS), 3),  # which is said twice
    (
        grid(
            ["initializer.bias={_target_:nnexp.nn.initializers.Normal,scale:3}"],
            ["initializer.bias.scale=1", "initializer.bias.scale=2"],
            SEEDS,
        ),
        2,
    ),
    (grid(["question='why ${seed}'"], SEEDS), 3),
    (grid(RATES, ["++optimizer.learning_rate=4", "seed=3"]), 5),
]


@pytest.mark.parametrize(("jobs", "groups"), GRIDS, ids=lambda one: str(one)[-60:])
def test_every_job_is_what_it_is_alone(jobs: list[Job], groups: int) -> None:
    found = grouped(jobs)
    composer = Composer(GlobalHydra.instance().config_loader(), master())
    alone = [composer.experiment(jobs, place) for place in range(len(jobs))]
    assert len(found) == groups
    assert sorted(place for group in found for place in group.places) == [*range(len(jobs))]
    for group in found:
        for index, place in enumerate(group.places):
            assert repr(group.at(index)) == repr(alone[place])
    hashes = checked(jobs, found, SweepOptions(), {}).hashes
    assert hashes == [*map(config_hash, alone)]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("optimizer.learning_rate=-0.5", "optimizer.learning_rate=-0.5: must be a number greater than 0"),
        ("optimizer.learning_rate=1e999", "optimizer.learning_rate=inf: must be a number greater than 0"),
        ("seed=-1", "seed=-1: must be a whole number"),
        ("seed=0.5", "seed=0.5: must be a whole number"),
    ],
)
def test_a_wrong_number_among_many_is_refused_as_alone(wrong: str, sentence: str) -> None:
    jobs = grid(RATES, SEEDS)
    key = wrong.partition("=")[0]
    jobs[7] = [*[one for one in jobs[7] if not one.startswith(key)], wrong]
    jobs[9] = [*jobs[9], "trainer.regularization.l2=-1"]
    with pytest.raises(UserError) as caught:
        grouped(jobs)
    assert str(caught.value).startswith(sentence)


def batch(jobs: list[Job]) -> Batch:
    return checked(jobs, grouped(jobs), SweepOptions(), {})


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["initializer=he_uniform", "initializer.bias=normal"],
        ["initializer=orthogonal", "dtype=float32"],
        ["initializer=constant"],
        ["optimizer=adam", "trainer.regularization.l2=0.01"],
    ],
)
def test_a_stack_filled_from_columns_has_the_bits_of_runs_alone(more: list[str]) -> None:
    splits = ["dataset.split_seed=1", "dataset.split_seed=2"]
    jobs = [[*job, *more] for job in grid(RATES[:2], splits, SCALES, SEEDS[:2])]
    runs = batch(jobs)
    (stack,) = runs.stacks(range(len(jobs)), 1_000_000_000, 1)
    recipes, data = runs.recipes(stack), data_of(runs, stack)
    assert isinstance(recipes, Varied)
    first = runs.first(0)
    trainer, dtype = first.experiment.trainer, first.experiment.dtype
    filled = Stack(recipes, first.data.train.x.shape[-1], dtype)
    for row, run in zip(filled.theta, runs, strict=True):
        drawn = filled.layout.initial_theta(run.recipe.initializer, stream(run.recipe.seed, "init"))
        assert row.tobytes() == drawn.astype(dtype).tobytes()
    for run, outcome in zip(runs, train(recipes, data, trainer, dtype), strict=True):
        assert_same_bits(train([run.recipe], run.data, trainer, dtype)[0], outcome)


@pytest.mark.parametrize(
    "jobs",
    [grid(RATES, ["architecture.dropout=0.1", "architecture.dropout=0.2"]), [*grid(RATES), *grid(SEEDS)]],
    ids=["no column", "other columns"],
)
def test_numbers_that_are_not_in_the_same_columns_are_those_of_each_run(jobs: list[Job]) -> None:
    runs = batch(jobs)
    (stack,) = runs.stacks(range(len(runs)), 1_000_000_000, 1)
    assert [*runs.recipes(stack)] == [run.recipe for run in runs]


def test_files_are_composed_once_for_thousands_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[Job] = []
    config = Composer.config

    def counted(self: Composer, job: Job) -> DictConfig:
        composed.append(job)
        return config(self, job)

    monkeypatch.setattr(Composer, "config", counted)
    numbers = np.linspace(0.1, 1, 2000)
    jobs = grid([f"optimizer.learning_rate={number}" for number in numbers], ["seed=0", "seed=1"])
    (group,) = grouped(jobs)
    assert len(composed) < 5
    assert [*group.columns["optimizer.learning_rate"]] == numbers.repeat(2).tolist()
