"""The answer of a sweep: which setting is best, and how sure that is."""

import re
from collections.abc import Mapping
from math import nan
from statistics import mean, stdev

import pytest

from nnexp import run
from nnexp.sweep.answer import Objective, Setting, settings_of, show_answer, spread, verdict
from tests.conftest import CommandLine


def ended(loss: float, baseline: float | None = None, **metrics: float) -> Objective:
    objective = Objective(loss)
    objective.metrics = {"train/loss": loss, "test/loss": loss, **{f"test/{name}": v for name, v in metrics.items()}}
    objective.baselines = {} if baseline is None else {"test/accuracy": baseline}
    objective.diverged_step = None
    return objective


def diverged(metrics: Mapping[str, float] | None = None) -> Objective:
    objective = Objective(nan)
    objective.metrics, objective.baselines, objective.diverged_step = metrics or {}, {}, 3
    return objective


def answer(
    capsys: pytest.CaptureFixture[str], jobs: list[list[str]], runs: list[Objective], metric: str | None = None
) -> list[str]:
    show_answer("Why?", jobs, runs, metric)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


GROUPS: list[tuple[list[list[str]], dict[str, list[int]]]] = [
    ([["seed=0"], ["seed=1"]], {"": [0, 1]}),
    ([["a.b=1", "seed=0"], ["a.b=2", "seed=0"], ["a.b=1", "seed=1"]], {"b=1": [0, 2], "b=2": [1]}),
    ([["trainer.epochs=3", "a.b=1"], ["trainer.epochs=3", "a.b=2"]], {"b=1": [0], "b=2": [1]}),
    ([["experiment=x", "++seed=0"], ["experiment=y", "++seed=1"]], {"x": [0], "y": [1]}),
    ([["figures=true", "a=1"], ["figures=false", "a=1"], ["a=2", "figures=true"]], {"a=1": [0, 1], "a=2": [2]}),
    ([["dataset.seed=0"], ["dataset.seed=1"]], {"seed=0": [0], "seed=1": [1]}),
    (
        [["optimizer=sgd"], ["optimizer=adam", "optimizer.beta1=0.5"]],
        {"optimizer=sgd": [0], "optimizer=adam beta1=0.5": [1]},
    ),
]


@pytest.mark.parametrize(("jobs", "expected"), GROUPS, ids=str)
def test_runs_that_differ_in_their_seed_alone_are_one_setting(
    jobs: list[list[str]], expected: dict[str, list[int]]
) -> None:
    runs = [ended(float(number)) for number in range(len(jobs))]
    found = {setting.name: [runs.index(run) for run in setting.runs] for setting in settings_of(jobs, runs)}
    assert found == expected


def test_settings_of_one_short_name_stay_apart() -> None:
    jobs = [["initializer.scale=1"], ["loss.scale=1"]]
    assert [len(setting.runs) for setting in settings_of(jobs, [ended(0.1), ended(0.2)])] == [1, 1]


@pytest.mark.parametrize("values", [[0.25], [0.1, 0.4], [1.0, 2.0, 4.5]])
def test_a_spread_is_the_mean_and_the_standard_deviation(values: list[float]) -> None:
    numbers = [float(text) for text in spread(values).split(" ± ")]
    expected = [mean(values), stdev(values)] if len(values) > 1 else values
    assert numbers == pytest.approx(expected, rel=0.05)


