"""What is said about the results of a sweep: ranks, importance, warnings and the verdict."""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, permutations
from math import log10, nan
from statistics import fmean, mean, stdev

import pytest
from scipy import stats

from nnexp.analysis.findings import (
    best_run,
    chance,
    divergence,
    first_command,
    flags,
    importance,
    incompleteness,
    levels,
    plateau,
    spread,
    verdict,
    where_diverged,
)
from nnexp.analysis.report import sweep_report
from nnexp.analysis.results import short
from nnexp.analysis.summary import baseline
from nnexp.storage.run_folder import RunSummary
from tests.analysis.made import LENGTH, Out, computed, diverged, ended, falling, grid, results_of, summary

SEEDS = "1 seed each claims nothing: repeat the first ones, with sweep.repeats=5 or more."
CHOSEN = (
    "Chosen by the test part: the value of the first is a little too good, "
    "which a validation part avoids (dataset.validation_size=0.2)."
)


def quiet(best: float = 0.1) -> Out:
    """Return a run about whose end there is nothing to say."""
    return summary(best), falling(1.0, best, best)


@pytest.mark.parametrize("values", [[0.25], [0.1, 0.4], [1.0, 2.0, 4.5]])
def test_a_spread_is_the_mean_and_the_standard_deviation(values: list[float]) -> None:
    numbers = [float(text) for text in spread(values).split(" ± ")]
    assert numbers == pytest.approx([mean(values), stdev(values)] if len(values) > 1 else values, rel=0.05)


def test_a_spread_is_0_only_where_nothing_varies() -> None:
    assert spread([0.1, 0.1, 0.1]) == "0.100 ± 0"
    assert spread([0.69315, 0.69316]) == "0.6932 ± 7e-06"


OTHERS = "every other one that went to the end (p < .05 for each)"
BETTER = "better than the other (p < .05). Next: x=b, 0.990 behind; the first wins all 9 pairs."
VERDICTS: list[tuple[dict[str, list[float]], list[str]]] = [
    (
        {"a": [0.10, 0.11, 0.12], "b": [1.0, 1.1, 1.2]},
        [f"Best: x=a, test/loss 0.110 ± 0.010 over 3 seeds, {BETTER}"],
    ),
    (
        {"a": [1.0, 1.1, 1.2], "b": [0.9, 1.0, 1.2], "c": [9.0, 9.1, 9.2]},
        [
            "Lowest: x=b, test/loss 1.03 ± 0.15 over 3 seeds. Next: x=a, 0.0667 behind; the first wins 6 of 9 pairs.",
            "Not told apart by these seeds: x=b and x=a could be best.",
            "They would show a difference of 0.420; that of the first two takes about 60 seeds each.",
        ],
    ),
    (
        {"a": [1.0, 1.5, 2.0], "b": [1.001, 1.501, 2.001]},
        [
            "Lowest: x=a, test/loss 1.50 ± 0.50 over 3 seeds. Next: x=b, 0.00100 behind; the first wins 6 of 9 pairs.",
            "Not told apart by these seeds: x=a and x=b could be best.",
            "They would show a difference of 1.54; that of the first two takes more than 1,000 seeds each.",
        ],
    ),
    (
        {"a": [0.5, 0.5, 0.5], "b": [0.5, 0.5, 0.5], "c": [0.6, 0.6, 0.6]},
        [
            "Lowest: x=a and x=b are equal, test/loss 0.500. Next: x=c, 0.100 behind.",
            "Not told apart by these seeds: x=a and x=b could be best.",
        ],
    ),
    (
        {"a": [0.4, 0.5, 0.6], "b": [0.6, 0.4, 0.5], "c": [0.45, 0.55, 0.65]},
        [
            "Lowest: x=a and x=b are equal, test/loss 0.500. Next: x=c, 0.0500 behind.",
            "Not told apart by these seeds: x=a, x=b and x=c could be best.",
            "They would show a difference of 0.307.",
        ],
    ),
    (
        {"a": [1.0, 1.1, 1.2], "b": [1.2, 1.3, 1.42]},  # p = .03 on one side, .06 on both
        [
            "Lowest: x=a, test/loss 1.10 ± 0.10 over 3 seeds. Next: x=b, 0.207 behind; the first wins 8.5 of 9 pairs.",
            "Not told apart by these seeds: x=a and x=b could be best.",
            "They would show a difference of 0.324; that of the first two takes about 6 seeds each.",
        ],
    ),
    (
        {"a": [1.0, 1.0, 1.0], "b": [2.4, 3.4, 4.4]},  # told by 3 seeds if both varied alike
        [
            "Lowest: x=a, test/loss 1.00 ± 0 over 3 seeds. Next: x=b, 2.40 behind; the first wins all 9 pairs.",
            "Not told apart by these seeds: x=a and x=b could be best.",
            "They would show a difference of 3.26; that of the first two takes about 4 seeds each.",
        ],
    ),
    (
        {"a": [0.10, 0.11, 0.12], "b": [1.0, 1.1, 1.2], "c": [5.0, nan, nan], "d": [nan, nan, nan]},
        [f"Best: x=a, test/loss 0.110 ± 0.010 over 3 seeds, {BETTER}".replace("the other (p < .05)", OTHERS)],
    ),
    (
        {"a": [0.10, 0.11, 0.12], "c": [0.05, nan, nan]},
        ["Lowest: x=c, test/loss 0.0500. Next: x=a, 0.0600 behind."],
    ),
    (
        {"a": [0.1, 0.3], "b": [1.0, 1.2]},
        ["Lowest: x=a, test/loss 0.20 ± 0.14 over 2 seeds. Next: x=b, 0.900 behind."],
    ),
    ({"c": [0.3], "a": [0.1], "b": [0.2]}, ["Lowest: x=a, test/loss 0.100. Next: x=b, 0.100 behind."]),
    ({"a": [nan, nan], "b": [5.0, 7.0]}, ["Lowest: x=b, test/loss 6.0 ± 1.4 over 2 seeds."]),
    (
        {"a": [*[nan] * 9, 1.0, 1.1, 1.2], "b": [2.0, 2.1, 2.2]},
        [
            "Lowest: x=a, test/loss 1.10 ± 0.10 over 3 seeds. Next: x=b, 1.00 behind; the first wins all 9 pairs.",
            "x=a diverged 9 of 12 times, x=b 0 of 3: it is not called best.",
        ],
    ),
    ({"a": [1.0, 1.1]}, []),
]
"""The best losses of settings by seed, nan where a run diverged; and what is said."""


