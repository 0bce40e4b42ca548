"""Fresh seeds test and measure what the first ones chose: as often right as the rule promises, and without bias."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from nnexp.analysis.confirmation import Confirmation
from nnexp.analysis.findings import first_command, flags, incompleteness, verdict
from nnexp.analysis.results import SweepResults
from nnexp.analysis.runs_table import runs_table
from nnexp.analysis.summary import show_answer
from nnexp.analysis.verdict import Measured, Moments, worse
from tests.analysis.made import diverged, ended, grid, results_of

SWEEPS = 2000
RATES = ["0.1", "1", "10"]


def asked_again(chosen: Sequence[float], fresh: dict[str, Sequence[float | None]]) -> SweepResults:
    """Return a sweep of three rates with one seed each, and what fresh seeds gave by rate; None is a divergence."""
    results = results_of(grid(rate=RATES), [ended(loss) for loss in chosen])
    jobs, outs = [], []
    for rate, losses in fresh.items():
        for seed, loss in enumerate(losses, 1):
            jobs.append([*([f"rate={rate}"] if rate else []), f"seed={seed}"])
            outs.append(diverged() if loss is None else ended(loss))
    again = results_of(jobs, outs).runs
    return replace(results, fresh=tuple(replace(run, fresh=True, config_hash=str(run.job)) for run in again))


CHOSEN = "rate=1, test/loss 0.105 ± 0.013 over 4 fresh seeds"
LOW, MIDDLE, HIGH = (0.1, 0.11, 0.12, 0.09), (0.2, 0.21, 0.22, 0.19), (0.5, 0.51, 0.52, 0.49)


@pytest.mark.parametrize(
    ("fresh", "said"),
    [
        (
            {"1": LOW, "0.1": MIDDLE, "10": HIGH},
            ["Best: rate=1, test/loss 0.105 ± 0.013 over 4 fresh seeds, better than the next 2 (p < .05 for each)."],
        ),
        (
            {"1": LOW, "": HIGH},
            [
                "Chosen: rate=1, test/loss 0.105 ± 0.013 over 4 fresh seeds.",
                "The default: 0.505 ± 0.013.",
            ],
        ),
        (
            {"1": MIDDLE, "0.1": LOW, "": (None, None, None, None)},
            [
                "Chosen: rate=1, test/loss 0.205 ± 0.013 over 4 fresh seeds.",
                "rate=0.1 (0.105 ± 0.013) is better (p < .05).",
                "The default: diverged every time.",
            ],
        ),
        (
            {"1": LOW[:2], "0.1": HIGH[:2]},
            [
                "Chosen: rate=1, test/loss 0.1050 ± 0.0071 over 2 fresh seeds.",
                "So few fresh seeds claim nothing: sweep.confirm=10.",
            ],
        ),
        (
            {"1": (*LOW, *[None] * 6), "0.1": (*MIDDLE, *MIDDLE, *MIDDLE[:2])},
            [
                "Chosen: rate=1, test/loss 0.105 ± 0.013 over 4 fresh seeds (6 more diverged).",
                "They do not tell it from rate=0.1 (0.205 ± 0.011).",
            ],
        ),
        (
            {"1": LOW, "0.1": (0.5, *[None] * 9), "10": (0.51, 0.9, *[None] * 8), "": MIDDLE},
            [
                f"Best: {CHOSEN}, better than the next 2 and the default (p < .05 for each).",
                "The default: 0.205 ± 0.013.",
            ],
        ),
        (
            {"1": LOW[:3], "0.1": (0.19, None, None), "10": HIGH},
            [
                "Chosen: rate=1, test/loss 0.110 ± 0.010 over 3 fresh seeds.",
                "They do not tell it from rate=0.1 (0.190 (2 diverged)).",
            ],
        ),
        (
            {"1": (0.1, None, None, None), "": (None, None, None, None)},
            [
                "Chosen: rate=1, test/loss 0.100 over 1 fresh seed (3 more diverged).",
                "So few fresh seeds claim nothing: sweep.confirm=10.",
                "The default: diverged every time.",
            ],
        ),
    ],
)
def test_what_fresh_seeds_say(fresh: dict[str, Sequence[float | None]], said: list[str]) -> None:
    results = asked_again([0.3, 0.2, 0.4], fresh)
    assert verdict(results) == said
    assert not any("claim nothing: repeat" in line or "claims nothing: repeat" in line for line in flags(results))
    command = first_command(results)
    assert command is not None
    better = any("is better" in line for line in said)
    assert command[0] == (
        "Best setting" if said[0].startswith("Best") else f"{'First' if better else 'Chosen'} setting"
    )
    assert ("rate=0.1" in command[1]) == better


def test_of_many_equal_settings_hardly_any_is_called_better_than_the_chosen_one() -> None:
    generator, claims = np.random.default_rng(0), 0
    for values in generator.standard_normal((500, 9, 5)):
        leader, *others = [Measured(str(place), tuple(row)) for place, row in enumerate(values.tolist())]
        claims += bool(Confirmation(leader, tuple(others), 1).better)
    assert claims <= 0.05 * 500


def test_the_table_has_a_column_of_fresh_seeds_and_a_row_of_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    show_answer(asked_again([0.3, 0.2, 0.4], {"1": LOW, "10": (None, None, None), "": HIGH}))
    lines = [re.sub(" {2,}", "|", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line.startswith(("setting", "rate", "the default"))] == [
        "setting|train loss|test loss|fresh seeds",
        "rate=1|0.2000|0.2000|0.105 ± 0.013",
        "rate=0.1|0.3000|0.3000",
        "rate=10|0.4000|0.4000|diverged every time",
        "the default|0.505 ± 0.013",
    ]


def test_where_one_fresh_seed_fails_the_next_setting_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    """The mean of the chosen one is then far above the others, and scatters too much to be told from them."""
    results = asked_again([0.3, 0.2, 0.4], {"1": [*[0.1] * 9, 20.0], "0.1": [*MIDDLE, *MIDDLE], "": HIGH})
    assert verdict(results) == [
        "Chosen: rate=1, test/loss 2.1 ± 6.3 over 10 fresh seeds.",
        "They do not tell it from rate=0.1 (0.205 ± 0.012) and the default (0.505 ± 0.013).",
        "First by the fresh seeds, though: rate=0.1.",
        "The default: 0.505 ± 0.013.",
    ]
    assert first_command(results) == ("First setting", "python -m nnexp rate=0.1")
    show_answer(results)
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith(" rate")]
    assert rows == ["rate=0.1", "rate=1", "rate=10"]


def test_a_run_under_two_names_has_one_row() -> None:
    results = asked_again([0.3, 0.2, 0.4], {"1": LOW, "": LOW})
    twice = tuple(replace(run, config_hash=f"{run.value('seed')}") for run in results.fresh)
    _, rows = runs_table(replace(results, fresh=twice))
    assert [row[0] for row in rows] == ["rate=0.1", "rate=1", "rate=10", *[f"rate=1 seed={seed}" for seed in "1234"]]


def test_differences_that_do_not_matter_are_none() -> None:
    results = replace(asked_again([0.3, 0.2, 0.4], {"1": LOW, "0.1": MIDDLE, "10": HIGH}), matters=0.2)
    assert verdict(results) == [
        "Chosen: rate=1, test/loss 0.105 ± 0.013 over 4 fresh seeds.",
        "rate=1 and rate=0.1: no difference that matters, all within 0.2 of the first.",
    ]


def test_nothing_is_best_while_fresh_runs_are_missing_or_failed() -> None:
    whole = asked_again([0.3, 0.2, 0.4], {"1": LOW, "0.1": MIDDLE})
    failed = tuple(
        replace(run, summary=None, error="why") if run.value("seed") == "1" and run.value("rate") == "0.1" else run
        for run in whole.fresh
    )
    for results, said in (
        (replace(whole, missing=4), "Incomplete: 4 of 15 runs are missing;"),
        (replace(whole, fresh=failed), "Incomplete: 1 of 11 runs failed;"),
    ):
        assert verdict(results)[0].startswith("Chosen so far: rate=1")
        assert (incompleteness(results) or "").startswith(said)
        assert not results.complete


def test_without_fresh_seeds_of_the_chosen_one_nothing_is_confirmed() -> None:
    assert asked_again([0.3, 0.2, 0.4], {}).confirmation is None
    assert asked_again([0.3, 0.2, 0.4], {"0.1": LOW}).confirmation is None
    assert asked_again([0.3, 0.2, 0.4], {"1": (None, None)}).confirmation is None


def test_the_default_that_is_one_of_the_settings_is_asked_once() -> None:
    results = asked_again([0.3, 0.2, 0.4], {"1": LOW, "0.1": MIDDLE, "": MIDDLE})
    same = [
        replace(run, config_hash=f"{run.value('seed')}") if run.value("rate") in (None, "0.1") else run
        for run in results.fresh
    ]
    found = replace(results, fresh=tuple(same)).confirmation
    assert found is not None
    assert [one.name for one in found.others] == ["rate=0.1"]


@pytest.mark.parametrize(("gap", "often"), [(2.0, (0.92, 1.0)), (0.0, (0.0, 0.03))])
def test_of_twenty_settings_the_best_is_confirmed_and_of_equal_ones_none(
    gap: float, often: tuple[float, float]
) -> None:
    """Chosen by five seeds each and tested by ten fresh ones; what is said of its value is not biased."""
    generator = np.random.default_rng(3)
    means = np.array([0.0, *[gap] * 19])[:, None]
    choosing = (means + generator.standard_normal((SWEEPS, 20, 5))).mean(axis=-1)
    fresh = means + generator.standard_normal((SWEEPS, 20, 10))
    first = choosing.argsort(axis=-1)[:, :5]
    asked = np.take_along_axis(fresh, first[:, :, None], axis=1)
    moments = asked.mean(axis=-1), asked.std(axis=-1, ddof=1), np.full(first.shape, 10.0)
    leader, others = (Moments(*(part[:, rows] for part in moments)) for rows in (slice(1), slice(1, None)))
    best = np.asarray((2 * worse(leader, others) < 0.05).all(axis=-1))
    for place in [*range(20), *np.flatnonzero(best)[:10].tolist()]:
        one, *rest = [Measured(str(index), tuple(row)) for index, row in enumerate(asked[place].tolist())]
        assert Confirmation(one, tuple(rest), 1).best == bool(best[place])
    right = best & ((first[:, 0] == 0) | (gap == 0))
    assert often[0] <= right.mean() <= often[1]
    assert abs((asked[:, 0].mean(axis=-1) - means[first[:, 0], 0]).mean()) < 0.1
    assert gap > 0 or (choosing.min(axis=-1)).mean() < -0.7, "that of the seeds that chose it is"
