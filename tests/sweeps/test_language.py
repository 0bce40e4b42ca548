"""The language of sweeps, through Hydra's own parser: each function, and each mistake as a line."""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hydra.core.override_parser import overrides_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from hypothesis import given
from hypothesis import strategies as st

from nnexp.config.command_line import replacing_sweep_over
from nnexp.config.search_path import register
from nnexp.config.sweep_functions import ZipSweep, between, linspace, logspace
from nnexp.core.errors import UserError
from tests.conftest import Finished


@pytest.fixture(autouse=True, scope="module")
def language() -> None:
    register()


def values_of(text: str) -> list[str]:
    (override,) = OverridesParser.create().parse_overrides([f"seed={text}"])
    return list(override.sweep_string_iterator())


def interval_of(text: str) -> IntervalSweep:
    (override,) = OverridesParser.create().parse_overrides([f"seed={text}"])
    interval = override.value()
    assert isinstance(interval, IntervalSweep)
    return interval


LISTED: list[tuple[str, list[str]]] = [
    ("logspace(0.01,10,4)", ["0.01", "0.1", "1.0", "10.0"]),
    ("logspace(1,1000,4)", ["1", "10", "100", "1000"]),
    ("logspace(16,1,5)", ["16", "8", "4", "2", "1"]),
    ("logspace(1,4,2)", ["1", "4"]),
    ("logspace(1,2,3)", ["1", "1.41421356237", "2"]),
    ("logspace(start=1e-7,stop=0.001,count=3)", ["1e-07", "1e-05", "0.001"]),
    ("int(logspace(1,1000,3))", ["1", "31", "1000"]),
    ("linspace(0,1,5)", ["0", "0.25", "0.5", "0.75", "1"]),
    ("linspace(0.0,0.3,4)", ["0.0", "0.1", "0.2", "0.3"]),
    ("linspace(10,-10,5)", ["10", "5", "0", "-5", "-10"]),
    ("zip(8,16,32)", ["8", "16", "32"]),
    ("zip(a)", ["a"]),
    ("zip([16,8],{a:1},null,true)", ["[16,8]", "{a:1}", "null", "True"]),
    ("zip(range(2,9,3))", ["2", "5", "8"]),
    ("zip(logspace(1,100,3))", ["1", "10", "100"]),
    ("choice(a,b)", ["a", "b"]),
    ("range(3)", ["0", "1", "2"]),
]


@pytest.mark.parametrize(("text", "expected"), LISTED)
def test_functions_that_list(text: str, expected: list[str]) -> None:
    assert values_of(text) == expected


SAME: list[list[str]] = [
    ["uniform(0,1)", "interval(0,1)", "uniform(0.0,1.0)", "uniform(low=0,high=1)"],
    ["loguniform(0.001,1)", "tag(log,interval(0.001,1))"],
    ["integers(1,8)", "int(interval(1,8))", "int(uniform(1,8))"],
    ["tag(log,integers(1,64))", "tag(log,int(interval(1,64)))", "int(loguniform(1,64))"],
]


@pytest.mark.parametrize(("text", "others"), [(first, others) for first, *others in SAME])
def test_ways_to_say_the_same(text: str, others: list[str]) -> None:
    assert [interval_of(other) for other in others] == [interval_of(text)] * len(others)


def test_only_zip_moves_together() -> None:
    assert isinstance(OverridesParser.create().parse_override("seed=zip(1,2)").value(), ZipSweep)
    assert not isinstance(OverridesParser.create().parse_override("seed=choice(1,2)").value(), ZipSweep)


def test_registering_again_changes_nothing() -> None:
    known = overrides_parser.create_functions()
    register()
    assert overrides_parser.create_functions() == known


def numbers_of(sweep: Sequence[object]) -> list[float]:
    assert all(isinstance(value, (int, float)) for value in sweep)
    return [value for value in sweep if isinstance(value, (int, float))]


@given(st.floats(1e-9, 1e9), st.floats(1.01, 1e9), st.integers(2, 40), st.booleans())
def test_logspace_is_that_of_numpy_with_exact_ends(start: float, factor: float, count: int, down: bool) -> None:  # noqa: FBT001
    ends = (start * factor, start) if down else (start, start * factor)
    values = numbers_of(logspace(*ends, count).list)
    assert (values[0], values[-1]) == ends
    np.testing.assert_allclose(values, np.geomspace(*ends, count), rtol=1e-11)
    assert all((before > after) == down and after > 0 for before, after in pairwise(values))
    assert all(float(f"{value:.12g}") == value for value in values[1:-1])


@given(st.integers(-1000, 1000), st.integers(1, 1000), st.integers(2, 40))
def test_linspace_is_that_of_numpy_with_exact_ends(start: int, width: int, count: int) -> None:
    values = numbers_of(linspace(start, start + width, count).list)
    assert (values[0], values[-1]) == (start, start + width)
    np.testing.assert_allclose(values, np.linspace(start, start + width, count), rtol=1e-11, atol=1e-11)
    assert all(isinstance(value, int) == float(value).is_integer() for value in values)


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300), st.floats(0, 1), st.booleans())
def test_what_is_between_is_within(low: float, high: float, share: float, logarithmic: bool) -> None:  # noqa: FBT001
    assert min(low, high) <= between(low, high, share, logarithmic=logarithmic) <= max(low, high)


def test_values_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(UserError, match="must have bounds that are further apart"):
        linspace(1.0, 1.0 + 1e-13, 4)