@pytest.mark.parametrize(("losses", "said"), VERDICTS, ids=str)
def test_the_verdict(losses: dict[str, list[float]], said: list[str]) -> None:
    jobs = [[f"x={name}", f"seed={seed}"] for name, values in losses.items() for seed in range(len(values))]
    outs = [diverged() if v != v else summary(0.001, v) for values in losses.values() for v in values]  # noqa: PLR0124
    assert verdict(results_of(jobs, outs)) == said


def test_what_is_not_ruled_out_because_it_scatters_is_called_so() -> None:
    said = "x=b (0.40 ± 0.45) scatters too much to be ruled out by so few."
    for values, scatters in (([0.01, 0.3, 0.9], True), ([0.104, 0.105, 0.100], False), ([5.0, 6.0, 7.0], False)):
        outs = [summary(0.001, value) for value in (0.101, 0.102, 0.103, *values)]
        lines = verdict(results_of(grid(x=["a", "b"], seed=[0, 1, 2]), outs))
        assert (said in lines) == scatters
        assert any("scatter" in line for line in lines) == scatters


def test_a_setting_is_seen_beside_its_own_baselines() -> None:
    jobs = grid(rate=[1, 2], dataset__split_seed=[0, 1])
    values = [(0.88, 0.8), (1.1, 1.2), (0.95, 0.8), (1.15, 1.2)]
    outs = [replace(summary(loss), baselines={"test/loss": base}) for loss, base in values]
    assert not any("no better than the baseline" in line for line in flags(results_of(jobs, outs))), "0.99 and 1"
    worse = [replace(summary(loss + 0.2), baselines={"test/loss": base}) for loss, base in values]
    line = "The first is no better than the baseline: test/loss 1.1900 beside 1.0000."
    assert line in flags(results_of(jobs, worse))
    assert "Baseline: test/loss 1.0000, means over splits." in baseline(results_of(jobs, outs))