VERDICTS: list[tuple[dict[str, list[float]], str, str | None]] = [
    ({"a": [0.1, 0.3], "b": [1.0, 1.2]}, "Best: a, test/loss 0.2000 ± 0.1414. Next: b, 0.9000 behind.", "more"),
    ({"a": [1.0, 1.2], "b": [0.9, 1.1]}, "Best: b, test/loss 1.0000 ± 0.1414. Next: a, 0.1000 behind.", "no more"),
    ({"a": [0.1, 0.1], "b": [0.1, 9.0]}, "Best: a, test/loss 0.1000 ± 0.0000. Next: b, 4.4500 behind.", "no more"),
    ({"a": [0.1, 0.1], "b": [0.1, 0.1]}, "Best: a, test/loss 0.1000 ± 0.0000. Next: b, 0.0000 behind.", "no more"),
    ({"c": [0.3], "a": [0.1], "b": [0.2]}, "Best: a, test/loss 0.1000. Next: b, 0.1000 behind.", None),
    ({"a": [nan, nan], "b": [5.0, 7.0]}, "Best: b, test/loss 6.0000 ± 1.4142.", None),
    ({"a": [nan, 1.0], "b": [2.0, 2.5]}, "Best: a, test/loss 1.0000. Next: b, 1.2500 behind.", "more"),
]
"""The losses of settings by seed, nan where a run diverged; what is best; and how the gap is beside the spread."""


@pytest.mark.parametrize(("losses", "best", "beside"), VERDICTS, ids=str)
def test_the_verdict(losses: dict[str, list[float]], best: str, beside: str | None) -> None:
    settings = [
        Setting(name, [diverged() if value != value else ended(value) for value in values])  # noqa: PLR0124
        for name, values in losses.items()
    ]
    lines = [best] if beside is None else [best, f"That is {beside} than the spread over seeds."]
    assert verdict(settings, "test/loss") == lines


@pytest.mark.parametrize(
    ("metric", "best"), [("test/loss", "a"), ("test/accuracy", "b"), ("test/log_loss", "a"), ("test/r2", "b")]
)
def test_the_best_is_the_lowest_loss_or_the_highest_score(metric: str, best: str) -> None:
    settings = [
        Setting(name, [ended(value, accuracy=value, log_loss=value, r2=value)])
        for name, value in (("a", 1.0), ("b", 2.0))
    ]
    assert verdict(settings, metric)[0].startswith(f"Best: {best}, ")


def test_one_setting_alone_is_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    lines = answer(capsys, [["seed=0"], ["seed=1"]], [ended(0.2), ended(0.4)])
    assert not any("Best" in line or "Next" in line for line in lines)
    assert re.search(r"all +2 +0\.3000 ± 0\.1414", "\n".join(lines))


def test_the_validation_part_chooses_where_every_run_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [["a=1"], ["a=2"]]
    runs = [ended(0.1), ended(0.2)]
    for run_, value in zip(runs, (2.0, 1.0), strict=True):
        run_.metrics = {**run_.metrics, "validation/loss": value}
    assert "Best: a=2, validation/loss 1.0000. Next: a=1, 1.0000 behind." in answer(capsys, jobs, runs)
    assert "Best: a=1, test/loss 0.1000. Next: a=2, 0.1000 behind." in answer(capsys, jobs, [runs[0], ended(0.2)])


def test_the_metric_that_is_asked_for_chooses_where_every_run_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    jobs, runs = [["a=1"], ["a=2"]], [ended(0.1, accuracy=0.7), ended(0.2, accuracy=0.9)]
    lines = answer(capsys, jobs, runs, "test/accuracy")
    assert lines[0] == "Why?"
    assert lines[-1] == "Best: a=2, test/accuracy 0.9000. Next: a=1, 0.2000 behind."
    assert not any("Best" in line for line in answer(capsys, jobs, [runs[0], ended(0.2)], "test/accuracy"))


