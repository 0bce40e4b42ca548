"""The answer of a sweep, as it stands in the terminal."""

import csv
import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from nnexp.analysis.results import SweepResults
from nnexp.analysis.summary import show_answer
from nnexp.report import terminal
from nnexp.report.rows import number
from nnexp.storage.run_folder import RunSummary, read_history
from tests.analysis.made import Out, computed, diverged, ended, grid, results_of, summary
from tests.conftest import Typed


def answer(capsys: pytest.CaptureFixture[str], results: SweepResults) -> list[str]:
    show_answer(results)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def of(
    capsys: pytest.CaptureFixture[str],
    jobs: list[list[str]],
    outs: Sequence[RunSummary | str | Out],
    wanted: str | None = None,
) -> list[str]:
    return answer(capsys, results_of(jobs, outs, question="Why?", wanted=wanted))


def test_one_setting_alone_is_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    lines = of(capsys, [["seed=0"], ["seed=1"]], [ended(0.2), ended(0.4)])
    assert not any("Lowest:" in line or "Next" in line for line in lines)
    assert re.search(r"all +2 +0\.30 ± 0\.14", "\n".join(lines))


def test_the_validation_part_chooses_where_every_run_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [["a=1"], ["a=2"]]
    both = [summary({"train/loss": x, "test/loss": x, "validation/loss": 3 * x * x}) for x in (0.5, 0.6)]
    swapped = [summary({**both[i].best, "validation/loss": both[1 - i].best["validation/loss"]}) for i in (0, 1)]
    assert "Lowest: a=2, validation/loss 0.750. Next: a=1, 0.330 behind." in of(capsys, jobs, swapped)
    assert "Lowest: a=1, test/loss 0.500. Next: a=2, 0.100 behind." in of(capsys, jobs, [swapped[0], ended(0.6)])


def test_the_metric_that_is_asked_for_chooses_where_every_run_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    jobs, outs = [["a=1"], ["a=2"]], [ended(0.1, accuracy=0.7), ended(0.2, accuracy=0.9)]
    lines = of(capsys, jobs, outs, wanted="test/accuracy")
    assert lines[0] == "Why?"
    assert "Highest: a=2, test/accuracy 0.900. Next: a=1, 0.200 behind." in lines
    assert lines[-1] == "First setting: python -m nnexp a=2"
    assert not any("Highest" in line for line in of(capsys, jobs, [outs[0], ended(0.2)], wanted="test/accuracy"))


def test_what_runs_leave_ranks_them_and_another_reading_that_does_stands_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outs = [summary(0.1, 0.4), summary(0.2, 0.3)]
    text = "\n".join(of(capsys, [["a=1"], ["a=2"]], outs))
    assert re.search(r"setting +train loss +test loss\n", text)
    assert "Lowest: a=2, test/loss 0.300. Next: a=1, 0.100 behind." in text
    text = "\n".join(of(capsys, [["a=1"], ["a=2"]], outs, wanted="min/test/loss"))
    assert re.search(r"setting +train loss +test loss +min test loss\n", text)
    assert re.search(r"a=1 +0\.1000 +0\.4000 +0\.1000\n", text)
    assert "Lowest: a=1, min test/loss 0.100. Next: a=2, 0.100 behind." in text