def test_a_learning_rate_of_1_can_be_made_smaller_and_a_width_of_1_cannot() -> None:
    outs = [summary(loss) for loss in (0.1, 0.2, 0.3)]
    for key, extended in (("optimizer__learning_rate", True), ("architecture__width", False)):
        lines = flags(results_of(grid(**{key: [1, 5, 20]}), outs))
        assert any("extend it" in line for line in lines) == extended


def test_who_gets_to_a_level_earlier_but_less_often_is_named() -> None:
    results = results_of(grid(a=[1, 2], seed=[0, 1, 2]), [summary(0.1)] * 6, wanted="time_to/test/loss/0.2")
    times = [13.0, 14.0, 15.0, 9.0, None, None]
    path = "time_to/test/loss/0.2"
    runs = [replace(run, readings={path: time}) for run, time in zip(results.runs, times, strict=True)]
    assert verdict(replace(results, runs=tuple(runs))) == [
        "Lowest: a=1, time to test/loss 0.2: 14.0 ± 1.0 epochs over 3 seeds.",
        "a=1 got there most often; a=2 was earlier, but in 1 of 3 runs.",
    ]


def test_differences_that_do_not_matter_are_called_so() -> None:
    jobs = grid(x=["a", "b"], seed=[0, 1, 2])
    outs = [summary(value) for value in (1.0, 1.01, 1.02, 1.001, 1.011, 1.021)]
    said = "x=a and x=b: no difference that matters, all within 0.1 of the first."
    assert verdict(replace(results_of(jobs, outs), matters=0.1))[1:] == [said]
    assert "x=a and x=b could be best." in " ".join(verdict(replace(results_of(jobs, outs), matters=0.01)))


def test_differences_that_are_shown_and_do_not_matter_make_no_best() -> None:
    outs = [summary(value) for value in (1.0, 1.0001, 1.0002, 1.001, 1.0011, 1.0012, 2.0, 2.1, 2.2)]
    results = results_of(grid(x=["a", "b", "c"], seed=[0, 1, 2]), outs)
    assert verdict(results)[0].startswith("Best: x=a, ")
    assert verdict(replace(results, matters=0.0001))[0].startswith("Best: x=a, ")
    assert verdict(replace(results, matters=0.005)) == [
        "Lowest: x=a, test/loss 1.00010 ± 0.00010 over 3 seeds. Next: x=b, 0.00100 behind; the first wins all 9 pairs.",
        "x=a and x=b: no difference that matters, all within 0.005 of the first.",
    ]


def test_equal_settings_get_the_same_answer_in_every_order() -> None:
    """And no advice that only one of them asks for: neither its place nor its time is that of the best."""

    def answer(rates: Sequence[int]) -> tuple[list[str], list[str], tuple[str, str] | None]:
        outs = [summary({"test/loss": 1.0, "test/accuracy": 0.1 + 0.2}, best_time=33 * rate) for rate in rates]
        results = results_of(grid(rate=rates), outs, wanted="test/accuracy")
        return verdict(results), flags(results), first_command(results)

    said, *others = [answer(rates) for rates in permutations((1, 2, 3))]
    assert [said] * len(others) == others
    assert said == (
        ["Highest: rate=1, rate=2 and rate=3 are equal, test/accuracy 0.300."],
        [SEEDS, CHOSEN],
        ("One of the first settings", "python -m nnexp rate=1"),
    )


@pytest.mark.parametrize(("metric", "said"), [("test/loss", True), ("validation/loss", False), ("train/loss", False)])
def test_what_the_test_part_chooses_is_too_good(metric: str, *, said: bool) -> None:
    outs = [summary({"train/loss": value, "validation/loss": value, "test/loss": value}) for value in (0.1, 0.2)]
    assert (CHOSEN in flags(results_of(grid(x=["a", "b"]), outs, wanted=metric))) == said
    assert CHOSEN not in flags(results_of(grid(seed=[0, 1]), outs, wanted=metric))


@pytest.mark.parametrize(("examples", "said"), [({"test": 8}, True), ({"test": 30}, False), ({"validation": 8}, False)])
def test_few_examples_choose_by_chance(examples: dict[str, int], *, said: bool) -> None:
    outs = [replace(ended(value), examples=examples) for value in (0.1, 0.2)]
    sentence = "The test part has 8 examples only: what is best on them need not be so on others."
    assert (sentence in flags(results_of(grid(x=["a", "b"]), outs))) == said
    assert sentence not in flags(results_of(grid(seed=[0, 1]), outs))


