"""The data model of a sweep: settings, what is varied, what is fixed, and what a run returns."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from nnexp.analysis.findings import verdict
from nnexp.analysis.results import SweepResults, SweepRun, SweptKey
from nnexp.analysis.runs_table import runs_csv
from nnexp.analysis.summary import baseline, settings_table
from nnexp.training.history import History
from tests.analysis.made import diverged, ended, grid, results_of, summary

GROUPS: list[tuple[list[list[str]], dict[str, list[int]]]] = [
    ([["seed=0"], ["seed=1"]], {"": [0, 1]}),
    ([["a.b=1", "seed=0"], ["a.b=2", "seed=0"], ["a.b=1", "seed=1"]], {"b=1": [0, 2], "b=2": [1]}),
    ([["trainer.epochs=3", "a.b=1"], ["trainer.epochs=3", "a.b=2"]], {"b=1": [0], "b=2": [1]}),
    ([["experiment=x", "++seed=0"], ["experiment=y", "++seed=1"]], {"x": [0], "y": [1]}),
    ([["figures=true", "a=1"], ["figures=false", "a=1"], ["a=2", "figures=true"]], {"a=1": [0, 1], "a=2": [2]}),
    ([["dataset.seed=0"], ["dataset.seed=1"]], {"": [0, 1]}),
    (
        [["optimizer=sgd"], ["optimizer=adam", "optimizer.beta1=0.5"]],
        {"optimizer=sgd": [0], "optimizer=adam beta1=0.5": [1]},
    ),
]


@pytest.mark.parametrize(("jobs", "expected"), GROUPS, ids=str)
def test_runs_that_differ_in_their_seed_alone_are_one_setting(
    jobs: list[list[str]], expected: dict[str, list[int]]
) -> None:
    results = results_of(jobs, [ended(float(number)) for number in range(len(jobs))])
    found = {setting.name: [results.runs.index(run) for run in setting.runs] for setting in results.settings}
    assert found == expected


def test_settings_and_keys_of_one_short_name_stay_apart() -> None:
    results = results_of([["initializer.scale=1"], ["loss.scale=1"]], [ended(0.1), ended(0.2)])
    assert [len(setting.runs) for setting in results.settings] == [1, 1]
    assert results.titles == {"initializer.scale": "initializer.scale", "loss.scale": "loss.scale"}
    assert [one.name for one in results.settings] == ["initializer.scale=1", "loss.scale=1"]
    assert [run.name for run in results.runs] == ["initializer.scale=1", "loss.scale=1"]
    assert results_of(grid(a__scale=[1, 2], b=[1, 2]), [ended(0.1)] * 4).titles == {"a.scale": "scale", "b": "b"}


AXES: list[tuple[list[str], bool]] = [
    (["0.1", "0.01", "1"], True),
    (["1", "100"], True),
    (["1", "2", "8"], False),
    (["0", "0.1", "10"], False),
    (["sgd", "adam"], False),
    ([str(number) for number in range(2, 28, 2)], False),
    ([str(10 ** (number / 10)) for number in range(30)], True),
    ([str(0.01 + number / 30) for number in range(30)], False),
]


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize(("values", "logarithmic"), AXES, ids=str)
def test_what_kind_of_axis_a_key_has(values: list[str], *, logarithmic: bool, drawn: bool) -> None:
    """Whether its values were drawn or listed is how they were given, not how many there are."""
    outs = [ended(0.1)] * len(values)
    (swept,) = results_of([[f"a.b={value}"] for value in values], outs, drawn=["a.b"] if drawn else []).swept_keys
    assert (swept.drawn, swept.logarithmic) == (drawn, logarithmic)
    assert swept.values == tuple(sorted(values, key=float) if values[0] != "sgd" else values)
    assert isinstance(swept, SweptKey)


def test_what_all_runs_share_is_fixed_but_for_what_changes_no_number() -> None:
    jobs = [[f"a={value}", "trainer.epochs=3", "tracking=none", *more] for value in (1, 2) for more in ([], ["b=1"])]
    assert results_of(jobs, [ended(0.1)] * 4).fixed == ["trainer.epochs=3"]


COMPLETE = [
    ([ended(0.1), diverged()], 0, True),
    ([ended(0.1), ended(0.1)], 1, False),
    ([ended(0.1), "ValueError: no"], 0, False),
]


@pytest.mark.parametrize(("outs", "missing", "complete"), COMPLETE, ids=range(3))
def test_a_sweep_is_complete_if_all_was_done_and_nothing_failed(
    outs: list[str], missing: int, *, complete: bool
) -> None:
    results = results_of([["a=1"], ["a=2"]], outs, missing=missing)
    assert (results.complete, results.total) == (complete, 2 + missing)


def test_settings_can_be_compared_while_their_baselines_agree() -> None:
    jobs = [["a=1"], ["a=2"], ["a=3"]]
    assert results_of(jobs, [ended(1, 0.5), diverged(), ended(1, 0.5)]).comparable
    differing = results_of(jobs, [ended(1, 0.6), diverged(), ended(1, 0.5)])
    assert not differing.comparable
    assert differing.baselines == {"test/accuracy": [0.5, 0.6]}


@pytest.mark.parametrize(
    ("job", "same"),
    [
        ("dataset.noise=0.4", False),
        ("dataset=xor", False),
        ("dataset.points=60", False),
        ("experiment=mine", False),
        ("dataset.standardize=false", True),
        ("dataset.subsample=0.5", True),
        ("dataset.label_noise=0.1", True),
    ],
)
@pytest.mark.parametrize("metric", ["test/loss", "test/accuracy"])
def test_other_examples_of_the_same_baseline_are_not_compared(job: str, metric: str, *, same: bool) -> None:
    outs = [ended(0.5, 0.5, accuracy=0.9), replace(ended(0.4, 0.5, accuracy=0.8), data_digest="other")]
    results = results_of([[], [job]], outs, wanted=metric)
    assert results.comparable == same
    assert ("The settings differ in their data" in baseline(results)[0]) == (not same)
    alike = results_of([[], [job]], [ended(0.5, 0.5), ended(0.4, 0.5)])
    assert alike.comparable, "whatever varies, the examples are the same"


def test_a_run_that_ends_far_above_where_it_began_has_diverged() -> None:
    results = results_of(grid(a=[1, 2, 3]), [ended(900), ended(1100), ended(0.5)])
    begun = [replace(run, readings={**run.readings, "start/train/loss": 1.0}) for run in results.runs]
    assert [run.diverged for run in begun] == [False, True, False]
    assert [run.reading("test/loss") for run in begun] == [900, None, 0.5]


def test_what_is_drawn_moves_with_nothing() -> None:
    jobs = [[f"rate={0.1 * n}", f"scale={n}"] for n in range(1, 6)]
    outs = [ended(n) for n in range(5)]
    assert len(results_of(jobs, outs).together) == 1
    assert len(results_of(jobs, outs, drawn=["rate", "scale"]).together) == 2


def test_losses_of_another_kind_are_not_compared_and_other_metrics_are() -> None:
    outs = [replace(ended(1, r2=0.5), baselines={"test/loss": value}) for value in (0.8, 0.4)]
    for key in ("loss=mse,huber", "loss.factor=1,0.01"):
        name, _, values = key.partition("=")
        jobs = [[f"{name}={value}"] for value in values.split(",")]
        assert (results_of(jobs, outs).comparable, results_of(jobs, outs).losses_differ) == (False, True)
        assert results_of(jobs, outs, wanted="test/r2").comparable
        assert "as sweep.metric=test/r2." in " ".join(baseline(results_of(jobs, outs)))


def test_splits_and_seeds_of_the_data_are_repeats() -> None:
    """Their baselines may differ, from repeat to repeat."""
    jobs = grid(dataset__split_seed=[0, 1, 2], seed=[0, 1], rate=[1, 2])
    outs = [ended(1, 0.5 + 0.1 * (place // 4)) for place in range(12)]
    results = results_of(jobs, outs)
    assert results.comparable
    assert [(one.name, len(one.runs)) for one in results.settings] == [("rate=1", 6), ("rate=2", 6)]
    assert results.repeats_name == "repeats"
    assert results_of(grid(dataset__split_seed=[0, 1]), outs[:2]).repeats_name == "splits"
    folds = results_of(grid(dataset__fold=[0, 1], rate=[1, 2]), outs[:4])
    assert [(one.name, len(one.runs)) for one in folds.settings] == [("rate=1", 2), ("rate=2", 2)]
    assert (folds.repeats_name, folds.fresh_name) == ("folds", "splits")


def test_a_setting_is_halved_if_none_of_its_runs_went_to_the_end() -> None:
    stopped = summary(0.1, stopped="halving at epoch 25")
    results = results_of(grid(a=[1, 2], seed=[0, 1]), [stopped, stopped, stopped, ended(0.1)])
    assert [run.halved for run in results.runs] == [True, True, True, False]
    assert [setting.halved for setting in results.settings] == [True, False]


def run_of(job: str, losses: list[float], path: str, *, diverged_step: int | None = None) -> SweepRun:
    times = np.arange(1, len(losses) + 1)
    history = History(times, {"test/loss": np.array(losses), "train/loss": np.array(losses)})
    out = summary({"test/loss": min(losses)}, {"test/loss": losses[-1]}, diverged_step=diverged_step)
    return SweepRun(job=(job, f"seed={len(losses)}"), name=job).ended(out, history, path)


RANKS = {
    "test/loss": "bac",
    "end/test/loss": "bac",
    "min/test/loss": "abc",
    "best/test/loss": "abc",
    "max/test/loss": "bac",
    "mean/test/loss": "abc",
    "sum/test/loss": "abc",
    "time_to/test/loss/0.2": "a",
    "time_to/test/loss/1.5": "acb",
    "trainability/test/loss": "cbad",  # what trains comes first, but the slowest of it
}
"""Settings from best to worst."""


@pytest.mark.parametrize("path", RANKS)
def test_settings_are_ranked_by_any_reading(path: str) -> None:
    runs = [
        run_of("x=a", [2.0, 0.1, 0.1, 1.1], path),
        run_of("x=b", [1.9, 1.8, 0.5, 0.4], path),
        run_of("x=c", [3.0, 1.2, 2.0, 3.0], path),
        run_of("x=d", [0.5, 0.9], path, diverged_step=3),
    ]
    results = SweepResults(question=None, command="", runs=tuple(runs), wanted=path)
    kept = "d" if path == "time_to/test/loss/1.5" else ""
    assert "".join(setting.name[-1] for setting in results.ranked) == kept + RANKS[path]
    assert [run.reading("start/test/loss") for run in runs] == [None] * 4


def test_a_level_that_was_never_reached_is_no_number_and_comes_last() -> None:
    path = "time_to/test/loss/1"
    losses = {"x=a": [[3.0, 0.9], [3.0, 0.9, 0.9]], "x=b": [[0.1, 0.1], [2.0, 2.0, 2.0]], "x=c": [[2.0], [2.0, 2.0]]}
    runs = [run_of(job, one, path) for job, several in losses.items() for one in several]
    results = SweepResults(question=None, command="", runs=tuple(runs), wanted=path)
    assert [(setting.name, setting.scores(path)) for setting in results.ranked] == [("x=a", [2.0, 2.0]), ("x=b", [1.0])]
    assert "Lowest: x=a, time to test/loss 1: 2.00 ± 0 epochs over 2 seeds." in verdict(results)
    (_, *rows) = settings_table(results, results.settings)
    assert [row[-1] for row in rows[0]] == ["2.00 ± 0", "1.0000", ""]
    assert [row[path] for row in csv.DictReader(runs_csv(results).splitlines())] == ["2.0", "2.0", "1.0", "", "", ""]
