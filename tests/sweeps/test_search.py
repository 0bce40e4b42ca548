"""Draws within their bounds, and searches that ask, are told, and ask again."""

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import qmc

from nnexp.config.overrides import Job
from nnexp.core.errors import UserError
from nnexp.sweeps.options import SweepOptions
from nnexp.sweeps.sampling import Interval, points
from nnexp.sweeps.search import Block, Search
from tests.conftest import needs

Sampler = Literal["random", "sobol"]
UNIT = [Interval("a", 0.0, 1.0, logarithmic=False), Interval("b", 0.0, 1.0, logarithmic=False)]
OPTIONS = SweepOptions(sampler="optuna", draws=40, batch=8)


def number(override: str) -> float:
    return float(override.partition("=")[2])


def table(options: SweepOptions, *intervals: Interval) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([[number(override) for override in point] for point in points(intervals, options)])


bounds = st.one_of(
    st.tuples(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6)), st.tuples(st.integers(-1000, 1000), st.integers(1, 1000))
)


@given(bounds, st.floats(0, 1))
@example((966673.0, 199999.0), 1 / 3)
@example((0.9, 0.2), 0.73)
def test_draws_are_within_bounds_and_readable(bound: tuple[float, float], share: float) -> None:
    low, high = bound[0], bound[0] + bound[1]
    interval = Interval("key", low, high, logarithmic=False)
    key, _, text = interval.at(share).partition("=")
    assert key == "key"
    assert low <= float(text) <= high
    assert text.lstrip("-").isdecimal() == interval.whole
    assert float(text) == pytest.approx(low + share * (high - low), abs=1e-5 * (high - low) + interval.whole + 1e-9)


@given(st.floats(1e-9, 1e6), st.floats(1.5, 1e6), st.floats(0, 1))
def test_logarithmic_draws(low: float, factor: float, share: float) -> None:
    value = number(Interval("key", low, low * factor, logarithmic=True).at(share))
    assert low <= value <= low * factor
    assert math.log(value) == pytest.approx(math.log(low) + share * math.log(factor), abs=1e-5)


def test_six_digits_are_enough_where_they_tell_values_apart() -> None:
    assert UNIT[0].at(1 / 3) == "a=0.333333"
    assert Interval("a", 1000.0, 1000.001, logarithmic=False).at(1 / 3) == "a=1000.00033333"


@pytest.mark.parametrize("sampler", ["random", "sobol"])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_whole_numbers_have_equal_chances_both_ends_included(sampler: Sampler, *, logarithmic: bool) -> None:
    options = replace(OPTIONS, sampler=sampler, draws=4096)
    values = table(options, Interval("key", 1, 6, logarithmic=logarithmic))
    edges = np.arange(0.5, 7)
    widths = np.diff(np.log(edges) if logarithmic else edges)
    shares = [np.mean(values == side) for side in range(1, 7)]
    np.testing.assert_allclose(shares, widths / widths.sum(), atol=0.03)


@pytest.mark.parametrize("sampler", ["random", "sobol"])
@given(few=st.integers(1, 40), more=st.integers(0, 40), seed=st.integers(0, 9))
def test_more_draws_begin_with_the_same(sampler: Sampler, few: int, more: int, seed: int) -> None:
    options = replace(OPTIONS, sampler=sampler, draws=few, draw_seed=seed)
    drawn = points(UNIT, options)
    assert len(drawn) == few
    assert points(UNIT, replace(options, draws=few + more))[:few] == drawn


@pytest.mark.parametrize("sampler", ["random", "sobol"])
def test_seeds_differ(sampler: Sampler) -> None:
    options = replace(OPTIONS, sampler=sampler)
    assert points(UNIT, options) != points(UNIT, replace(options, draw_seed=1))


def test_sobol_is_more_even_than_random() -> None:
    for seed in range(5):
        options = replace(OPTIONS, draws=32, draw_seed=seed)
        uneven = qmc.discrepancy(table(replace(options, sampler="random"), *UNIT))
        even = qmc.discrepancy(table(replace(options, sampler="sobol"), *UNIT))
        assert even < uneven / 2


def test_jobs_that_need_no_scores_are_asked_for_at_once() -> None:
    search = Search([["a=1"], ["a=2", "b=1"], ["a=1"], ["b=1", "a=2"]])
    assert search.total == 2
    assert search.ask() == [["a=1"], ["a=2", "b=1"]]
    search.tell({("a=1",): 0.5})
    assert search.ask() == []


def scored(job: Job) -> float:
    """Return a valley whose bottom is at 0.7, lifted by the seed."""
    values = dict(override.split("=") for override in job)
    return (float(values["a"]) - 0.7) ** 2 + float(values.get("seed", 0))


def run(search: Search) -> list[list[Job]]:
    """Search to the end and return all batches."""
    batches: list[list[Job]] = []
    while jobs := search.ask():
        batches.append(jobs)
        search.tell({tuple(job): scored(job) for job in jobs})
    return batches