@pytest.mark.parametrize(
    ("metric", "order"), [("loss", "ab"), ("accuracy", "ba"), ("log_loss", "ab"), ("r2", "ba"), ("nothing", "")]
)
def test_the_best_is_the_lowest_loss_or_the_highest_score(metric: str, order: str) -> None:
    outs = [ended(value, accuracy=value, log_loss=value, r2=value) for value in (1.0, 2.0)]
    results = results_of([["x=a"], ["x=b"]], outs, wanted=f"test/{metric}")
    assert "".join(setting.name[-1] for setting in results.ranked) == order


def test_the_winner_is_among_those_that_went_to_the_end() -> None:
    halved = summary(0.1, stopped="halving at epoch 25")
    results = results_of(grid(x=["a", "b", "c"]), [halved, ended(0.3), ended(0.2)])
    assert [setting.name for setting in results.ranked] == ["x=c", "x=b", "x=a"]
    assert verdict(results) == ["Lowest: x=c, test/loss 0.200. Next: x=b, 0.100 behind."]
    assert first_command(results) == ("First setting", "python -m nnexp x=c")


def test_the_best_run_of_a_setting_went_to_the_end() -> None:
    outs = [summary(0.1, stopped="halving at epoch 25"), ended(0.2), ended(0.3)]
    best = best_run(results_of(grid(seed=[0, 1, 2]), outs))
    assert best is not None
    assert best.job == ("seed=1",)


def test_settings_of_different_data_are_not_ranked() -> None:
    results = results_of(grid(x=[1, 2, 3]), [ended(0.1, 0.5, accuracy=0.9), ended(0.2, 0.6, accuracy=0.9), ended(0.3)])
    said = results.ranked, verdict(results), importance(results), first_command(results), flags(results)
    assert said == ([], [], {}, None, [])


def test_the_command_of_the_best_run_is_quoted_for_a_shell() -> None:
    jobs = [["architecture.hidden=[8,4]", f"seed={seed}"] for seed in (0, 1)]
    results = results_of(jobs, [ended(0.2), ended(0.1)])
    assert first_command(results) == ("Command", "python -m nnexp 'architecture.hidden=[8,4]'")
    alone = results_of(jobs[:1], [ended(0.2)])
    assert first_command(alone) == ("Command", "python -m nnexp 'architecture.hidden=[8,4]' seed=0")


def test_a_setting_that_is_shown_to_be_best_is_called_so() -> None:
    outs = [ended(value) for value in (0.1, 0.11, 0.12, 0.9, 0.91, 0.92)]
    results = results_of(grid(rate=[1, 2], seed=[0, 1, 2]), outs)
    assert first_command(results) == ("Best setting", "python -m nnexp rate=1")


def test_where_no_run_left_its_plateau_the_command_takes_larger_steps_for_longer() -> None:
    outs: list[Out] = [(begun(0.69, 0.5), falling(0.6931, 0.69, 0.69)) for _ in range(4)]
    results = results_of([["x=1", *job] for job in grid(optimizer__learning_rate=[1, 0.1], seed=[0, 1])], outs)
    assert first_command(results) == ("To try", "python -m nnexp x=1 trainer.epochs=200 optimizer.learning_rate=10")


def loop_importance(jobs: list[list[str]], scores: list[float], key: int) -> float:
    """Return the share that a key explains of the ranks, by two plain loops."""
    ranks = [sum(other < score for other in scores) + (scores.count(score) + 1) / 2 for score in scores]
    total = sum((rank - fmean(ranks)) ** 2 for rank in ranks)
    explained = 0.0
    for job in jobs:
        group = [rank for other, rank in zip(jobs, ranks, strict=True) if other[key] == job[key]]
        explained += (fmean(group) - fmean(ranks)) ** 2
    return explained / total


