"""What is said of settings: as often right as the rule promises, and nothing that repeats cannot tell."""

from dataclasses import replace
from itertools import permutations
from math import inf, sqrt

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nnexp.analysis.verdict import (
    Measured,
    Moments,
    balance,
    detectable,
    diverges_oftener,
    farthest,
    repeats_for,
    ruled_out,
    seems_worse,
    verdict_on,
    wins,
    worse,
)
from nnexp.core.component import Array, Labels

SWEEPS = 2000


def better_than_all(leader: Moments, others: Moments) -> npt.NDArray[np.bool_]:
    return np.asarray((2 * worse(leader, others) < 0.05).all(axis=-1))


def settings_of(values: Array) -> list[Measured]:
    return [Measured(f"x={place}", tuple(row)) for place, row in enumerate(values.tolist())]


def claimed(sweeps: Array) -> tuple[npt.NDArray[np.bool_], Labels]:
    """Return for every sweep, of shape (settings, seeds), whether a setting is called best, and which one is first.

    All sweeps at once, by the function that decides for one; that it does is tried with some of them.
    """
    order = sweeps.mean(axis=-1).argsort(axis=-1)
    ordered = np.take_along_axis(sweeps, order[:, :, None], axis=1)
    moments = ordered.mean(axis=-1), ordered.std(axis=-1, ddof=1), np.full(order.shape, float(sweeps.shape[-1]))
    first, others = (Moments(*(part[:, rows] for part in moments)) for rows in (slice(1), slice(1, None)))
    best = better_than_all(first, others)
    some = [*range(30), *np.flatnonzero(best)[:10].tolist()]
    found = [verdict_on(settings_of(sweeps[place]), 1) for place in some]
    expected = [(bool(best[place]), f"x={order[place, 0]}") for place in some]
    assert [(one.best, one.leader.name) for one in found if one is not None] == expected
    return best, order[:, 0]


@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_of_two_equal_best_ones_none_is_called_best(seeds: int, *, unequal: bool) -> None:
    generator = np.random.default_rng(seeds)
    spreads = np.exp(generator.normal(0, 0.5, (SWEEPS, 8, 1))) if unequal else 1.0
    means = np.array([0.0, 0.0, *[8.0] * 6])[:, None]
    best, _ = claimed(means + spreads * generator.standard_normal((SWEEPS, 8, seeds)))
    assert 0.01 < best.mean() <= 0.06


@pytest.mark.parametrize(("seeds", "often"), [(5, 0.20), (10, 0.89)])
def test_a_best_one_that_is_two_deviations_ahead_of_nineteen_is_found(seeds: int, often: float) -> None:
    """As often as the same rule finds it in simulations of its own."""
    generator = np.random.default_rng(seeds)
    means = np.array([0.0, *[2.0] * 19])[:, None]
    best, leader = claimed(means + generator.standard_normal((SWEEPS, 20, seeds)))
    assert (best & (leader == 0)).mean() >= often - 0.03
    assert (best & (leader != 0)).mean() <= 0.005


@pytest.mark.filterwarnings("ignore:Precision loss")
@given(st.lists(st.lists(st.floats(-5, 5).map(lambda x: round(x, 2)), min_size=2, max_size=6), min_size=2, max_size=5))
def test_worse_is_the_test_of_welch(values: list[list[float]]) -> None:
    leader, *others = [Measured(str(place), tuple(row)) for place, row in enumerate(values)]
    for sign in (1, -1):
        found = worse(Moments.of([leader], sign), Moments.of(others, sign))
        for p, other in zip(found, others, strict=True):
            if leader.deviation or other.deviation:
                expected = stats.ttest_ind(
                    sign * np.array(other.values),
                    sign * np.array(leader.values),
                    equal_var=False,
                    alternative="greater",
                )
                assert p == pytest.approx(expected.pvalue, abs=1e-6)
            else:
                assert p in (0.5, 0.5 ** (len(leader.values) + len(other.values)))