def valley(options: SweepOptions = OPTIONS, *, whole: bool = False, seeds: int = 0) -> Search:
    pytest.importorskip("optuna")
    interval = Interval("a", 0, 3, logarithmic=False) if whole else UNIT[0]
    after = [[(f"seed={seed}",) for seed in range(seeds)]] if seeds else []
    return Search([], [(Block([], [interval], after), options)])


def test_batches_are_as_large_as_asked_for_and_come_to_the_total() -> None:
    search = valley(replace(OPTIONS, draws=20, batch=8), seeds=3)
    assert search.total == 60
    assert [len(batch) for batch in run(search)] == [24, 24, 12]
    assert search.total == 60


def test_points_come_with_all_that_is_listed() -> None:
    (batch,) = run(valley(replace(OPTIONS, draws=2), seeds=2))
    (a, first), (b, second), (c, third), (d, fourth) = batch
    assert (a, c) == (b, d)
    assert a != c
    assert [first, second, third, fourth] == ["seed=0", "seed=1"] * 2


def test_it_learns_where_the_best_is() -> None:
    """At random, a fifth of all points are within 0.1 of the best."""
    for seed in range(3):
        batches = run(valley(replace(OPTIONS, draw_seed=seed)))
        late = [number(job[0]) for batch in batches[2:] for job in batch]
        assert np.mean(np.abs(np.array(late) - 0.7) < 0.1) > 0.4


def test_the_same_scores_lead_to_the_same_questions() -> None:
    assert run(valley()) == run(valley())
    assert run(valley()) != run(valley(replace(OPTIONS, draw_seed=1)))


def second_batch(first: float | None, second: float | None, left: float | None = 1.0) -> list[Job]:
    """Return what is asked after 12 points, whose scores are multiplied by what their seeds and the left half say."""
    search = valley(replace(OPTIONS, batch=12), seeds=2)
    scores: dict[tuple[str, ...], float | None] = {}
    for a, seed in search.ask():
        factors = [first if seed == "seed=0" else second, left if number(a) < 0.5 else 1.0]
        known = [factor for factor in factors if factor is not None]
        scores[a, seed] = math.prod([*known, scored([a])]) if len(known) == len(factors) else None
    search.tell(scores)
    return search.ask()


def test_questions_depend_on_the_mean_of_what_did_not_fail() -> None:
    assert second_batch(1.0, 1.0) == second_batch(0.5, 1.5) == second_batch(1.0, None) == second_batch(None, 1.0)
    assert second_batch(-1.0, -1.0) == second_batch(1.0, -3.0) == second_batch(-3.0, 1.0)
    assert second_batch(1.0, 1.0) != second_batch(-1.0, -1.0)


def test_a_failed_point_is_not_a_bad_one() -> None:
    assert second_batch(1.0, 1.0, left=None) != second_batch(1.0, 1.0, left=1e9)
    assert second_batch(1.0, None, left=None) == second_batch(None, 1.0, left=None)


def test_it_goes_on_after_failures_and_what_it_is_never_told_of() -> None:
    search = valley(replace(OPTIONS, draws=24))
    search.tell({tuple(job): math.nan if index % 2 else None for index, job in enumerate(search.ask())})
    assert len(search.ask()) == 8
    assert len(search.ask()) == 8
    assert search.ask() == []


def test_a_point_that_is_proposed_again_is_not_run_again() -> None:
    search = valley(whole=True)
    assert search.total == 40
    batches = run(search)
    assert sorted(job[0] for batch in batches for job in batch) == ["a=0", "a=1", "a=2", "a=3"]
    assert search.total == 4


@needs("optuna")
def test_listed_jobs_come_with_the_first_batch_and_are_not_run_again() -> None:
    block = Block([], [Interval("a", 0, 1, logarithmic=False)], [])
    batches = run(Search([["a=0"], ["a=7"]], [(block, OPTIONS)]))
    assert batches[0][:2] == [["a=0"], ["a=7"]]
    assert sorted(job for batch in batches for job in batch) == [["a=0"], ["a=1"], ["a=7"]]


@needs("optuna")
def test_each_block_is_searched_on_its_own() -> None:
    blocks = [Block([[("c=1",)]], [UNIT[0]], []), Block([[("c=2",)]], UNIT, [])]
    options = [replace(OPTIONS, draws=4), replace(OPTIONS, draws=10)]
    batches = run(Search([], list(zip(blocks, options, strict=True))))
    counts = [[sum(job[0] == f"c={block}" for job in batch) for block in (1, 2)] for batch in batches]
    assert counts == [[4, 8], [0, 2]]
    assert all(len(job) == (2 if job[0] == "c=1" else 3) for batch in batches for job in batch)


@needs("optuna")
def test_what_optuna_proposes_is_within_bounds() -> None:
    block = Block([], [Interval("a", 0.001, 0.1, logarithmic=True), Interval("b", 1, 64, logarithmic=True)], [])
    for a, b in [job for batch in run(Search([], [(block, OPTIONS)])) for job in batch]:
        assert 0.001 <= number(a) <= 0.1
        assert 1 <= int(b.removeprefix("b=")) <= 64


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnexp.sweeps.search.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"^sweep\.sampler=optuna: must have Optuna, pip install 'nnexp\[search\]'$"):
        Search([], [(Block([], UNIT[:1], []), OPTIONS)])