def test_diverged_runs_are_counted_and_take_no_part(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [[f"a={value}", f"seed={seed}"] for value in (1, 2, 3) for seed in (0, 1)]
    early = {"train/loss": 0.0, "test/loss": 0.0}
    runs = [diverged(early), ended(0.5), ended(0.7), ended(0.9), diverged(), diverged(early)]
    text = "\n".join(answer(capsys, jobs, runs))
    assert re.search(r"a=1 +2 \(1 diverged\) +0\.5000 +0\.5000\n", text)
    assert re.search(r"a=2 +2 +0\.8000 ± 0\.1414 +0\.8000 ± 0\.1414\n", text)
    assert re.search(r"a=3 +2 \(2 diverged\) +diverged +diverged\n", text)
    assert "Best: a=1, test/loss 0.5000. Next: a=2, 0.3000 behind." in text


def test_a_sweep_of_nothing_but_diverged_runs_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [["a=1"], ["a=2"]]
    assert answer(capsys, jobs, [diverged(), diverged()]) == ["Nothing was evaluated: every run diverged."]
    late = diverged({"train/loss": 1.0, "test/loss": 1.0})
    text = "\n".join(answer(capsys, jobs, [late, late]))
    assert len(re.findall(r"a=\d +diverged +diverged", text)) == 2
    assert "Best" not in text


def test_baselines_are_a_line_where_they_agree_and_else_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [[f"a={value}", f"seed={seed}"] for value in (1, 2) for seed in (0, 1)]
    agreeing = [ended(0.5, 0.6, accuracy=0.9) for _ in jobs]
    assert "Baseline: test/accuracy 0.6000." in answer(capsys, jobs, agreeing)
    differing = [diverged(), *[ended(0.5, base, accuracy=0.9) for base in (0.6, 0.7, 0.7)]]
    text = "\n".join(answer(capsys, jobs, differing))
    assert "Baseline" not in text
    assert "test accuracy by" in text
    assert "The settings differ in their data: compare each with its baseline." in text
    assert "Best" not in text
    assert re.search(r"a=1 .* 0\.6000\n", text)
    assert re.search(r"a=2 .* 0\.7000\n", text)


@pytest.mark.usefixtures("in_folder")
def test_the_objective_of_a_run_is_its_lowest_loss() -> None:
    quiet = ("tracking=none", "verbose=false", "figures=false")
    result = run(["trainer.epochs=30", "optimizer.learning_rate=20", *quiet])
    objective = Objective.of(result)
    assert float(objective) == result.history.metrics["test/loss"].min()
    assert objective.metrics == {name: values[-1] for name, values in result.history.metrics.items()}
    assert result.predictions is not None
    ((_, share),) = result.predictions.baselines().values()
    assert (objective.baselines, objective.diverged_step) == ({"test/accuracy": share}, None)
    lost = Objective.of(run(["architecture.activation=relu", "initializer.scale=1e200", *quiet]))
    assert lost != lost  # noqa: PLR0124 - not a number
    assert (lost.metrics, lost.baselines, lost.diverged_step) == ({}, {}, 1)


def test_a_sweep_on_the_command_line_ends_with_its_answer(nnexp: CommandLine) -> None:
    result = nnexp("-m", "initializer.scale=0.01,0.1", "seed=0,1", "trainer.epochs=3", "tracking=none")
    assert (result.returncode, result.stderr) == (0, "")
    *lines, best, beside, baseline = result.stdout.splitlines()
    runs = [line for line in lines if ": train/loss" in line]
    losses = [float(found) for line in runs for found in re.findall(r"test/loss ([\d.]+)", line)]
    rows = [line.split() for line in lines if re.match(r" *scale=[\d.]+ +2 ", line)]
    assert len(losses) == 4
    assert [row[0] for row in rows] == ["scale=0.01", "scale=0.1"]
    means = {row[0]: mean(losses[2 * number : 2 * number + 2]) for number, row in enumerate(rows)}
    for row in rows:
        assert any(float(cell) == pytest.approx(means[row[0]], abs=1e-4) for cell in row[2:] if cell != "±")
    assert best.startswith(f"Best: {min(means, key=lambda name: means[name])}, test/loss ")
    assert re.fullmatch("That is (no )?more than the spread over seeds.", beside)
    assert re.fullmatch(r"Baseline: test/accuracy 0\.\d{4}\.", baseline)