def test_diverged_and_failed_runs_are_counted_and_take_no_part(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [[f"a={value}", f"seed={seed}"] for value in (1, 2, 3, 4) for seed in (0, 1)]
    early = {"train/loss": 0.0, "test/loss": 0.0}
    outs: list[RunSummary | str | Out] = [
        diverged(early),
        ended(0.5),
        ended(0.7),
        ended(0.9),
        diverged(),
        diverged(early),
        "KeyError: x",
        ended(3),
    ]
    text = "\n".join(of(capsys, jobs, outs))
    assert re.search(r"a=1 +2 \(1 diverged\)( +0\.5000){2}\n", text)
    assert re.search(r"a=2 +2( +0\.80 ± 0\.14){2}\n", text)
    assert re.search(r"a=3 +2 \(2 diverged\)( +diverged){2}\n", text)
    assert re.search(r"a=4 +2 \(1 failed\)( +3\.0000){2}\n", text)
    assert "Incomplete: 1 of 8 runs failed;" in text
    assert "Lowest so far: a=1, test/loss 0.500. Next: a=2, 0.300 behind." in text
    assert "Failed: a=4 seed=0: KeyError: x" in text
    assert "Diverged: 3 of 7 runs; 1 of 2 with a=1, 2 of 2 with a=3." in text
    assert text.endswith("First setting so far: python -m nnexp a=1")


def test_a_sweep_of_nothing_but_diverged_runs_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [["a=1"], ["a=2"]]
    assert "Nothing was evaluated: every run diverged." in of(capsys, jobs, [diverged(), diverged()])
    late = diverged({"train/loss": 1.0, "test/loss": 1.0})
    text = "\n".join(of(capsys, jobs, [late, late]))
    assert len(re.findall(r"a=\d +diverged +diverged", text)) == 2
    assert "Best" not in text.replace("best test loss", "")
    assert "All runs diverged" in text


def test_a_sweep_of_nothing_but_failed_runs_names_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    lines = of(capsys, grid(a=range(8)), [f"Error: {'long ' * 90}\n{number}" for number in range(8)])
    assert "Nothing was evaluated." in lines
    assert [line[:13] for line in lines if line.startswith("Failed")] == [
        f"Failed: a={number}: E"[:13] for number in range(5)
    ]
    assert max(len(line) for line in lines) < 150
    assert lines[-1] == "... and 3 more failed."


@pytest.mark.parametrize(("count", "shown"), [(20, 20), (21, 15)])
def test_many_settings_are_shown_by_rank(capsys: pytest.CaptureFixture[str], count: int, shown: int) -> None:
    losses = [1 + (7 * number) % count for number in range(count)]
    lines = of(capsys, grid(a=range(count)), [ended(loss) for loss in losses])
    found = [float(line.split()[-1]) for line in lines if re.match(r" *a=\d+ +\d", line)]
    assert found == sorted(losses)[:shown]
    assert ("... and 6 more, in report.md" in lines) == (shown < count)


def test_a_list_in_a_name_is_not_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    lines = of(capsys, [["a=[dense]"], ["a=[dense,activate]"]], [ended(0.1), ended(0.2)])
    assert [line.split()[0] for line in lines if line.strip().startswith("a=")] == ["a=[dense]", "a=[dense,activate]"]


def test_what_halving_stopped_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(of(capsys, grid(a=[1, 2]), [summary(0.1, stopped="halving at epoch 9"), ended(0.5)]))
    assert re.search(r"a=1 \(halved\)( +0\.1000){2}\n", text)
    assert "Lowest: a=2, test/loss 0.500." in text


def test_baselines_are_a_line_where_they_agree_and_else_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [[f"a={value}", f"seed={seed}"] for value in (1, 2) for seed in (0, 1)]
    agreeing = [ended(0.5, 0.6, accuracy=0.9) for _ in jobs]
    assert "Baseline: test/accuracy 0.6000." in of(capsys, jobs, agreeing)
    differing = [diverged(), *[ended(0.5, base, accuracy=0.9) for base in (0.6, 0.7, 0.7)]]
    text = "\n".join(of(capsys, jobs, differing))
    assert "Baseline" not in text
    assert "baseline accuracy" in text
    assert "The settings differ in their data: compare each with its baseline." in text
    assert "Lowest:" not in text
    assert re.search(r"a=1 .* 0\.6000\n", text)
    assert re.search(r"a=2 .* 0\.7000\n", text)


@pytest.mark.parametrize("width", [40, 52, 110])
def test_the_answer_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(terminal, "console", lambda: Console(width=width, highlight=False))
    jobs = grid(optimizer__learning_rate=[0.001, 0.01, 0.1], initializer__scale=[0.1, 1], seed=[0, 1])
    lines = answer(capsys, computed(jobs, lambda job: 0.1 + float(job["initializer.scale"])))
    assert (
        max(
            len(line) for line in lines if not re.match("(Best setting|First setting|One of the first settings):", line)
        )
        <= width
    )
    text = "\n".join(lines)
    assert text.count("learning_rate=0.001") == 2 + text.partition("Lowest:")[2].count("learning_rate=0.001")
    assert ("train loss" in text) == (width > 40)
    assert ("runs" in lines[0]) == (width == 110), "which is the same in all rows"
    assert re.search(r"test( loss)?\n", text)


def test_a_sweep_of_the_command_line_is_told_of_its_few_examples_and_of_what_matters(
    typed: Typed, tmp_path: Path
) -> None:
    iris = ("dataset=iris", "loss=categorical_cross_entropy", "dataset.validation_size=0.055", "tracking=none")
    jobs = ("architecture=logistic", "optimizer.learning_rate=0.1,0.2", "sweep.repeats=3", "trainer.epochs=20")
    result = typed("-m", *iris, *jobs, "sweep.matters=10")
    assert result.returncode == 0, result.stderr
    assert ": no difference that matters, all within 10 of the first." in result.stdout
    few = "The validation part has 9 examples only: what is best on them need not be so on others."
    (report,) = tmp_path.glob("outputs/sweeps/*/report.md")
    assert few in result.stdout
    assert few in report.read_text(encoding="utf-8")


SHOWN = ("final/test/loss", "mean/train/loss")
IRIS = ("dataset=iris", "loss=categorical_cross_entropy", "architecture=logistic", "tracking=none")


def test_a_run_that_ends_badly_is_not_called_best(typed: Typed) -> None:
    """With a learning rate of 1000, it has a test loss of 0 by luck after some epoch, and of 85 at the end."""
    result = typed(
        "-m",
        "sweep.confirm=0",
        *IRIS,
        "optimizer.learning_rate=0.001,1000",
        "trainer.epochs=40",
        "trainer.batch_size=1",
    )
    assert result.returncode == 0, result.stderr
    assert "Lowest: learning_rate=0.001, test/loss 0." in result.stdout


def test_a_sweep_speaks_of_what_its_runs_leave_and_ranks_by_the_reading_that_is_asked_for(
    typed: Typed, tmp_path: Path
) -> None:
    rates, early = "optimizer.learning_rate=1,3", "trainer.early_stopping={patience: 5}"
    data = ("dataset=moons", "dataset.points=40", "dataset.noise=0.5", "architecture.activation=tanh", "optimizer=adam")
    result = typed("-m", "sweep.confirm=0", *data, rates, early, "trainer.epochs=60", "sweep.metric=mean/train/loss")
    assert result.returncode == 0, result.stderr
    assert "Lowest: learning_rate=1, mean train/loss " in result.stdout
    (table,) = tmp_path.glob("outputs/sweeps/*/runs.csv")
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as store:
        query = "select value from latest_metrics where key = '{}'"
        recorded = {key: {value for (value,) in store.execute(query.format(key))} for key in SHOWN}
        ((view,),) = store.execute("select value from experiment_tags where key like 'mlflow.sharedViewState%'")
    assert json.loads(view)["orderByKey"] == "metrics.`mean/train/loss`"
    for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines()):
        folder = table.parent / "runs" / row["folder"]
        summary, history = RunSummary.read(folder), read_history(folder).trained
        assert summary is not None
        losses, kept = history.metrics["test/loss"], history.place(summary.final_time)
        assert float(row["final/test/loss"]) == summary.final["test/loss"] == losses[kept] == losses.min()
        assert number(losses[kept]) in result.stdout
        assert float(row["mean/train/loss"]) == pytest.approx(history.metrics["train/loss"].mean())
        assert all(float(row[key]) in recorded[key] for key in SHOWN)
        assert losses[-1] > losses[kept]


def test_a_reading_that_is_none_is_refused_before_anything_is_trained(typed: Typed, tmp_path: Path) -> None:
    result = typed("-m", *IRIS, "seed=1,2", "sweep.metric=maen/train/loss")
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("nnexp: sweep.metric=maen/train/loss: must begin with a reading (final, end, ")
    assert line.endswith("as mean/train/loss, or be train/loss alone")
    assert not (tmp_path / "outputs").exists()


def test_the_best_row_is_bold_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "console", lambda: Console(width=80, highlight=False, force_terminal=True))
    lines = of(capsys, [["a=1"], ["a=2"]], [ended(0.3), ended(0.1)])
    assert [line.strip().startswith("\x1b[1ma=") for line in lines if re.search(r"a=\d.*0\.\d000", line)] == [
        True,
        False,
    ]
