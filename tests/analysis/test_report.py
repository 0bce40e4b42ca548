"""The report of a sweep, its table of runs, and its figures as files."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest

from nnexp.analysis.chosen_figures import pairs, sweep_figures
from nnexp.analysis.report import MAX_ROWS, caption, sweep_report, write_report
from nnexp.analysis.results import SweepResults
from nnexp.analysis.runs_table import runs_csv
from nnexp.storage.run_folder import RunSummary
from tests.analysis.made import Out, computed, diverged, ended, grid, results_of, summary
from tests.runs.test_report import assert_is_markdown, section, tables


def smooth(job: dict[str, str]) -> float | None:
    rate, scale = float(job["optimizer.learning_rate"]), float(job["initializer.scale"])
    return None if rate * scale > 0.5 else 0.1 + abs(rate - 0.1) + abs(scale - 0.1)


GRID = computed(
    grid(optimizer__learning_rate=[0.01, 0.1, 1], initializer__scale=[0.1, 1], seed=[0, 1], trainer__epochs=[100]),
    smooth,
)
NOTHING = results_of([["a=1"], ["a=2"]], ["KeyError: x|y", "ValueError"])
DIFFERING = results_of(grid(a=[1, 2]), [ended(0.1, 0.5, accuracy=0.9), ended(0.2, 0.6, accuracy=0.9)])
SWEEPS: dict[str, SweepResults] = {
    "grid": GRID,
    "incomplete": replace(GRID, missing=3),
    "one": computed([["trainer.epochs=9"]], lambda _: 0.1),
    "defaults": results_of([[]], [ended(0.1)]),
    "seeds": computed(grid(seed=[0, 1, 2]), lambda _: 0.1),
    "lost": computed(grid(a=[1, 2]), lambda _: None),
    "nothing": NOTHING,
    "differing": DIFFERING,
    "many": computed(grid(a=range(60)), lambda job: 1 + float(job["a"])),
    "union": results_of([["a=1", "b=2"], ["a=2"], ["a=3", "b=[1,2]"]], [ended(0.1), ended(0.2), diverged()]),
}
every_sweep = pytest.mark.parametrize("name", SWEEPS)


@every_sweep
def test_the_report_is_whole(name: str) -> None:
    results = SWEEPS[name]
    figures = list(sweep_figures(results))
    text = sweep_report(results, figures)
    assert_is_markdown(text)
    captioned = re.findall(r"!\[(\w+)\]\(figures/(\w+)\.png\)\n\n(.+)", text)
    assert captioned == [(f, f, caption(f, results)) for f in figures]
    repeated = len(results.settings) < len(results.runs)
    assert repeated or not re.search("mean|repeat", " ".join(said for _, _, said in captioned))
    assert text.startswith("# Sweep ")
    assert f"\n    {results.command}\n" in text
    assert ("Incomplete" in text.splitlines()[2]) == (name in {"incomplete", "nothing"})


def test_what_is_varied_and_fixed_has_its_role() -> None:
    rows = tables(section(sweep_report(GRID, []), "What is varied"))[0][2:]
    assert [tuple(row) for row in rows] == [
        ("`optimizer.learning_rate`", "studied", "`0.01`, `0.1`, `1`"),
        ("`initializer.scale`", "studied", "`0.1`, `1`"),
        ("`seed`", "nuisance", "`0`, `1`"),
        ("`trainer.epochs`", "fixed", "`100`"),
    ]


def test_the_best_run_is_commanded_and_importance_is_left_out_of_what_is_incomplete() -> None:
    command = r"(?:First|Best) setting( so far)?:\n\n    python -m nnexp (.*)\n"
    whole, part = (sweep_report(SWEEPS[name], []) for name in ("grid", "incomplete"))
    best = "optimizer.learning_rate=0.1 initializer.scale=0.1 trainer.epochs=100"
    assert re.findall(command, whole) == [("", best)]
    assert re.findall(command, part) == [(" so far", best)]
    assert "## Importance" in whole
    assert "## Importance" not in part
    assert "**Incomplete: 3 of 15 runs are missing;" in part


def test_diverged_runs_are_shown_by_value() -> None:
    rows = tables(section(sweep_report(GRID, []), "Diverged runs"))[0][2:]
    assert [tuple(row) for row in rows] == [
        ("`learning_rate=1`", "2 of 4", "50 %"),
        ("`scale=1`", "2 of 6", "33 %"),
    ]


def test_of_many_runs_the_best_are_in_the_report_and_all_in_the_table() -> None:
    results = replace(SWEEPS["many"], runs=SWEEPS["many"].runs[::-1])
    text = section(sweep_report(results, []), "Runs")
    (_, _, *rows) = tables(text)[0]
    assert [row[0] for row in rows] == [f"a={number}" for number in range(MAX_ROWS)]
    assert f"The best {MAX_ROWS} of 60 runs; `runs.csv` has all runs" in text
    assert len(runs_csv(results).splitlines()) == 61


def test_runs_that_went_to_the_end_come_first_and_then_all_others() -> None:
    outs: list[RunSummary | str | Out] = [
        "no",
        diverged(),
        summary(0.1, stopped="halving at epoch 9"),
        ended(0.5),
        ended(0.4),
    ]
    (_, _, *rows) = tables(section(sweep_report(results_of(grid(a=range(5)), outs), []), "Runs"))[0]
    endings = {row[0]: row[-2] for row in rows}
    assert list(endings.items()) == [
        ("a=4", ""),
        ("a=3", ""),
        ("a=2", "halving at epoch 9"),
        ("a=1", "diverged at step 3"),
        ("a=0", "failed"),
    ]


def test_the_table_of_runs_has_every_number() -> None:
    outs = [summary({"train/loss": 0.1, "test/loss": 1 / 3}, {"train/loss": 0.2, "test/loss": 0.7}, best_time=7)]
    results = results_of([["a=[1,2]"], ["b=x"], ["a=3"]], [*outs, diverged(), "KeyError: 'a, \"b\"'"])
    first, second, third = csv.DictReader(runs_csv(results).splitlines())
    assert first == {
        "name": "a=[1,2]",
        "a": "[1,2]",
        "b": "",
        "final/train/loss": "0.2",
        "final/test/loss": "0.7",
        "best/train/loss": "0.1",
        "best/test/loss": repr(1 / 3),
        "min/train/loss": "0.1",
        "min/test/loss": repr(1 / 3),
        "best_time": "7",
        "final_time": "",
        "diverged_step": "",
        "stopped": "",
        "seconds": "0.5",
        "error": "",
        "reused": "false",
        "fresh": "false",
        "hash": "0123456789ab",
        "folder": "run_0",
        "command": "python -m nnexp 'a=[1,2]'",
    }
    assert (second["b"], second["diverged_step"], second["best/test/loss"]) == ("x", "3", "")
    assert (third["a"], third["error"], third["hash"]) == ("3", "KeyError: 'a, \"b\"'", "")


@every_sweep
def test_files_are_written_and_none_is_left_over(tmp_path: Path, name: str) -> None:
    write_report(SWEEPS[name], tmp_path / "sweep", figures=name in {"union", "nothing"})
    text = (tmp_path / "sweep" / "report.md").read_text(encoding="utf-8")
    named = {f"figures/{figure}.png" for figure in re.findall(r"figures/(\w+)\.png", text)}
    files = {str(path.relative_to(tmp_path / "sweep")) for path in (tmp_path / "sweep").rglob("*") if path.is_file()}
    assert files == {"report.html", "report.md", "runs.csv", *named}
    page = (tmp_path / "sweep" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(named)
    assert "figures/" not in re.sub("<p>.*?</p>", "", page)
    assert bool(named) == (name == "union")


FIGURES = {
    "grid": {"lines", "map_learning_rate_scale", "curves", "importance"},
    "incomplete": {"lines", "map_learning_rate_scale", "curves"},
    "one": {"curves"},
    "seeds": {"curves"},
    "lost": {"curves"},
    "nothing": set(),
    "differing": set(),
    "many": {"lines", "curves"},
    "union": {"parameters", "importance"},
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_sweep_has_the_figures_that_fit_it(name: str) -> None:
    assert set(sweep_figures(SWEEPS[name])) == FIGURES[name]


def test_pairs_that_always_matter_come_first_then_numbers_by_importance() -> None:
    jobs = grid(a=[1, 2], b__depth=[1, 2], b__width=[1, 2], c=["x", "y"], d=[1, 2], seed=[0, 1])
    results = computed(jobs, lambda job: 4 * float(job["d"]) + 2 * float(job["a"]) + 0.1 * float(job["b.depth"]))
    names = [(x.name, y.name) for x, y in pairs(results)]
    assert names == [("width", "depth"), ("d", "a"), ("d", "depth"), ("d", "width")]
    four = grid(b__width=[1, 2], learning_rate=[0.1, 1], c=[1, 2], d=[1, 2])
    assert "learning_rate_by_size" in sweep_figures(computed(four, lambda job: float(job["learning_rate"])))