@pytest.mark.parametrize("sign", [1, -1])
def test_importance_is_the_main_effect_on_ranks_with_diverged_runs_the_worst(sign: int) -> None:
    jobs = grid(a=[1, 2, 3], b=["x", "y"], seed=[0, 1])
    generator = random.Random(0)  # noqa: S311 - any numbers will do
    values = [generator.choice([0.1, 0.2, 0.3, 0.4]) for _ in jobs]
    outs = [diverged() if i in {3, 8} else ended(1.0, accuracy=value) for i, value in enumerate(values)]
    if sign > 0:
        outs = [diverged() if i in {3, 8} else ended(value) for i, value in enumerate(values)]
    results = results_of(jobs, outs, wanted="test/loss" if sign > 0 else "test/accuracy")
    scores = [9.0 if i in {3, 8} else sign * value for i, value in enumerate(values)]
    shares = importance(results)
    assert shares == pytest.approx(
        {key: loop_importance(jobs, scores, at) for at, key in enumerate(("a", "b", "seed"))}
    )
    assert all(one >= other for one, other in pairwise(shares.values()))
    in_one_of_twenty = stats.chi2.isf(0.05 / 3, [2, 1, 1]) / 11
    assert chance(results) == pytest.approx(dict(zip(("a", "b", "seed"), in_one_of_twenty, strict=True)))


def test_of_keys_without_effect_importance_exceeds_chance_in_few_sweeps() -> None:
    generator, found = random.Random(0), 0  # noqa: S311 - any numbers will do
    for _ in range(100):
        results = computed(grid(a=range(4), b=range(3), seed=range(2)), lambda _: generator.random())
        shares, usual = importance(results), chance(results)
        found += any(shares[key] > usual[key] for key in shares)
    assert found <= 10


def test_what_alone_matters_explains_all() -> None:
    results = computed(grid(a=[1, 2, 3], b=[1, 2]), lambda values: float(values["a"]))
    assert importance(results) == pytest.approx({"a": 1.0, "b": 0.0})
    assert importance(computed(grid(a=[1, 2]), lambda _: 1.0)) == {}
    assert importance(computed(grid(a=[1, 2]), lambda values: float(values["a"]), missing=1)) == {}


def test_drawn_numbers_are_put_into_quarters() -> None:
    results = computed(grid(a=[number / 7 for number in range(40)]), lambda values: float(values["a"]), drawn=["a"])
    groups = levels(results.swept_keys[0], results.runs)
    assert list(groups.values()) == [list(range(start, start + 10)) for start in (0, 10, 20, 30)]
    # Ranks 1 to 40 in four tens: variance of the four means over that of all.
    assert importance(results) == pytest.approx({"a": (4**2 - 1) * 100 / (40**2 - 1)})


def test_runs_that_leave_a_key_at_its_default_are_a_group() -> None:
    results = results_of([["a=1", "b=2"], ["a=2"], ["a=3", "b=1"]], [ended(0.1)] * 3)
    assert levels(results.swept_keys[1], results.runs) == {"1": [2], "2": [0], "default": [1]}


EDGES: list[tuple[list[str], str, str | None]] = [
    (["0.1", "0.3", "1.0"], "1.0", "largest"),
    (["0.01", "0.1", "1"], "0.01", "smallest"),
    (["16", "32", "64", "256"], "256", "largest"),
    (["16", "32", "64"], "16", "smallest"),
    (["-1", "0", "1"], "-1", "smallest"),
    (["1", "1.5", "2"], "1", "smallest"),
    (["0", "0.1", "0.2"], "0", None),
    (["1", "2", "3"], "1", None),
    (["0.1", "0.3", "1.0"], "0.3", None),
    (["0.1", "1.0"], "1.0", None),
    (["relu", "tanh", "elu"], "elu", None),
]
"""The values, the best of them, and the end at which they are to be extended."""


@pytest.mark.parametrize(("values", "best", "end"), EDGES, ids=str)
def test_the_best_at_an_edge(values: list[str], best: str, end: str | None) -> None:
    def results_with(key: str, missing: int = 0) -> list[str]:
        outs = [quiet(0.1 if value == best else 0.5) for value in values]
        return flags(results_of([[f"{key}={value}"] for value in values], outs, missing=missing))

    sentence = f"The first lies at the edge of rate (its {end} value, {best}): extend it."
    expected = [] if end is None else [sentence]
    assert results_with("optimizer.rate") == [*expected, SEEDS, CHOSEN]
    assert results_with("optimizer.rate", missing=1) == [SEEDS, CHOSEN]
    assert not any("edge" in line for line in results_with("seed"))