def test_sweep_over_replaces_unless_it_adds() -> None:
    assert replacing_sweep_over(["seed=1", "sweep.over={a:1}", "++sweep.over={b:2}", "sweep.overs=3"]) == [
        "seed=1",
        "sweep.over=null",
        "sweep.over={a:1}",
        "++sweep.over={b:2}",
        "sweep.overs=3",
    ]


LEARNING_RATE = "optimizer.learning_rate="
WRONG_VALUES: list[tuple[str, str]] = [
    ("logspace(-1,10,3)", "must have bounds greater than 0"),
    ("logspace(1,0,3)", "must have bounds greater than 0"),
    ("logspace(0.1,10)", r"must be logspace\(start,stop,count\) \(missing a required argument: 'count'\)"),
    ("logspace(1,10,3,4)", r"must be logspace\(start,stop,count\) \(too many positional arguments\)"),
    ("logspace(a,b,3)", "must have numbers for bounds"),
    ("logspace(true,10,3)", "must have numbers for bounds"),
    ("linspace(0,inf,3)", "must have numbers for bounds"),
    ("linspace(0,1,1)", "must have a count that is a whole number from 2 to 100000"),
    ("linspace(0,1,2.5)", "must have a count that is a whole number from 2 to 100000"),
    ("linspace(1,1,3)", "must have bounds that are further apart"),
    ("zip()", "must have values, or a single list or range of them"),
    ("zip(1,uniform(0,1))", "must have values, or a single list or range of them"),
    ("zip(range(3),range(3))", "must have values, or a single list or range of them"),
    ("uniform(1,0)", "must have its lower bound first"),
    ("uniform(1,1)", "must have its lower bound first"),
    ("uniform(a,1)", "must have numbers for bounds"),
    ("loguniform(0,1)", "must have bounds greater than 0"),
    ("integers(1.5,3)", "must have whole numbers for bounds"),
    ("integers(3,1)", "must have its lower bound first"),
    ("interval(0)", r"must be interval\(start,end\) \(missing a required argument: 'end'\)"),
    ("choice()", "empty choice is not legal"),
    ("lgspace(0.1,10,3)", r"lgspace is no function, did you mean logspace\?"),
    ("xyz(1)", "xyz is no function, known are bool, choice, .*, 9 more"),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG_VALUES)
def test_a_wrong_value_is_one_line(typed: Callable[..., Finished], text: str, sentence: str) -> None:
    result = typed("-m", f"{LEARNING_RATE}{text}")
    assert result.returncode == 2
    assert re.fullmatch(f"nnexp: {re.escape(LEARNING_RATE + text)}: {sentence}\n", result.stderr), result.stderr


MISTAKES: list[tuple[list[str], str]] = [
    (
        [f"{LEARNING_RATE}uniform(0,1)"],
        r".*uniform\(0,1\): must be one value; for a run of each, -m '.*uniform\(0,1\)'",
    ),
    ([f"{LEARNING_RATE}logspace(0.1,1,3)"], r".*: must be one value; for a run of each, -m '.*logspace\(0\.1,1,3\)'"),
    (["-m", f"{LEARNING_RATE}zip(1,2)", "seed=zip(1,2,3)"], r".*zip\(1,2\) and seed=zip\(1,2,3\): must have as many.*"),
    (["-m", "sweep.draws=0"], "sweep.draws=0: must be a whole number of at least 1"),
    (
        ["-m", f"{LEARNING_RATE}uniform(0,1)", "sweep.draws=1000000000000"],
        r"-m: must need at most the .* not 1 PB for the table of 1,000,000,000,000 runs; on the disk it would take .*",
    ),
    (
        ["-m", f"{LEARNING_RATE}uniform(0,1)", "sweep.draws=100001", "sweep.record=runs"],
        "-m: must make at most 100,000 runs, not 100,001; with sweep.record=table it may be more",
    ),
    (["-m", "sweep.sampler=grid"], r"sweep.sampler=grid: must be random or sobol or optuna, did you mean random\?"),
    (["-m", "sweep.drawss=3"], r"sweep\.drawss: no such key, did you mean sweep.draws\?"),
    (["-m", "+sweep.drawss=3"], r"sweep\.drawss: no such key, did you mean sweep.draws\?"),
    (["-m", "sweep.draws=3,4"], "sweep.draws=3,4: must be a single value, for it is about the sweep itself"),
    (["-m", "sweep.over={seed:[]}"], r"sweep\.over\.seed=\[\]: must have a value"),
    (["-m", "sweep.over={seed:range(3)}"], r"sweep\.over=.*: must have its functions in quotes, such as 'range\(3\)'"),
    (["-m", "optimizer=uniform(0,1)"], r"optimizer=uniform\(0,1\): must be a list of options, not an interval"),
    (["-m", "optimizer.learing_rate=uniform(0,1)"], r"optimizer\.learing_rate: no such key, did you mean .*rate\?"),
    (["-m", "optimiser=sgd,adam"], r"optimiser: no such key, did you mean optimizer\?"),
    (
        ["-m", "trainer.early_stopping.patience=1,2"],
        r"trainer\.early_stopping\.patience: no such key here, .*=\{patience: \.\.\.\}",
    ),
    (["-m", "sweep.repeats=3", "seed=1,2"], "seed=1,2: must be a single value under sweep.repeats=3"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_is_one_line(typed: Callable[..., Finished], arguments: list[str], sentence: str) -> None:
    result = typed(*arguments)
    assert result.returncode == 2
    assert re.fullmatch(f"nnexp: {sentence}\n", result.stderr), result.stderr