def test_the_order_of_settings_decides_nothing_and_ties_are_ties() -> None:
    settings = [Measured("a", (1.0, 1.0, 1.0)), Measured("b", (1.0, 1.0, 1.0)), Measured("c", (2.0, 2.1, 2.0))]
    found = {verdict_on(order, 1) for order in permutations(settings)}
    (one,) = found
    assert one is not None
    assert (one.leader.name, [tied.name for tied in one.equal], one.best) == ("a", ["b"], False)
    assert one.next == settings[2]
    assert [possible.name for possible in one.possible] == ["a", "b"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_and_two_seeds_claim_nothing(seeds: int) -> None:
    found = verdict_on([Measured("a", (0.1,) * seeds), Measured("b", (0.9,) * seeds), Measured("c", (0.5,) * 9)], 1)
    assert found is not None
    assert (found.best, found.would_show, found.needed, len(found.possible)) == (False, None, None, 3)
    assert verdict_on([Measured("a", (0.1,)), Measured("b", (), 3)], 1) is None


def test_settings_that_do_not_vary_are_told_apart() -> None:
    found = verdict_on([Measured("a", (0.9,) * 3), Measured("b", (0.8,) * 3)], -1)
    assert found is not None
    assert (found.leader.name, found.best, found.would_show, found.needed) == ("a", True, None, None)


@pytest.mark.parametrize("splits", [3, 4, 5])
def test_matched_repeats_that_differ_alike_are_no_proof(splits: int) -> None:
    """Each of two equal settings has one example of ten more right than the other, in every split by chance."""
    generator, claims = np.random.default_rng(splits), 0
    for ahead in generator.integers(0, 2, (2000, splits)):
        one, other = (Measured("a", tuple(0.8 + 0.1 * ahead)), Measured("b", tuple(0.9 - 0.1 * ahead)))
        found = verdict_on([replace(setting, matched=tuple(range(splits))) for setting in (one, other)], -1)
        claims += found is not None and found.best
    assert claims <= 0.05 * 2000


def test_matched_repeats_are_compared_one_by_one() -> None:
    """What a split does to all settings alike is no scatter; by Welch's test these would not be told apart."""
    splits = np.array([0.1, 0.5, 1.0, 2.0])
    ahead = splits + np.array([0.1, 0.12, 0.09, 0.11])
    one, other, far = (
        Measured(name, tuple(values), matched=tuple(range(4)))
        for name, values in (("a", splits), ("b", ahead), ("c", splits + 9))
    )
    p = stats.ttest_rel(ahead, splits, alternative="greater").pvalue
    assert seems_worse(other, one, 1) == pytest.approx(p)
    assert seems_worse(one, other, -1) == pytest.approx(p)
    assert seems_worse(one, other, 1) == pytest.approx(1 - p)
    assert (seems_worse(far, one, 1), seems_worse(one, one, 1)) == (0.5**4, 0.5)
    found = verdict_on([one, other], 1)
    assert found is not None
    assert (found.best, found.leader.name) == (True, "a")
    loose = verdict_on([replace(setting, matched=()) for setting in (one, other, far)], 1)
    assert loose is not None
    assert not loose.best
    assert wins(one, other, 1) == (4, 4)
    interval = stats.ttest_rel(ahead, splits).confidence_interval()
    assert farthest(one, other) == pytest.approx(interval.high)
    shown = verdict_on([one, replace(other, values=tuple(splits + np.array([0.1, -0.2, 0.3, -0.1])))], 1)
    assert shown is not None
    spread = np.std([0.1, -0.2, 0.3, -0.1], ddof=1)
    assert shown.would_show is not None
    power = stats.nct.sf(stats.t.ppf(0.975, 3), 3, shown.would_show * sqrt(4) / spread)
    assert power == pytest.approx(0.8)


def test_differences_that_do_not_matter_are_those_that_are_surely_small() -> None:
    close = [Measured("a", (1.0, 1.01, 0.99, 1.0)), Measured("b", (1.001, 1.011, 0.991, 1.0))]
    for matters, alike in ((0.1, True), (0.01, False), (None, False)):
        found = verdict_on(close, 1, matters)
        assert found is not None
        assert [*found.alike] == (close if alike else [])
    interval = stats.ttest_ind(close[1].values, close[0].values, equal_var=False).confidence_interval()
    assert farthest(*close) == pytest.approx(interval.high)


def test_a_setting_that_diverges_oftener_is_not_called_best() -> None:
    values = (0.1, 0.11, 0.12)
    for diverged, best in ((0, True), (1, True), (30, False)):
        found = verdict_on([Measured("a", values, diverged), Measured("b", (0.5, 0.51, 0.52))], 1)
        assert found is not None
        assert found.best == best
    table = [[30, 3], [0, 3]]
    expected = stats.fisher_exact(table, alternative="greater").pvalue < 0.05
    assert diverges_oftener(Measured("a", values, 30), Measured("b", values)) == expected


def test_what_repeats_show_is_the_power_of_the_test() -> None:
    assert [round(detectable(repeats), 2) for repeats in (3, 5, 10, 20)] == [3.07, 2.02, 1.32, 0.91]
    generator = np.random.default_rng(0)
    one, other = generator.standard_normal((2, 20_000, 5))
    shown = stats.ttest_ind(one, other + detectable(5), axis=1).pvalue < 0.05
    assert shown.mean() == pytest.approx(0.8, abs=0.01)
    for gap in (4.0, 2.0, 0.5, 0.2):
        repeats = repeats_for(gap)
        assert repeats is not None
        assert detectable(repeats) <= gap
        assert repeats == 3 or detectable(repeats - 1) > gap
    assert (repeats_for(0.01), repeats_for(inf)) == (None, 3)


def test_what_repeats_show_where_only_one_setting_varies() -> None:
    settings = Measured("a", (1.0, 1.0, 1.0)), Measured("b", (1.0, 2.0, 3.0))
    assert (balance(*settings), balance(settings[1], settings[1]), balance(settings[0], settings[0])) == (1, 2, 2)
    generator = np.random.default_rng(0)
    others = detectable(3, 1.0) * sqrt(0.5) + generator.standard_normal((20_000, 3))
    zeros = np.zeros((20_000, 1))
    count = zeros + 3
    moments = Moments(others.mean(axis=1)[:, None], others.std(axis=1, ddof=1)[:, None], count)
    assert better_than_all(Moments(zeros, zeros, count), moments).mean() == pytest.approx(0.8, abs=0.01)


def test_wins_count_ties_as_halves() -> None:
    assert wins(Measured("a", (1.0, 2.0)), Measured("b", (2.0, 3.0)), 1) == (3.5, 4)
    assert wins(Measured("a", (1.0, 2.0)), Measured("b", (2.0, 3.0)), -1) == (0.5, 4)


def test_settings_are_ruled_out_step_by_step() -> None:
    """And none that is not told from the leader on both sides, even where Holm's last step would."""
    assert ruled_out(np.array([0.01, 0.02, 0.016])) == [True, True, True]
    assert ruled_out(np.array([0.03, 0.04, 0.01])) == [False, False, True]
    assert ruled_out(np.array([0.9])) == ruled_out(np.array([0.03])) == [False]
    assert ruled_out(np.array([0.02])) == [True]


def test_a_sweep_that_names_none_the_best_names_another_one_that_could_be() -> None:
    generator = np.random.default_rng(0)
    for values in generator.standard_normal((300, 3, 4)) + np.array([0.0, 1.0, 3.0])[:, None]:
        found = verdict_on(settings_of(values), 1)
        assert found is not None
        assert found.best or (len(found.possible) > 1 and found.next in found.possible) == (
            found.would_show is not None
        )
        assert found.best or len(found.possible) > 1


def test_means_that_differ_by_rounding_are_equal() -> None:
    one, other = Measured("a", (60 / 72, 61 / 72, 62 / 72)), Measured("b", (61 / 72,) * 3)
    assert other.deviation == 0
    found = verdict_on([one, other], 1)
    assert found is not None
    assert (found.best, found.next, {found.leader, *found.equal}) == (False, None, {one, other})


def test_one_setting_that_mostly_diverged_does_not_silence_the_others() -> None:
    settings = [Measured("a", (0.10, 0.11, 0.12)), Measured("b", (0.5, 0.51, 0.52))]
    for values, diverged, thin, compared in (
        ((5.0,), 2, None, 2),  # two of three diverged
        ((5.0, 5.1), 1, None, 3),
        ((5.0,), 1, "c", 3),  # it had two seeds only
        ((0.01,), 2, "c", 3),  # it leads
    ):
        found = verdict_on([*settings, Measured("c", values, diverged)], 1)
        assert found is not None
        assert (found.best, found.compared) == (thin is None, compared)
        assert (found.thin and found.thin.name) == thin
    assert verdict_on([settings[0], Measured("c", (5.0,), 2)], 1) is None