@pytest.mark.parametrize(("centre", "which"), [(-3.0, "smallest"), (-1.5, None), (0.0, "largest")])
def test_draws_that_crowd_at_an_edge(centre: float, which: str | None) -> None:
    values = [10 ** (-3 + 3 * number / 99) for number in range(100)]
    results = computed(grid(rate=values), lambda job: 0.1 + abs(log10(float(job["rate"])) - centre), drawn=["rate"])
    said = [line for line in flags(results) if "extend" in line]
    edge = {"smallest": "0.001", "largest": "1.0"}.get(which or "")
    sentence = f"The leading draws lie among the {which} values of rate, beside {edge}: extend it."
    assert said == ([] if which is None else [sentence])


CLEARLY_WORSE = (
    "The best setting has its lowest test/loss at epoch 50 of 100, and ends clearly worse (overfitting, or too large "
    "steps): train shorter, or stop early."
)


@pytest.mark.parametrize(
    ("at", "end", "said"),
    [
        (1.0, 0.1, f"The test/loss of the best setting was still falling at its end, epoch {LENGTH}: train longer."),
        (0.9, 0.1, None),
        (0.5, 0.14, None),
        (
            0.5,
            0.15,
            CLEARLY_WORSE,
        ),
    ],
)
def test_when_the_best_was_reached(at: float, end: float, said: str | None) -> None:
    # The loss falls from 1 to 0.1, so more than 0.045 lost again is more than 5 % of what was gained.
    out = summary(0.1, end), falling(1.0, 0.1, end, at=at)
    assert flags(results_of([["a=1"]], [out])) == ([] if said is None else [said])


def begun(end: float, accuracy: float) -> RunSummary:
    """Return what came out where the training loss is four fifths of the other, as in the curves."""
    return summary(
        {"train/loss": 0.8 * end, "test/loss": end, "test/accuracy": accuracy}, baselines={"test/accuracy": 0.5}
    )


@pytest.mark.parametrize(("end", "accuracy", "stuck"), [(0.69, 0.5, True), (0.5, 0.5, False), (0.69, 0.6, False)])
def test_runs_that_stay_on_their_plateau_are_told_what_to_do(end: float, accuracy: float, *, stuck: bool) -> None:
    """And not to extend a range whose values make no difference, or to train shorter."""
    outs: list[Out] = [(begun(end, accuracy), falling(0.6931, end, end)) for _ in range(3)]
    lines = flags(results_of(grid(rate=[0.1, 1, 10]), outs))
    assert (
        any(line.startswith("No run left the plateau on which it began, train/loss 0.552") for line in lines) == stuck
    )
    assert not stuck or (len(lines) == 1 and verdict(results_of(grid(rate=[0.1, 1, 10]), outs)) == [])
    outs[1] = (diverged(), None)
    assert (len(flags(results_of(grid(rate=[0.1, 1, 10]), outs))) == 1) == stuck


def test_what_is_no_better_than_guessing() -> None:
    said = "The best is no better than the baseline: test/accuracy 0.6000 beside 0.6000."
    assert flags(results_of([["a=1"]], [ended(0.1, 0.6, accuracy=0.6)])) == [said]
    assert flags(results_of([["a=1"]], [ended(0.1, 0.6, accuracy=0.7)])) == []


CLOSE: list[tuple[list[list[float]], list[str]]] = [
    ([[0.1, 0.3], [0.21, 0.31]], ["2 seeds each claim nothing"]),
    ([[0.1, 0.11, 0.12], [0.2, 0.21, 0.22]], []),
    ([[0.1], [0.2]], ["1 seed each claims nothing"]),
    ([[0.1]], []),
    ([[0.1, 0.11, 0.12], [0.2]], ["1 seed of x=b claims nothing"]),
    ([[0.1, 0.11, 0.12], [0.2, nan, nan]], []),
]


@pytest.mark.parametrize(("losses", "said"), CLOSE, ids=str)
def test_what_seeds_allow_to_say(losses: list[list[float]], said: list[str]) -> None:
    jobs = [
        [f"x={name}", f"seed={seed}"] for name, row in zip("abcd", losses, strict=False) for seed in range(len(row))
    ]
    outs = [diverged() if value != value else quiet(value) for row in losses for value in row]  # noqa: PLR0124
    lines = flags(results_of(jobs, outs))
    assert [line.partition(":")[0] for line in lines if line != CHOSEN] == said


