"""The jobs of a sweep against plain products, and every value through Hydra's own parser."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from nnexp.config.compose import check
from nnexp.config.overrides import Job
from nnexp.config.search_path import register
from nnexp.core.errors import UserError
from nnexp.core.files import shipped
from nnexp.sweeps.jobs import search_of
from tests.conftest import needs, tries

EXPERIMENTS = shipped("experiments")
NAMES = sorted(str(path.relative_to(EXPERIMENTS).with_suffix("")) for path in EXPERIMENTS.rglob("*.yaml"))


@pytest.fixture(autouse=True, scope="module")
def hydra() -> Iterator[None]:
    """Keep Hydra initialized, as it is while the command line expands a sweep."""
    register()
    with initialize_config_dir(str(shipped("conf")), job_name="nnexp", version_base="1.3"):
        yield


def jobs_of(*arguments: str) -> list[Job]:
    return search_of(arguments, GlobalHydra.instance().config_loader()).ask()


def jobs_for(over: object, folder: Path, *arguments: str) -> list[Job]:
    """Return the jobs of an experiment that varies this, without the words that choose it."""
    (folder / "experiment").mkdir(exist_ok=True)
    text = OmegaConf.to_yaml(OmegaConf.create({"sweep": {"over": over}}))
    (folder / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}", encoding="utf-8")
    jobs = jobs_of(f"hydra.searchpath=[file://{folder}]", "experiment=mine", *arguments)
    assert all(job[0] == "experiment=mine" for job in jobs)
    return [job[1:] for job in jobs]


def products(**axes: list[str]) -> list[Job]:
    keys = [key.replace("__", ".") for key in axes]
    return [[f"{key}={value}" for key, value in zip(keys, row, strict=True)] for row in product(*axes.values())]


OVER: list[tuple[object, list[str], list[Job]]] = [
    (None, [], [[]]),
    ({}, [], [[]]),
    ([], [], [[]]),
    (None, ["seed=3"], [["seed=3"]]),
    ({"seed": [0, 1, 2]}, [], products(seed=["0", "1", "2"])),
    ({"seed": 7}, [], [["seed=7"]]),
    ({"seed": "range(2,9,3)"}, [], products(seed=["2", "5", "8"])),
    ({"seed": "4,2"}, [], products(seed=["4", "2"])),
    (
        {"seed": [0, 1], "trainer.epochs": [5, 6, 7]},
        [],
        products(seed=["0", "1"], trainer__epochs=["5", "6", "7"]),
    ),
    ({"architecture.hidden": [[16, 8], [32, 16], []]}, [], products(architecture__hidden=["[16,8]", "[32,16]", "[]"])),
    ({"trainer.batch_size": ["full", 8]}, [], products(trainer__batch_size=["full", "8"])),
    ({"figures": [None, True, False]}, [], products(figures=["null", "True", "False"])),
    ({"optimizer.learning_rate": [1.0e-7, 0.5]}, [], products(optimizer__learning_rate=["1e-07", "0.5"])),
    (
        {"trainer.early_stopping": [None, {"patience": 2, "metric": "test/loss"}]},
        [],
        products(trainer__early_stopping=["null", "{patience:2,metric:test/loss}"]),
    ),
    (
        {"question": ["why?", "it's 'so'", "null", "1"]},
        [],
        products(question=["'why?'", r"'it\'s \'so\''", "'null'", "'1'"]),
    ),
    ({"optimizer": ["sgd", "adam"], "seed": [1]}, [], products(optimizer=["sgd", "adam"], seed=["1"])),
    ({"architecture/activation": ["relu", "tanh"]}, [], [[f"architecture/activation={f}"] for f in ("relu", "tanh")]),
    (
        [{"seed": [0, 1]}, {"seed": 2, "dtype": ["float32", "float64"]}],
        [],
        [*products(seed=["0", "1"]), *products(seed=["2"], dtype=["float32", "float64"])],
    ),
    ({"seed": [0, 1], "dtype": ["float32"]}, ["seed=5,6"], products(seed=["5", "6"], dtype=["float32"])),
    ({"seed": [0, 1]}, ["seed=5"], [["seed=5"]]),
    ({"seed": [0, 1]}, ["++seed=5"], [["++seed=5"]]),
    ({"seed": [0, 1]}, ["trainer.epochs=2,3"], products(trainer__epochs=["2", "3"], seed=["0", "1"])),
    ({"seed": [0, 1]}, ["sweep.over=null"], [[]]),
    ({"seed": [0, 1]}, ["sweep.over={dtype:float32}"], [["dtype=float32"]]),
    ({"seed": [0, 1]}, ["sweep.over=[{dtype:[float32]},{}]"], [["dtype=float32"], []]),
    ({"seed": [0, 1]}, ["++sweep.over={dtype:float32}"], products(seed=["0", "1"], dtype=["float32"])),
    (
        None,
        ["sweep.over=[{initializer.scale:[0.1,1]},{initializer:glorot_normal}]"],
        [["initializer.scale=0.1"], ["initializer.scale=1"], ["initializer=glorot_normal"]],
    ),
    (
        None,
        ["sweep.over={optimizer.learning_rate:'logspace(0.1,10,3)'}"],
        products(optimizer__learning_rate=["0.1", "1.0", "10.0"]),
    ),
    ({"seed": "linspace(0,4,3)"}, [], products(seed=["0", "2", "4"])),
    (None, ["seed=0,1,0"], products(seed=["0", "1"])),
    ([{"seed": [0, 1]}, {"seed": [1, 2]}], [], products(seed=["0", "1", "2"])),
    ([{"seed": 0, "dtype": "float32"}, {"dtype": "float32", "seed": 0}], [], [["seed=0", "dtype=float32"]]),
    (
        {"seed": "zip(1,2)", "figures": [True, False], "trainer.epochs": "zip(range(5,7))"},
        [],
        [
            [f"seed={seed}", f"trainer.epochs={epochs}", f"figures={figures}"]
            for seed, epochs in [(1, 5), (2, 6)]
            for figures in (True, False)
        ],
    ),
    ({"seed": "zip(1,2)"}, ["dtype=zip(float32,float64)"], [["dtype=float32", "seed=1"], ["dtype=float64", "seed=2"]]),
    (None, ["sweep.repeats=3"], products(seed=["0", "1", "2"])),
    (None, ["sweep.repeats=1", "seed=9"], [["seed=9"]]),
    (
        {"dtype": ["float32", "float64"]},
        ["seed=5", "sweep.repeats=2"],
        products(dtype=["float32", "float64"], seed=["5", "6"]),
    ),
    ({"seed": 7}, ["sweep.repeats=2"], products(seed=["7", "8"])),
    (
        None,
        ["sweep.plan=true", "sweep.draws=3", "sweep.sampler=sobol", "sweep.metric=test/loss", "seed=1,2"],
        products(seed=["1", "2"]),
    ),
]
"""What is varied, what the command line says beside it, and the jobs."""


@pytest.mark.parametrize(("over", "arguments", "expected"), OVER, ids=str)
def test_jobs_are_all_combinations(over: object, arguments: list[str], expected: list[Job], tmp_path: Path) -> None:
    assert jobs_for(over, tmp_path, *arguments) == expected


REFUSED: list[tuple[object, list[str], str]] = [
    (3, [], r"sweep\.over=3: must be keys and their values, or a list of such"),
    (["seed"], [], r"sweep\.over=seed: must be keys and their values, or a list of such"),
    ({"seed": []}, [], r"sweep\.over\.seed=\[\]: must have a value"),
    ({"seed": "range(3,1)"}, [], r"seed=range\(3,1\): must have a value"),
    ({"seed": "range(0,1,0)"}, [], r"seed=range\(0,1,0\): must have a step other than 0"),
    ({"seed": "interval(1,0)"}, [], r"seed=interval\(1,0\): must have its lower bound first"),
    ({"seed": "tag(log,interval(0,1))"}, [], r"seed=tag\(log,interval\(0,1\)\): must have bounds greater than 0"),
    ({"seed": "lgspace(1,2,2)"}, [], r"seed=lgspace\(1,2,2\): lgspace is no function, did you mean logspace\?"),
    ({"optimizer": "uniform(0,1)"}, [], r"optimizer=uniform\(0,1\): must be a list of options, not an interval"),
    (
        {"seed": "zip(1,2)", "trainer.epochs": "zip(1,2,3)"},
        [],
        r"seed=zip\(1,2\) and trainer\.epochs=zip\(1,2,3\): must have as many values, not 2 and 3",
    ),
    ({"sweep.draws": [1, 2]}, [], r"sweep\.draws=1,2: must be a single value, for it is about the sweep itself"),
    ({"sweep.draws": 3}, [], r"sweep\.draws=3: must not be varied, for it is no part of a run"),
    ({"seed": [1, 2]}, ["sweep.repeats=3"], r"seed=1,2: must be a single value under sweep\.repeats=3"),
    ({"seed": "integers(1,9)"}, ["sweep.repeats=3"], r"seed=integers\(1,9\): must be a single value under"),
    ({"dtype": "float32"}, ["seed=a", "sweep.repeats=3"], r"seed=a: must be a whole number of at least 0"),
]


@pytest.mark.parametrize(("over", "arguments", "sentence"), REFUSED, ids=str)
def test_what_is_no_list_of_values_is_refused(
    over: object, arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        jobs_for(over, tmp_path, *arguments)


def test_several_experiments_bring_each_its_own_sweep() -> None:
    jobs = jobs_of("experiment=improve/epochs,improve/relu", "trainer.batch_size=32", "seed=4,5")
    activations = ("sigmoid", "tanh", "relu", "leaky_relu", "gelu", "silu")
    own = [("improve/epochs", "trainer.epochs", value) for value in ("1000", "1500", "2000", "4000")]
    own += [("improve/relu", "architecture/activation", value) for value in activations]
    assert jobs == [
        [f"experiment={name}", "trainer.batch_size=32", f"seed={seed}", f"{key}={value}"]
        for name in ("improve/epochs", "improve/relu")
        for seed in (4, 5)
        for experiment, key, value in own
        if experiment == name
    ]


def test_experiments_cannot_be_drawn() -> None:
    with pytest.raises(UserError, match=r"experiment=uniform\(0,1\): must be a list or range of values"):
        jobs_of("experiment=uniform(0,1)")


@pytest.mark.parametrize("argument", ["optimizer.learing_rate=1,2", "optimiser=sgd,adam", "no.such=uniform(0,1)"])
def test_a_key_that_does_not_exist_is_refused_before_anything_is_run(argument: str) -> None:
    with pytest.raises(ConfigCompositionException):
        jobs_of(argument)


def test_a_key_may_exist_only_in_an_option_that_is_chosen() -> None:
    expected = [["optimizer=momentum", f"optimizer.momentum={value}"] for value in ("0.5", "0.9")]
    assert jobs_of("sweep.over=[{optimizer:momentum,optimizer.momentum:[0.5,0.9]}]") == expected


def test_every_draw_comes_with_all_that_is_listed() -> None:
    arguments = [
        "optimizer.learning_rate=loguniform(0.01,1)",
        "dtype=float32,float64",
        "initializer.scale=uniform(1,2)",
    ]
    few = jobs_of(*arguments, "sweep.draws=3", "sweep.repeats=2")
    assert len(few) == 3 * 2 * 2
    points = list(dict.fromkeys((job[0], job[1]) for job in few))
    assert [point[0].split("=")[0] for point in points] == ["optimizer.learning_rate"] * 3
    assert [point[1].split("=")[0] for point in points] == ["initializer.scale"] * 3
    assert few == [
        [*point, f"dtype={dtype}", f"seed={seed}"]
        for point in points
        for dtype in ("float32", "float64")
        for seed in (0, 1)
    ]
    assert jobs_of(*arguments, "sweep.draws=5", "sweep.repeats=2")[: len(few)] == few
    assert jobs_of(*arguments, "sweep.draws=3", "sweep.repeats=2", "sweep.draw_seed=1") != few


@pytest.mark.parametrize(
    ("interval", "low", "high"),
    [("loguniform(1,1000000)", 1, 1e6), ("tag(log,int(interval(1000,1000000)))", 999.5, 1e6 + 0.5)],
)
def test_logarithmic_draws_have_as_many_on_either_side_of_the_geometric_mean(
    interval: str, low: float, high: float
) -> None:
    jobs = jobs_of(f"optimizer.learning_rate={interval}", "sweep.draws=64", "sweep.sampler=sobol")
    assert sum(float(override.partition("=")[2]) < (low * high) ** 0.5 for (override,) in jobs) == 32


@needs("optuna")
def test_sampler_optuna_searches_each_block_with_intervals_and_lists_the_others_first() -> None:
    search = search_of(
        ["sweep.over=[{dtype:[float32,float64]},{seed:'integers(0,99)'}]", "sweep.sampler=optuna", "sweep.batch=4"],
        GlobalHydra.instance().config_loader(),
    )
    assert search.total == 2 + 16
    first = search.ask()
    assert first[:2] == products(dtype=["float32", "float64"])
    assert 1 <= len(first[2:]) <= 4
    assert all(re.fullmatch(r"seed=\d{1,2}", override) for (override,) in first[2:])


texts = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], exclude_characters="$?"), max_size=8)
words = st.sampled_from(
    ["True", "NULL", "nan", "inf", "-inf", "1e3", "1_0", "0x1", "a b", "a,b", "\\", "\\'", "'", "é"]
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts, words
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "_b", "c1"]), inner, max_size=2),
    max_leaves=6,
)
KEYS = ("question", "trainer.early_stopping")


@tries(20)
@given(
    over=st.dictionaries(st.sampled_from(KEYS), st.lists(values, min_size=1, max_size=2, unique_by=repr), min_size=1)
)
def test_every_combination_comes_once_and_every_value_as_it_was_written(
    over: dict[str, list[object]], tmp_path: Path
) -> None:
    composed = []
    for job in jobs_for(over, tmp_path):
        config = compose("config", job)
        nodes = [OmegaConf.select(config, key) for key in over]
        composed.append([OmegaConf.to_container(node) if OmegaConf.is_config(node) else node for node in nodes])
    assert [repr(row) for row in composed] == [repr(list(row)) for row in product(*over.values())]


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_is_a_sweep_of_valid_jobs(name: str) -> None:
    """Those jobs are composed that have a word which none before them had, of which numbers are one, and the last."""
    jobs = jobs_of(f"experiment={name}")
    assert len(jobs) > 1
    assert len({tuple(job) for job in jobs}) == len(jobs)
    known: set[str] = set()
    for job in jobs:
        kinds = {re.sub(r"=-?\d\S*$", "=number", override) for override in job}
        if not kinds <= known or job is jobs[-1]:
            assert check(compose("config", job)).question
        known |= kinds
