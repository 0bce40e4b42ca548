"""The report of a run, as it stands in its folder."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnexp import run
from nnexp.report.markdown import table
from nnexp.report.rows import number
from nnexp.runs.report import CAPTIONS
from nnexp.runs.result import Result
from nnexp.training.predictions import ClassPredictions, NumberPredictions

pytestmark = pytest.mark.usefixtures("in_folder")
QUIET = ["tracking=none", "verbose=false"]


def report_of(*overrides: str) -> tuple[Result, str]:
    result = run([*overrides, *QUIET])
    return result, (result.folder / "report.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def tables(text: str) -> list[list[list[str]]]:
    """Return the cells of every table as a Markdown reader takes them: a bar with a backslash is a character."""
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    cells = [[re.split(r" ?(?<!\\)\| ?", line)[1:-1] for line in block.splitlines()] for block in blocks]
    return [[[cell.replace("\\|", "|") for cell in row] for row in rows] for rows in cells]


def assert_is_markdown(text: str) -> None:
    for header, rule, *rows in tables(text):
        assert rows
        assert [set(cell) <= set("-:") for cell in rule] == [True] * len(header)
        assert {len(row) for row in rows} == {len(header)}


RUNS: list[tuple[str, ...]] = [
    ("trainer.epochs=3",),
    ("dataset=heart", "trainer.epochs=3"),
    ("dataset=sine", "loss=mean_squared_error", "trainer.epochs=3", "trainer.snapshots=[2]"),
    ("dataset=moons", "dataset.validation_size=0.2", "trainer.epochs=3", "trainer.snapshots=[1]"),
    ("dataset=pairs", "dataset.count=80", "loss=contrastive", "architecture.outputs=2", "trainer.epochs=3"),
    ("architecture.activation=relu", "initializer.scale=1e200"),
    ("architecture=layers", "architecture.hidden=[dense,activate]", "figures=false", "trainer.epochs=3"),
]
every_run = pytest.mark.parametrize("overrides", RUNS, ids=" ".join)


@pytest.mark.parametrize("overrides", RUNS[2:], ids=" ".join)
def test_tables_are_whole_and_figures_are_there(overrides: tuple[str, ...]) -> None:
    result, text = report_of(*overrides)
    assert_is_markdown(text)
    shown = re.findall(r"!\[(\w+)\]\(figures/(\w+)\.png\)\n\n(.+)", text)
    assert all(title == file and caption == CAPTIONS[title] for title, file, caption in shown)
    drawn = {path.stem for path in (result.folder / "figures").glob("*")}
    assert {file for _, file, _ in shown} == drawn
    assert bool(drawn) == ("figures=false" not in overrides)
    assert text.startswith(f"# {result.name}\n")
    assert re.findall(r"^    (python -m nnexp .*)$", text, re.MULTILINE) == [result.command]


@every_run
def test_numbers_are_those_of_the_history_and_the_baseline(overrides: tuple[str, ...]) -> None:
    result, text = report_of(*overrides, "figures=false")
    history, lines = result.history.trained, section(text, "What came out")
    if not len(history):
        assert "Nothing was evaluated." in lines
        return
    header, _, *rows = tables(lines)[0]
    said = {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}
    best = int(np.argmin(history.metrics["validation/loss" if "validation/loss" in history.metrics else "test/loss"]))
    last = history.times[-1]
    moments = {f"epoch {last}": -1, f"best epoch {history.times[best]}": best}
    for title, index in ({f"epoch {last}, the best": -1} if best == len(history) - 1 else moments).items():
        for key, values in history.metrics.items():
            part, metric = key.split("/")
            assert said[f"{metric.replace('_', ' ')}, {title}"][part] == number(values[index])
    assert result.predictions is not None
    for metric, (name, value) in result.predictions.baselines().items():
        assert said[f"{metric.replace('_', ' ')}, {name}"]["test"] == number(value)


@pytest.mark.parametrize("overrides", RUNS[:4], ids=" ".join)
def test_test_scores_are_those_of_the_predictions(overrides: tuple[str, ...]) -> None:
    result, text = report_of(*overrides, "figures=false")
    rows = tables(section(text, "What came out"))[1][2:]
    if isinstance(result.predictions, NumberPredictions):
        errors = [(name, number(error), number(other)) for name, error, other in result.predictions.typical_errors()]
        assert [tuple(row) for row in rows] == errors
    else:
        assert isinstance(result.predictions, ClassPredictions)
        recalls = result.predictions.confusion().diagonal() / np.bincount(result.predictions.labels)
        assert [row[0] for row in rows] == list(result.predictions.classes)
        assert [row[2] for row in rows] == [f"{recall:.3f}" for recall in recalls]


def test_only_what_differs_from_the_defaults_is_named() -> None:
    _, text = report_of(
        "trainer.epochs=3", "architecture/activation=tanh", "dataset.validation_size=0.2", "output_dir=x"
    )
    rows = tables(section(text, "What differs from the defaults"))[0][2:]
    assert {tuple(row) for row in rows} == {
        ("`trainer.epochs`", "`1000`", "`3`"),
        ("`architecture.activation`", '`"Sigmoid"`', '`"Tanh"`'),
        ("`dataset.validation_size`", "`0.0`", "`0.2`"),
    }


def test_keys_that_only_one_side_has_are_named() -> None:
    _, text = report_of(
        "trainer.epochs=3", "optimizer=momentum", "optimizer.learning_rate=0.5", "dataset=breast_cancer"
    )
    rows = {row[0]: row[1:] for row in tables(section(text, "What differs from the defaults"))[0][2:]}
    assert rows["`optimizer.momentum`"] == ["", "`0.9`"]
    assert rows["`dataset.classes`"] == ["`[0, 1]`", ""]
    assert "`optimizer.learning_rate`" not in rows


def test_nothing_differs_where_nothing_was_changed() -> None:
    _, text = report_of("trainer.epochs=1000", "figures=false")
    assert section(text, "What differs from the defaults").strip() == "Nothing."
    assert "**Question.** What does a network learn with the defaults?" in text


def test_the_question_of_an_experiment_is_asked() -> None:
    _, text = report_of("experiment=digits", "trainer.epochs=1", "figures=false")
    assert "**Question.** How well are all ten digits told apart, and which are hard?" in text
    _, text = report_of("trainer.epochs=3", "figures=false")
    assert "**Question.** What changes with epochs=3?" in text


def test_a_bar_in_a_value_or_a_name_stays_in_its_cell(in_folder: Callable[[], Path]) -> None:
    rows = "\n".join(f"{i}|{'a`b' if i % 2 else 'x&y'}" for i in range(20))
    (in_folder() / "bars.csv").write_text(f"number|kind\n{rows}\n")
    _, text = report_of(
        "dataset=csv", "dataset.path=bars.csv", "dataset.separator='|'", "trainer.epochs=3", "figures=false"
    )
    assert_is_markdown(text)
    changes = {row[0]: row[2] for row in tables(section(text, "What differs from the defaults"))[0][2:]}
    assert changes["`dataset.separator`"] == '`"|"`'
    assert tables(table(("a|b", "c"), [("d", "e|f")])) == [[["a|b", "c"], ["---", "---:"], ["d", "e|f"]]]


def test_how_a_run_ended_is_said() -> None:
    diverged, text = report_of("architecture.activation=relu", "initializer.scale=1e200", "figures=false")
    assert diverged.diverged_step == 1
    assert "**Diverged**: the loss is no longer finite at step 1." in text
    stopped, text = report_of("trainer.early_stopping={patience: 2, min_delta: 1}", "figures=false")
    assert stopped.stopped == "early stopping"
    assert "Ended before its time: early stopping." in text
    _, text = report_of("trainer.epochs=3", "figures=false")
    assert "Diverged" not in text
    assert "Ended" not in text


def test_a_report_opens_with_data_and_network() -> None:
    result, _ = report_of("trainer.epochs=3")
    assert "digits_binary: 2 classes, 64 features (8 x 8 pixels)." in result.about
    parts, layers = tables(result.about)
    assert parts[2] == ["train", "288 examples: 142 of 0, 146 of 1"]
    assert layers[2:4] == [["0 Dense", "64 x 16", "1,040"], ["1 Sigmoid", "16", ""]]
    assert layers[-1] == ["network", "", "1,185"]


def test_what_was_done_to_the_data_is_said() -> None:
    result, text = report_of("dataset=heart", "trainer.epochs=3", "figures=false")
    assert result.notes
    assert section(text, "Notes on the data").strip().splitlines()[::2] == [f"- {note}" for note in result.notes]
    assert "Notes" not in report_of("trainer.epochs=3", "figures=false")[1]


def test_every_figure_has_a_caption() -> None:
    from tests.plots.test_run import RUNS as DRAWN

    assert set().union(*[names for _, names in DRAWN.values()]) == set(CAPTIONS)