LOST: dict[str, tuple[list[float | None], str]] = {
    "all": ([None, None, None], "All runs diverged: try smaller learning rates, or smaller starting weights."),
    "most": ([None, 0.1, None], "More than half of the runs diverged: move the ranges away from where they do."),
    "some": ([None, 0.1, 0.2], SEEDS),
}


@pytest.mark.parametrize("name", LOST)
def test_how_many_diverged(name: str) -> None:
    losses, said = LOST[name]
    outs: list[RunSummary | str | Out] = [diverged() if loss is None else quiet(loss) for loss in losses]
    assert flags(results_of(grid(x=["a", "b", "c"]), outs))[0] == said


def test_where_runs_diverged_is_said_by_the_key_that_differs_most() -> None:
    results = computed(grid(a=[1, 2], b=[1, 2, 3], seed=[0, 1]), lambda job: None if job["b"] == "3" else 0.1)
    assert where_diverged(results) == {
        "a": [("a=1", 2, 6), ("a=2", 2, 6)],
        "b": [("b=1", 0, 4), ("b=2", 0, 4), ("b=3", 4, 4)],
    }
    assert divergence(results) == "Diverged: 4 of 12 runs; 4 of 4 with b=3."
    assert divergence(computed(grid(a=[1]), lambda _: 0.1)) is None


def test_keys_that_move_together_are_judged_together() -> None:
    jobs = [[f"rate={rate}", f"width={8 * rate}", f"depth={depth}"] for rate in (1, 2, 3) for depth in (1, 2)]
    results = computed(jobs, lambda job: None if job["rate"] == "1" else 1 / float(job["rate"]) / int(job["depth"]))
    assert [*importance(results)] == ["rate", "depth"]
    assert divergence(results) == "Diverged: 2 of 6 runs; 2 of 2 with rate=1 and width=8."
    assert "The first lies at the edge of rate and width (rate=3 and width=24): extend them." in flags(results)
    assert "`rate`, `width`" in sweep_report(results, [])


def test_diverged_seeds_of_the_best_are_told() -> None:
    lines = flags(results_of(grid(seed=[0, 1, 2]), [quiet(), quiet(), diverged()]))
    assert lines == ["1 of 3 runs of the first setting diverged, which its mean leaves out."]


@pytest.mark.parametrize(
    ("outs", "missing", "said"),
    [
        ([ended(1), ended(1)], 0, None),
        ([ended(1), diverged()], 0, None),
        ([ended(1), ended(1)], 3, "Incomplete: 3 of 5 runs are missing;"),
        ([ended(1), "no"], 1, "Incomplete: 1 of 3 runs is missing and 1 failed;"),
        ([ended(1), "no"], 0, "Incomplete: 1 of 2 runs failed;"),
    ],
)
def test_what_is_missing_is_named(outs: list[RunSummary | str], missing: int, said: str | None) -> None:
    results = results_of(grid(a=["x", "y"]), outs, missing=missing)
    text = incompleteness(results)
    assert (text is None) == (said is None)
    assert (text or "").startswith(said or "")
    if missing:
        assert (
            [line for line in verdict(results) if line.startswith("Lowest so far: a=x")] == verdict(results)[:1] != []
        )


def test_drawn_digits_are_shortened() -> None:
    assert short("rate=0.0031622776601683794 scale=0.25 b=1.23456789e-05") == "rate=0.003162 scale=0.25 b=1.235e-05"


def test_a_run_whose_loss_rises_is_on_no_plateau() -> None:
    stuck, rising = falling(1.1, 1.1, 1.1), falling(1.1, 1.1, 500.0)
    outs = [begun(value, 0.3) for value in (1.1, 500.0)]
    pairs: list[Out] = list(zip(outs, (stuck, rising), strict=True))
    results = results_of(grid(rate=[0.1, 1e5]), pairs)
    assert plateau(results) is None
    assert verdict(results)[0].startswith("Lowest: rate=0.1, test/loss 1.10.")
    assert plateau(results_of(grid(rate=[0.1, 1]), [pairs[0], pairs[0]])) == pytest.approx(0.88)
